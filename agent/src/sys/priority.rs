//! Stepping back behind everything else that runs on the host.

use std::io;

use nix::libc;

use super::checked;

/// `IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT`: disk time only when nobody else wants it (linux/ioprio.h).
const IO_IDLE: libc::c_int = 3 << 13;

/// `IOPRIO_WHO_PROCESS` (linux/ioprio.h).
const IO_WHO_PROCESS: libc::c_int = 1;

/// Gives this process the lowest processor priority and the idle class of disk time.
///
/// # Errors
/// One of the two was not granted; the other may be.
#[allow(unsafe_code)]
pub fn step_back() -> io::Result<()> {
    // SAFETY: both calls take numbers only; 0 names the calling process.
    let processor = checked(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) });
    // SAFETY: as above.
    let disk = unsafe { libc::syscall(libc::SYS_ioprio_set, IO_WHO_PROCESS, 0, IO_IDLE) };
    processor?;
    if disk < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
