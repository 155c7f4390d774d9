//! What this agent changes itself, so that its own watchers do not tell it as somebody else's doing (spec/hooks.md §7).
//!
//! A step holds a locked file for as long as it works. Whoever watches asks whether there is one for what it saw, or was
//! a moment ago: events arrive late. The files lie in a folder that is empty after a boot.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// Where things of one boot are kept.
pub const RUNTIME_DIR: &str = "/run/hostler-agent";

/// How long after its end a change still counts as ours.
pub const AFTERWARDS: Duration = Duration::from_secs(90);

/// Files that are older than this are removed when a new one is made.
const OLD: Duration = Duration::from_secs(3600);

/// A change of ours; it ends when this is dropped.
#[derive(Debug)]
pub struct Mark {
    file: File,
}

impl Mark {
    /// A change begins. `what` names it: `network`, `disk sdb`, `rbd pool/image@name`.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn begin(runtime_dir: &Path, what: &str) -> io::Result<Self> {
        let folder = runtime_dir.join("ours");
        crate::files::make_folder(&folder)?;
        remove_old(&folder);
        let file = File::create(path(runtime_dir, what))?;
        file.try_lock().map_err(io::Error::from)?;
        Ok(Self { file })
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // The moment of the end; the lock goes with the file.
        self.file.set_modified(std::time::SystemTime::now()).ok();
    }
}

/// Whether such a change of ours is under way, or ended within [`AFTERWARDS`].
#[must_use]
pub fn lately(runtime_dir: &Path, what: &str) -> bool {
    let Ok(file) = File::open(path(runtime_dir, what)) else { return false };
    let busy = matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock));
    busy || age(&file).is_some_and(|age| age < AFTERWARDS)
}

fn path(runtime_dir: &Path, what: &str) -> PathBuf {
    runtime_dir.join("ours").join(hex::encode(Sha256::digest(what)))
}

/// How long ago a file was written; nothing where the clock was set back meanwhile.
fn age(file: &File) -> Option<Duration> {
    file.metadata().ok()?.modified().ok()?.elapsed().ok()
}

fn remove_old(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(file) = File::open(entry.path()) else { continue };
        if age(&file).is_some_and(|age| age > OLD) && file.try_lock().is_ok() {
            fs::remove_file(entry.path()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_what_we_do_and_did_lately() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!lately(dir.path(), "network"));
        let mark = Mark::begin(dir.path(), "network").unwrap();
        assert!(lately(dir.path(), "network") && !lately(dir.path(), "disk sdb"));
        assert!(Mark::begin(dir.path(), "network").is_err(), "one at a time");
        drop(mark);
        assert!(lately(dir.path(), "network"));
        let old = std::time::SystemTime::now() - AFTERWARDS - Duration::from_secs(1);
        File::open(path(dir.path(), "network")).unwrap().set_modified(old).unwrap();
        assert!(!lately(dir.path(), "network"));
    }
}
