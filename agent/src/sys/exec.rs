//! A program that is started as it is. The C library, and so the standard one, gives to a shell whatever the kernel does not
//! know how to execute; here that is an error.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::libc;

/// Texts, and their places in memory with a null behind them.
struct Texts {
    // The places are those of the contents, which do not move.
    _texts: Vec<CString>,
    places: Vec<usize>,
}

impl Texts {
    fn new(texts: Vec<CString>) -> Self {
        let places = texts.iter().map(|text| text.as_ptr() as usize).chain([0]).collect();
        Self { _texts: texts, places }
    }

    fn pointer(&self) -> *const *const libc::c_char {
        self.places.as_ptr().cast()
    }
}

/// Makes `command`, whose environment was cleared before it was set, execute its program and nothing else. To be called after
/// everything else was done with it.
///
/// # Errors
/// There is a NUL in one of its words.
#[allow(unsafe_code)]
pub fn exactly(command: &mut Command) -> io::Result<()> {
    let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::from);
    let path = text(command.get_program())?;
    let words: io::Result<Vec<CString>> = command.get_args().map(text).collect();
    let argv = Texts::new(std::iter::once(path.clone()).chain(words?).collect());
    let variables = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let variables = variables.map(|(name, value)| {
        let joined = [name.as_bytes(), b"=", value.as_bytes()].concat();
        CString::new(joined).map_err(io::Error::from)
    });
    let env = Texts::new(variables.collect::<io::Result<_>>()?);
    // SAFETY: between fork and exec the closure makes one system call on memory that was there before the fork and that it
    // owns: arrays of pointers to texts, each ended by a null. It takes no lock and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            libc::execve(path.as_ptr(), argv.pointer(), env.pointer());
            Err(io::Error::last_os_error())
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_the_kernel_cannot_execute_is_no_work_for_a_shell() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("none");
        std::fs::write(&file, "echo shell\n").unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        let mut command = Command::new(&file);
        command.env_clear();
        exactly(&mut command).unwrap();
        assert_eq!(command.output().unwrap_err().raw_os_error(), Some(libc::ENOEXEC));
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo \"$A $1\"; env | wc -l", "sh", "a b"]).env_clear().env("A", "1");
        exactly(&mut command).unwrap();
        let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert!(said.starts_with("1 a b\n"), "{said}");
    }
}
