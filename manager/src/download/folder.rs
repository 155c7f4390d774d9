//! Files by their digest, and the beginnings of those that are on their way.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use hostler_common::script::Digest;
use hostler_daemon::files;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncSeekExt as _, SeekFrom};

/// What stands behind the name of a beginning.
const PART: &str = ".part";

/// How long a beginning, or a file that nobody wants any more, is kept.
const KEEP: Duration = Duration::from_secs(86_400);

/// The folder of all files.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at that path, which is made when the first file comes.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Makes the folder.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make(&self) -> io::Result<()> {
        files::make_folder(&self.0)
    }

    /// Where the file of a digest is.
    #[must_use]
    pub fn file(&self, digest: &Digest) -> PathBuf {
        self.0.join(digest.to_string())
    }

    /// The size of the file of a digest, if it is here.
    #[must_use]
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        fs::metadata(self.file(digest)).ok().filter(fs::Metadata::is_file).map(|found| found.len())
    }

    /// Where the beginning of what comes from a URL is. The URL of a file says nothing that a name may hold.
    #[must_use]
    pub fn part(&self, url: &str) -> PathBuf {
        self.0.join(format!("{}{PART}", Digest(Sha256::digest(url).into())))
    }

    /// What was fetched whole becomes the file of its digest, for good.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn keep(&self, part: &Path, digest: &Digest) -> io::Result<()> {
        fs::rename(part, self.file(digest))?;
        files::sync_folder(&self.0)
    }

    /// Removes what is older than a day and not among `wanted`; returns how many.
    ///
    /// # Errors
    /// The folder cannot be read. One that was never made has nothing in it.
    pub fn prune(&self, wanted: &BTreeSet<Digest>) -> io::Result<usize> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries?,
        };
        let mut removed = 0;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let named = name.to_str().unwrap_or_default();
            let kept = named.parse::<Digest>().is_ok_and(|digest| wanted.contains(&digest));
            let age = entry.metadata().and_then(|found| found.modified()).map(|then| then.elapsed());
            // A clock that was set back makes it young, not old.
            let old = age.is_ok_and(|age| age.is_ok_and(|age| age > KEEP));
            if !kept && old {
                fs::remove_file(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// The file of a digest in that folder, from an offset on, and how long the whole is; `None` if there is none.
///
/// # Errors
/// It cannot be read.
pub async fn open(folder: &Folder, digest: &Digest, offset: u64) -> io::Result<Option<(tokio::fs::File, u64)>> {
    let mut file = match tokio::fs::File::open(folder.file(digest)).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let size = file.metadata().await?.len();
    file.seek(SeekFrom::Start(offset.min(size))).await?;
    Ok(Some((file, size)))
}

#[cfg(test)]
mod tests {
    use std::fs::FileTimes;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_is_old_and_unwanted_goes() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().join("downloads"));
        assert_eq!(folder.prune(&BTreeSet::new()).unwrap(), 0, "there is no folder");
        folder.make().unwrap();
        let (wanted, unwanted, fresh) = (Digest([1; 32]), Digest([2; 32]), Digest([3; 32]));
        for digest in [&wanted, &unwanted, &fresh] {
            fs::write(folder.file(digest), b"x").unwrap();
        }
        fs::write(folder.part("https://m.example/a"), b"x").unwrap();
        let old = FileTimes::new().set_modified(SystemTime::now() - 2 * KEEP);
        for path in [folder.file(&wanted), folder.file(&unwanted), folder.part("https://m.example/a")] {
            fs::File::options().write(true).open(path).unwrap().set_times(old).unwrap();
        }
        assert_eq!(folder.prune(&BTreeSet::from([wanted])).unwrap(), 2);
        assert_eq!((folder.size(&wanted), folder.size(&unwanted), folder.size(&fresh)), (Some(1), None, Some(1)));
    }
}
