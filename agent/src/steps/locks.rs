//! Whether a package manager is at work: by the locks that they hold.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// Files that are locked for as long as one works.
const LOCKED: &[&str] = &[
    "var/lib/dpkg/lock-frontend",
    "var/lib/dpkg/lock",
    "var/lib/apt/lists/lock",
    "var/cache/apt/archives/lock",
    "var/lib/rpm/.rpm.lock",
    "usr/lib/sysimage/rpm/.rpm.lock",
];

/// Files with the number of the process that works.
const NUMBERED: &[&str] =
    &["var/lib/dnf/rpmdb_lock.pid", "var/cache/dnf/metadata_lock.pid", "run/zypp.pid", "run/yum.pid"];

/// Which file says that a package manager is at work, and what is known of it; `None` if none does.
#[must_use]
pub fn held(root: &Path) -> Option<String> {
    let locked = LOCKED.iter().filter_map(|name| holder(&root.join(name)).map(|pid| (*name, pid)));
    let numbered = NUMBERED.iter().filter_map(|name| numbered(root, name).map(|pid| (*name, pid)));
    let (name, pid) = locked.chain(numbered).next()?;
    Some(format!("/{name} is held by process {pid}"))
}

/// The process that has a file locked.
fn holder(path: &Path) -> Option<i32> {
    let file = File::open(path).ok()?;
    let mut lock = libc::flock {
        l_type: i16::try_from(libc::F_WRLCK).ok()?,
        l_whence: i16::try_from(libc::SEEK_SET).ok()?,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file.as_fd(), FcntlArg::F_GETLK(&mut lock)).ok()?;
    (i32::from(lock.l_type) != libc::F_UNLCK).then_some(lock.l_pid)
}

/// The process whose number is in a file, if it lives.
fn numbered(root: &Path, name: &str) -> Option<i32> {
    let pid: i32 = std::fs::read_to_string(root.join(name)).ok()?.split_whitespace().next()?.parse().ok()?;
    Path::new(&format!("/proc/{pid}")).exists().then_some(pid)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_lock_of_another_process_is_seen() {
        let root = tempfile::tempdir().unwrap();
        let lock = root.path().join(LOCKED[0]);
        std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
        std::fs::write(&lock, "").unwrap();
        assert_eq!(held(root.path()), None);
        let program = "import fcntl, sys\nf = open(sys.argv[1], 'w')\nfcntl.lockf(f, fcntl.LOCK_EX)\nprint('held', flush=True)\nsys.stdin.read()";
        let mut command = Command::new("python3");
        command.args(["-c", program]).arg(&lock).stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut holder) = command.spawn() else { return };
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(held(root.path()), Some(format!("/{} is held by process {}", LOCKED[0], holder.id())));
        drop(holder.stdin.take());
        holder.wait().unwrap();
        assert_eq!(held(root.path()), None);
    }

    #[test]
    fn a_number_counts_while_its_process_lives() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join(NUMBERED[0]);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, format!("{}\n", std::process::id())).unwrap();
        assert!(held(root.path()).is_some());
        std::fs::write(&file, "4194999").unwrap();
        assert_eq!(held(root.path()), None);
    }
}
