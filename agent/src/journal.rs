//! The journal on the disk: one folder per job, which also is the folder of its program (design §4).

use std::io;
use std::path::{Path, PathBuf};

use hostler_common::id::JobId;
use hostler_common::job::{JobState, JobUpdate, Outcome};

use crate::files::{make_folder, read_json, sync_folder, write_json, write_synced};
use crate::process::Folder;
use crate::runner::{Entry, Phase};

/// The journal.
#[derive(Clone, Debug)]
pub struct Journal {
    root: PathBuf,
}

impl Journal {
    /// Opens the journal in `state_dir`, making it if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        let root = state_dir.join("jobs");
        make_folder(&root)?;
        Ok(Self { root })
    }

    /// The folder of a job's program.
    #[must_use]
    pub fn folder(&self, job: JobId) -> Folder {
        Folder::new(self.root.join(job.to_string()))
    }

    /// All entries. A folder without one was about to be written when the agent died: nobody was told of it, and it is
    /// removed.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for folder in std::fs::read_dir(&self.root)? {
            let path = folder?.path();
            match read_json::<Entry>(&path.join("entry.json")) {
                Ok(Some(entry)) => entries.push(entry),
                // The first writing of an entry is not whole: see `record`.
                Err(error) if error.kind() == io::ErrorKind::InvalidData && !path.join("program.json").exists() => {
                    std::fs::remove_dir_all(&path)?;
                }
                Ok(None) => std::fs::remove_dir_all(&path)?,
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    /// Writes an entry, durably.
    ///
    /// # Errors
    /// It cannot be written; nothing that depends on it may happen.
    pub fn record(&self, entry: &Entry) -> io::Result<()> {
        let folder = self.folder(entry.spec.id);
        let file = folder.path().join("entry.json");
        match std::fs::create_dir(folder.path()) {
            // The first time it is written in place: until this returns nobody is told of it, so one that is not whole was
            // never there. That waits for the disk once and not three times.
            Ok(()) => {
                write_synced(&file, &serde_json::to_vec(entry)?)?;
                sync_folder(folder.path())?;
                sync_folder(&self.root)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => write_json(&file, entry),
            Err(error) => Err(error),
        }
    }

    /// Removes what a script wrote of so many of the oldest jobs that all of it together has at most `max` bytes. `ended` are
    /// the jobs whose outcome nobody has taken yet, the oldest first. Returns of how many jobs something was removed.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn trim(&self, ended: &[JobId], max: u64) -> io::Result<usize> {
        let files = |job: &JobId| ["merged.head", "merged.tail"].map(|name| self.folder(*job).path().join(name));
        let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |data| data.len());
        let sizes: Vec<u64> = ended.iter().map(|job| files(job).iter().map(size).sum()).collect();
        let (mut total, mut removed) = (sizes.iter().sum::<u64>(), 0);
        for (job, size) in ended.iter().zip(sizes).filter(|(_, size)| *size > 0) {
            if total <= max {
                break;
            }
            for file in files(job) {
                match std::fs::remove_file(file) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            total -= size;
            removed += 1;
        }
        Ok(removed)
    }

    /// Removes everything of a job but the memory of its id.
    ///
    /// # Errors
    /// The entry cannot be written.
    pub fn forget(&self, entry: &Entry) -> io::Result<()> {
        self.record(entry)?;
        for file in std::fs::read_dir(self.folder(entry.spec.id).path())? {
            let file = file?;
            if file.file_type()?.is_dir() {
                std::fs::remove_dir_all(file.path())?;
            } else if file.file_name() != "entry.json" {
                std::fs::remove_file(file.path())?;
            }
        }
        Ok(())
    }

    /// Removes a job.
    ///
    /// # Errors
    /// The folder cannot be removed.
    pub fn remove(&self, job: JobId) -> io::Result<()> {
        std::fs::remove_dir_all(self.folder(job).path())
    }

    /// What the manager is told of a job; `None` if there is nothing to tell.
    ///
    /// # Errors
    /// The outcome cannot be read.
    pub fn update(&self, entry: &Entry) -> io::Result<Option<JobUpdate>> {
        let Some(state) = entry.phase.state() else { return Ok(None) };
        let outcome = match &entry.phase {
            Phase::Ended { reason: Some(reason), .. } => {
                Some(Outcome { reason: Some(reason.clone()), ..Outcome::default() })
            }
            Phase::Ended { reason: None, .. } => Some(self.folder(entry.spec.id).outcome()?.unwrap_or_default()),
            Phase::Accepted | Phase::Started | Phase::Acknowledged => None,
        };
        Ok(Some(JobUpdate { job: entry.spec.id, state, outcome }))
    }

    /// How the program of a job ended, if it did.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn end_state(&self, job: JobId) -> io::Result<Option<JobState>> {
        Ok(self.folder(job).end()?.map(|end| end.state))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hostler_common::id::HostId;
    use hostler_common::job::{JobSpec, Work};
    use uuid::Uuid;

    use super::*;

    fn entry(n: u128) -> Entry {
        let spec = JobSpec {
            id: JobId(Uuid::from_u128(n)),
            host: HostId(Uuid::nil()),
            work: Work::Introspect { sections: Vec::new() },
            deadline: Duration::from_secs(1),
        };
        Entry { spec, phase: Phase::Accepted, after: None, ready: false }
    }

    #[test]
    fn an_entry_that_is_not_whole_was_never_there() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        journal.record(&entry(1)).unwrap();
        journal.record(&entry(2)).unwrap();
        journal.record(&entry(2)).unwrap();
        std::fs::write(journal.folder(entry(1).spec.id).path().join("entry.json"), b"{\"spec\":").unwrap();
        assert_eq!(journal.entries().unwrap(), [entry(2)]);
        assert!(!journal.folder(entry(1).spec.id).path().exists());
        // One that was told of is not thrown away.
        std::fs::write(journal.folder(entry(2).spec.id).path().join("program.json"), b"{}").unwrap();
        std::fs::write(journal.folder(entry(2).spec.id).path().join("entry.json"), b"").unwrap();
        assert!(journal.entries().is_err());
    }

    #[test]
    fn what_nobody_took_is_bounded_and_the_oldest_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let jobs: Vec<JobId> = (1..=4).map(|n| entry(n).spec.id).collect();
        for (n, job) in (1..=4).zip(&jobs) {
            journal.record(&entry(n)).unwrap();
            std::fs::write(journal.folder(*job).path().join("merged.head"), [0; 100]).unwrap();
        }
        assert_eq!(journal.trim(&jobs, 400).unwrap(), 0);
        assert_eq!(journal.trim(&jobs, 250).unwrap(), 2);
        let kept = |job: &&JobId| journal.folder(**job).path().join("merged.head").exists();
        assert_eq!(jobs.iter().filter(kept).collect::<Vec<_>>(), [&jobs[2], &jobs[3]]);
    }
}
