//! What the kernel believes about its own clock.

use std::io;

use nix::libc;

/// The answer of `adjtimex(2)` with no mode set, which only reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Discipline {
    /// The return value: 0 normal, 1-4 leap second handling, 5 not synchronised.
    pub state: i32,
    /// `STA_*` bits; 0x40 is "not synchronised", 0x2000 says that `offset` counts nanoseconds.
    pub status: i32,
    /// Remaining correction, in microseconds or nanoseconds.
    pub offset: i64,
    /// Frequency correction, in parts per million times 65536.
    pub frequency: i64,
    /// Greatest error that the time daemon admits, in microseconds.
    pub max_error: i64,
    /// Estimated error, in microseconds.
    pub estimated_error: i64,
    /// Difference between TAI and UTC, in seconds; zero if nobody told the kernel.
    pub tai_offset: i32,
}

/// Reads the clock discipline.
///
/// # Errors
/// Those of `adjtimex(2)`.
#[allow(unsafe_code)]
pub fn discipline() -> io::Result<Discipline> {
    // SAFETY: `timex` is a plain C struct for which all-zero bytes are valid; zero `modes` makes the call read-only, and
    // the kernel writes no more than the struct.
    let (state, timex) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        let state = libc::adjtimex(&raw mut timex);
        (state, timex)
    };
    super::checked(state)?;
    Ok(Discipline {
        state,
        status: timex.status,
        offset: timex.offset,
        frequency: timex.freq,
        max_error: timex.maxerror,
        estimated_error: timex.esterror,
        tai_offset: timex.tai,
    })
}

/// Seconds since boot, including time asleep: the clock by which ages are counted, as the wall clock may be wrong.
#[must_use]
pub fn since_boot() -> u64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).map_or(0, |at| u64::try_from(at.tv_sec()).unwrap_or(0))
}
