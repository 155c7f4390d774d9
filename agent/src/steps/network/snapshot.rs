//! What a change of the network is put back from.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hostler_common::step::{NetworkChange, NetworkFile};
use nix::unistd::{Group, getegid, geteuid};
use serde::{Deserialize, Serialize};

use super::apply::Way;
use crate::files::{make_folder, read_json, sync_folder, write_json};

/// The group as which systemd-networkd reads its files.
const NETWORKD: &str = "systemd-network";

/// The files as they were, in a folder of its own. That the folder is gone means that nothing is to be put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    folder: PathBuf,
    record: Record,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    files: Vec<Before>,
    interfaces: Vec<String>,
    way: Way,
    wait: Duration,
}

/// A file as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    path: PathBuf,
    /// Its bytes and rights; `None` where there was none.
    content: Option<(Vec<u8>, Rights)>,
}

/// Who may read and write a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Rights {
    mode: u32,
    user: u32,
    group: u32,
}

impl Rights {
    fn of(metadata: &fs::Metadata) -> Self {
        Self { mode: metadata.permissions().mode() & 0o7777, user: metadata.uid(), group: metadata.gid() }
    }

    /// Those of a file that was not there before: others than who reads it must not read keys of wireless networks and VPNs.
    fn fresh(way: Way) -> io::Result<Self> {
        let alone = Self { mode: 0o600, user: geteuid().as_raw(), group: getegid().as_raw() };
        if way != Way::Networkd {
            return Ok(alone);
        }
        // It does not run as root.
        let group = Group::from_name(NETWORKD)?;
        Ok(group.map_or(alone, |group| Self { mode: 0o640, group: group.gid.as_raw(), ..alone }))
    }
}

impl Snapshot {
    /// Reads the files of a change and writes them down below `folder`.
    pub(super) fn take(folder: &Path, step: &NetworkChange, way: Way, wait: Duration) -> io::Result<Self> {
        let mut files = Vec::new();
        for file in &step.files {
            let path = PathBuf::from(&file.path);
            let content = match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_file() => Some((fs::read(&path)?, Rights::of(&metadata))),
                Ok(_) => return Err(io::Error::other(format!("{} is not a plain file", file.path))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            files.push(Before { path, content });
        }
        let record = Record { files, interfaces: step.interfaces.clone(), way, wait };
        let folder = folder.join(uuid::Uuid::now_v7().to_string());
        make_folder(&folder)?;
        write_json(&folder.join("before.json"), &record)?;
        Ok(Self { folder, record })
    }

    /// Reads what was written down; `None` where that was given up.
    pub(super) fn load(folder: &Path) -> io::Result<Option<Self>> {
        let record = read_json(&folder.join("before.json"))?;
        Ok(record.map(|record| Self { folder: folder.to_owned(), record }))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn way(&self) -> Way {
        self.record.way
    }

    pub(super) fn interfaces(&self) -> &[String] {
        &self.record.interfaces
    }

    /// How long a change may be unconfirmed.
    pub(super) fn wait(&self) -> Duration {
        self.record.wait
    }

    /// The files for people: path, and how many bytes it had.
    pub(super) fn described(&self) -> Vec<serde_json::Value> {
        let describe = |before: &Before| serde_json::json!({"path": before.path, "bytes": before.content.as_ref().map(|(bytes, _)| bytes.len())});
        self.record.files.iter().map(describe).collect()
    }

    /// Puts every file back as it was.
    pub(super) fn put_back(&self) -> io::Result<()> {
        self.record.files.iter().try_for_each(|before| match &before.content {
            Some((bytes, rights)) => replace(&before.path, bytes, *rights),
            None => remove(&before.path),
        })
    }

    /// Nothing is to be put back any more.
    pub(super) fn forget(&self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::error!(%error, folder = %self.folder.display(), "a change may be put back though it is confirmed");
        }
    }
}

/// Writes the files of a change.
pub(super) fn write(files: &[NetworkFile], way: Way) -> io::Result<()> {
    files.iter().try_for_each(|file| {
        let path = Path::new(&file.path);
        match &file.contents {
            Some(contents) => {
                let rights = fs::metadata(path).map_or_else(|_| Rights::fresh(way), |there| Ok(Rights::of(&there)))?;
                replace(path, contents.as_bytes(), rights)
            }
            None => remove(path),
        }
    })
}

/// The file has the old content or all of the new one. The name in between is one that no network manager reads.
fn replace(path: &Path, bytes: &[u8], rights: Rights) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    if !folder.is_dir() {
        fs::create_dir_all(folder)?;
        // Rights are those of the files: whoever reads these must get to them.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let partial = folder.join(format!(".{name}.hostler-new"));
    remove(&partial)?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    file.write_all(bytes)?;
    // The owner first: a change of it may take rights away.
    fchown(&file, Some(rights.user), Some(rights.group))?;
    file.set_permissions(fs::Permissions::from_mode(rights.mode))?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    sync_folder(folder)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
