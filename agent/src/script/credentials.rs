//! Secrets of scripts on their way from the manager to the script: as files in memory, never in the journal and never on a
//! disk (spec/hooks.md §10). Each job has a folder of its own, which its supervisor removes.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

use hostler_common::id::{HostId, JobId};
use hostler_proto::v1::Secret;
use nix::libc;
use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
use nix::unistd::geteuid;

/// A folder in memory that hosts have.
const SHARED_MEMORY: &str = "/dev/shm";

/// The most bytes of the secrets of one job.
const SECRETS_MAX: usize = 1 << 20;

/// The magic number of ramfs, which `nix` does not name.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

/// Folders of this host's scripts outside of the agent's state: every account may pass through them, and nobody else than
/// the agent may list or change them.
#[derive(Clone, Debug)]
pub struct Places {
    runtime_dir: PathBuf,
    host: HostId,
}

impl Places {
    /// Those of an agent in `runtime_dir`; there may be agents of several hosts on one machine.
    #[must_use]
    pub fn new(runtime_dir: &Path, host: HostId) -> Self {
        Self { runtime_dir: runtime_dir.to_owned(), host }
    }

    /// Where folders of scripts are that run as others; it is made.
    ///
    /// # Errors
    /// It cannot be made, or is somebody else's.
    pub fn passable(&self) -> io::Result<PathBuf> {
        chain(&self.runtime_dir, &[&self.host.to_string(), "work"])
    }

    /// Where credentials are; it is made.
    fn credentials(&self) -> io::Result<PathBuf> {
        let own = chain(&self.runtime_dir, &[&self.host.to_string(), "credentials"]);
        if let Ok(own) = &own
            && in_memory(own)
        {
            return Ok(own.clone());
        }
        let shared = chain(Path::new(SHARED_MEMORY), &["hostler-agent", &self.host.to_string(), "credentials"])?;
        if in_memory(&shared) {
            return Ok(shared);
        }
        let reason = format!("neither {} nor {SHARED_MEMORY} is in memory", self.runtime_dir.display());
        Err(io::Error::new(io::ErrorKind::Unsupported, reason))
    }

    /// Keeps the secrets of a job until it is run.
    ///
    /// # Errors
    /// They are too many, or cannot be kept in memory.
    pub fn keep(&self, job: JobId, secrets: &[Secret]) -> io::Result<()> {
        if secrets.iter().map(|secret| secret.value.len()).sum::<usize>() > SECRETS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "they have more than 1 MiB"));
        }
        let folder = self.credentials()?.join(job.to_string());
        match DirBuilder::new().mode(0o700).create(&folder) {
            // The manager repeats an order of which it does not know whether it arrived.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            other => other?,
        }
        for secret in secrets {
            let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC;
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o400)
                .custom_flags(flags)
                .open(folder.join(&secret.name))?;
            file.write_all(&secret.value)?;
        }
        Ok(())
    }

    /// The folder with the secrets of a job.
    ///
    /// # Errors
    /// One of `names` is not there.
    pub fn of<'a>(&self, job: JobId, names: impl Iterator<Item = &'a String>) -> io::Result<PathBuf> {
        let folder = self.credentials()?.join(job.to_string());
        for name in names {
            if !folder.join(name).is_file() {
                return Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("the value of {name} did not come, or is gone"),
                ));
            }
        }
        Ok(folder)
    }

    /// Removes everything of one job.
    pub fn remove(&self, job: JobId) {
        for parent in [self.credentials(), self.passable()].into_iter().flatten() {
            std::fs::remove_dir_all(parent.join(job.to_string())).ok();
        }
    }

    /// Removes what is left of jobs that are over.
    pub fn tidy(&self, lives: impl Fn(JobId) -> bool) {
        for parent in [self.credentials(), self.passable()].into_iter().flatten() {
            for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
                let job = entry.file_name().to_str().and_then(|name| name.parse().ok());
                if !job.is_some_and(&lives) {
                    std::fs::remove_dir_all(entry.path()).ok();
                }
            }
        }
    }
}

/// Makes folders, each in the one before. In places where everybody may make folders one could be there already that is
/// somebody else's.
fn chain(base: &Path, names: &[&str]) -> io::Result<PathBuf> {
    if !base.exists() {
        DirBuilder::new().recursive(true).mode(0o711).create(base)?;
    }
    let mut path = base.to_owned();
    for name in names {
        path.push(name);
        match DirBuilder::new().mode(0o711).create(&path) {
            // Whatever the mask of this process is.
            Ok(()) => std::fs::set_permissions(&path, PermissionsExt::from_mode(0o711))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let found = std::fs::symlink_metadata(&path)?;
        if !found.is_dir() || found.uid() != geteuid().as_raw() || found.mode() & 0o022 != 0 {
            let reason = format!("{} is somebody else's", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        }
    }
    Ok(path)
}

fn in_memory(path: &Path) -> bool {
    statfs(path).is_ok_and(|info| [TMPFS_MAGIC, RAMFS_MAGIC].contains(&info.filesystem_type()))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn secrets_are_kept_in_memory_and_tidied_away() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::new(&dir.path().join("run"), HostId(Uuid::now_v7()));
        let (job, gone) = (JobId(Uuid::now_v7()), JobId(Uuid::now_v7()));
        let secret = Secret { name: "password".into(), value: b"hunter2".to_vec() };
        places.keep(job, std::slice::from_ref(&secret)).unwrap();
        places.keep(job, std::slice::from_ref(&secret)).unwrap();
        places.keep(gone, &[]).unwrap();
        let folder = places.of(job, ["password".to_owned()].iter()).unwrap();
        assert!(in_memory(&folder));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("password"))), (0o700, 0o400));
        assert!(places.of(job, ["other".to_owned()].iter()).is_err());
        places.tidy(|id| id == job);
        assert!(places.of(gone, std::iter::empty()).is_ok_and(|folder| !folder.exists()));
        assert!(folder.exists());
        places.remove(job);
        assert!(!folder.exists());
        std::fs::remove_dir_all(folder.parent().unwrap().parent().unwrap()).unwrap();
    }

    #[test]
    fn folders_of_others_are_not_used() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/tmp", dir.path().join("a")).unwrap();
        assert!(chain(dir.path(), &["a"]).is_err());
        std::fs::create_dir(dir.path().join("b")).unwrap();
        std::fs::set_permissions(dir.path().join("b"), PermissionsExt::from_mode(0o777)).unwrap();
        assert!(chain(dir.path(), &["b", "c"]).is_err());
    }
}
