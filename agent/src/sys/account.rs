//! A program that begins as somebody else.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

/// Makes the program of `command` begin with these groups, this group and as this user, and with nothing of what we may.
#[allow(unsafe_code)]
pub fn become_on_start(command: &mut Command, uid: Uid, gid: Gid, groups: Vec<Gid>) {
    // SAFETY: between fork and exec the closure only makes three system calls on memory that was there before the fork; it
    // takes no lock and allocates nothing. (The C library's locks of `setuid` are for its threads, of which the child has one.)
    unsafe {
        command.pre_exec(move || {
            setgroups(&groups).map_err(io::Error::from)?;
            setgid(gid).map_err(io::Error::from)?;
            setuid(uid).map_err(io::Error::from)
        });
    }
}
