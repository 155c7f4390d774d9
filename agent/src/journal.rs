//! The journal on the disk: one folder per job, which also is the folder of its program (design §4).

use std::io;
use std::path::{Path, PathBuf};

use hostler_common::id::JobId;
use hostler_common::job::{JobState, JobUpdate, Outcome};

use crate::files::{make_folder, read_json, sync_folder, write_json};
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
            match read_json::<Entry>(&path.join("entry.json"))? {
                Some(entry) => entries.push(entry),
                None => std::fs::remove_dir_all(&path)?,
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
        if !folder.path().is_dir() {
            std::fs::create_dir(folder.path())?;
            sync_folder(&self.root)?;
        }
        write_json(&folder.path().join("entry.json"), entry)
    }

    /// Removes everything of a job but the memory of its id.
    ///
    /// # Errors
    /// The entry cannot be written.
    pub fn forget(&self, entry: &Entry) -> io::Result<()> {
        self.record(entry)?;
        for file in std::fs::read_dir(self.folder(entry.spec.id).path())? {
            let file = file?;
            if file.file_name() != "entry.json" {
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
