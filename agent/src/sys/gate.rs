//! A program that is held between its birth and its first instruction.
//!
//! What contains a program must be around it before it can start another: a process that was born a moment too early would
//! be outside for good.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::fcntl::OFlag;
use nix::libc;
use nix::unistd::{Pid, pipe2};

/// What a held program is let go with. If it is dropped without that, the program ends before it begins.
#[derive(Debug)]
pub struct Gate {
    births: File,
    way: File,
}

/// Makes the program of `command` the leader of a session of its own that waits for [`Gate::open`] before it begins.
///
/// `command.spawn()` returns only after that, so it must be called on another thread, and `command` be dropped there.
///
/// # Errors
/// There are no more file descriptors.
#[allow(unsafe_code)]
pub fn hold(command: &mut Command) -> io::Result<Gate> {
    let (births, birth) = pipe2(OFlag::O_CLOEXEC)?;
    let (held, way) = pipe2(OFlag::O_CLOEXEC)?;
    let not_ours = [births.as_raw_fd(), way.as_raw_fd()];
    // SAFETY: between fork and exec the closure only makes system calls on numbers and on memory of its own stack; it takes
    // no lock and allocates nothing, also not for its errors. The descriptors that it closes are copies of the parent's,
    // which nobody in the child uses.
    unsafe {
        command.pre_exec(move || wait_to_begin(&birth, &held, not_ours));
    }
    Ok(Gate { births: births.into(), way: way.into() })
}

#[allow(unsafe_code)]
fn wait_to_begin(birth: &OwnedFd, held: &OwnedFd, not_ours: [RawFd; 2]) -> io::Result<()> {
    for descriptor in not_ours {
        // With its own copy of the other end it would never see that the supervisor died.
        // SAFETY: a number; nothing in this process owns it any more.
        unsafe { libc::close(descriptor) };
    }
    nix::unistd::setsid()?;
    let number = nix::unistd::getpid().as_raw().to_ne_bytes();
    nix::unistd::write(birth, &number)?;
    let mut word = [0];
    loop {
        match nix::unistd::read(held, &mut word) {
            Ok(1) => return Ok(()),
            Ok(_) => return Err(nix::errno::Errno::ECANCELED.into()),
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl Gate {
    /// The number of the program that waits; blocks until it is born.
    ///
    /// # Errors
    /// "Unexpected end" if it could not be born.
    pub fn held(&mut self) -> io::Result<Pid> {
        let mut number = [0; 4];
        self.births.read_exact(&mut number)?;
        Ok(Pid::from_raw(i32::from_ne_bytes(number)))
    }

    /// Lets it begin.
    ///
    /// # Errors
    /// It was killed meanwhile.
    pub fn open(mut self) -> io::Result<()> {
        self.way.write_all(&[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_begins_when_it_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("began");
        let mut command = Command::new("/usr/bin/touch");
        command.arg(&file);
        let mut gate = hold(&mut command).unwrap();
        let spawning = std::thread::spawn(move || command.spawn());
        let pid = gate.held().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!file.exists());
        assert_eq!(nix::unistd::getsid(Some(pid)).unwrap(), pid);
        gate.open().unwrap();
        let mut child = spawning.join().unwrap().unwrap();
        assert_eq!(child.id(), pid.as_raw() as u32);
        assert!(child.wait().unwrap().success());
        assert!(file.exists());
    }

    #[test]
    fn a_program_that_is_never_let_go_never_begins() {
        let mut command = Command::new("/bin/true");
        let mut gate = hold(&mut command).unwrap();
        let spawning = std::thread::spawn(move || command.spawn().map(|_| ()));
        let pid = gate.held().unwrap();
        drop(gate);
        assert_eq!(spawning.join().unwrap().unwrap_err().raw_os_error(), Some(libc::ECANCELED));
        assert!(nix::sys::signal::kill(pid, None).is_err(), "it lingers");
    }
}
