//! Folders of control groups: what both versions have in common.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The group below which those of the programs are.
const PARENT: &str = "hostler-jobs";

/// How long a group is given to stand still before its processes are killed.
const STILL: Duration = Duration::from_millis(200);

/// Where the group of a job is below `base`.
pub(super) fn place(base: &Path, id: &str) -> PathBuf {
    base.join(PARENT).join(id)
}

/// Makes a group. One that is there already, of an earlier try, is taken if nobody is in it.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    // The folder above is removed by whoever was last in it, perhaps at this moment.
    for _ in 0..5 {
        match std::fs::create_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(()) if members(folder)?.is_empty() => return Ok(()),
            Ok(()) => return Err(io::Error::other("another program is in the control group of this job")),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Sets something; never makes a file.
pub(super) fn set(folder: &Path, file: &str, value: &str) -> io::Result<()> {
    use std::io::Write as _;
    std::fs::OpenOptions::new().write(true).open(folder.join(file))?.write_all(value.as_bytes())
}

/// Sets limits; what cannot be set is noted.
pub(super) fn limit(folder: &Path, settings: &[(&str, String)], lacks: &mut Vec<String>) {
    for (file, value) in settings {
        if let Err(error) = set(folder, file, value) {
            lacks.push(format!("{file}: {error}"));
        }
    }
}

/// A number in a file of a group.
pub(super) fn number<T: FromStr>(folder: &Path, file: &str) -> Option<T> {
    std::fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
}

/// The number behind a word in a file of a group that has one of these on each line.
pub(super) fn entry(folder: &Path, file: &str, word: &str) -> Option<u64> {
    let text = std::fs::read_to_string(folder.join(file)).ok()?;
    text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' ')?.trim().parse().ok())
}

/// All processes of a group and of the groups that it made below. A group that is gone has none.
pub(super) fn members(folder: &Path) -> io::Result<BTreeSet<Pid>> {
    let (mut found, mut open) = (BTreeSet::new(), vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        match std::fs::read_to_string(folder.join("cgroup.procs")) {
            // A process that this namespace does not see has the number 0; signalling that would hit ourselves.
            Ok(text) => found
                .extend(text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).map(Pid::from_raw)),
            Err(error) if gone(&error) => continue,
            Err(error) => return Err(error),
        }
        open.extend(below(&folder));
    }
    Ok(found)
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// Whether a file of a group cannot be read because the group was removed.
fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ENODEV as i32)
}

/// Sends a signal to processes; ones that are gone are no error. Returns the first refusal after all were tried.
pub(super) fn signal_all(pids: impl IntoIterator<Item = Pid>, signal: Signal) -> io::Result<()> {
    let mut refused = Ok(());
    for pid in pids {
        match kill(pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => refused = refused.and(Err(error.into())),
        }
    }
    refused
}

/// Kills a group that was told to stand still by `freeze`, after which `still` says whether it does, and `thaw`s it: the
/// only way to reach everything where the kernel cannot kill groups.
pub(super) fn kill_frozen(
    folder: &Path,
    freeze: impl Fn() -> io::Result<()>,
    still: impl Fn() -> bool,
    thaw: impl Fn() -> io::Result<()>,
) -> io::Result<()> {
    // Without a freezer it is a race that a program which forks without end may win; the caller repeats.
    if freeze().is_ok() {
        let began = Instant::now();
        while !still() && began.elapsed() < STILL {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    let killed = members(folder).and_then(|pids| signal_all(pids, Signal::SIGKILL));
    // Nothing dies while it is frozen (version 1).
    thaw().ok();
    killed
}

/// Removes a group with those below it, and the one above if it was the last in it.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    for inner in below(folder) {
        remove_one(&inner)?;
    }
    match std::fs::remove_dir(folder) {
        Err(error) if !gone(&error) => return Err(error),
        _ => {}
    }
    if let Some(parent) = folder.parent().filter(|parent| parent.ends_with(PARENT)) {
        std::fs::remove_dir(parent).ok();
    }
    Ok(())
}

fn remove_one(folder: &Path) -> io::Result<()> {
    for inner in below(folder) {
        remove_one(&inner)?;
    }
    match std::fs::remove_dir(folder) {
        Err(error) if !gone(&error) => Err(error),
        _ => Ok(()),
    }
}
