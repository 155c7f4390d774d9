//! The only unsafe code of the agent: thin wrappers of kernel calls that no library wraps safely.
//!
//! All but [`gate`] and [`step_back`], which are about our own processes, only read. Every function here returns plain data
//! or an [`std::io::Error`]. None of them opens anything for writing, changes a flag of an interface, loads a module or
//! wakes a disk: those promises of spec/introspection.md §6.2 are kept (or broken) here and in `probes/live`, nowhere else.

pub mod clock;
pub mod ethtool;
pub mod events;
pub mod gate;
pub mod ipmi;
pub mod kvm;
pub mod nvme;
pub mod packet;
mod priority;
pub mod rados;
pub mod scsi;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::libc;

pub use priority::step_back;

/// Opens a device for reading, without waiting for media and without becoming its controlling process.
///
/// # Errors
/// Those of `open(2)`.
pub fn open_device(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY).open(path)
}

/// Whether a block device can be opened exclusively, tested read-only so that no change event follows the close
/// (spec/introspection.md §6.2). `false` means that a mount, a mapping or an array holds it.
///
/// # Errors
/// Those of `open(2)` except "busy", which is the answer `false`.
pub fn exclusive(path: &Path) -> io::Result<bool> {
    let flags = libc::O_EXCL | libc::O_NONBLOCK | libc::O_CLOEXEC;
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Turns the result of a C call into a [`io::Result`].
fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
