//! Files that are whole or not there.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Writes `value` as JSON: the file has the old content or all of the new one, also after a power cut. Only the owner can
/// read it.
///
/// # Errors
/// The file, or its folder, cannot be written.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    write(path, &serde_json::to_vec(value)?)
}

/// Writes bytes in the same manner.
///
/// # Errors
/// The file, or its folder, cannot be written.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    write_with(path, 0o600, content)
}

/// Writes bytes in the same manner, for those whom `mode` names.
///
/// # Errors
/// The file, or its folder, cannot be written.
pub fn write_with(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&partial)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Makes a folder that only the daemon can enter: keys, the database and what programs wrote lie in such. One that is there keeps the
/// rights that somebody gave it.
///
/// # Errors
/// The folder cannot be made.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes what was created, renamed or removed in a folder durable.
///
/// # Errors
/// The folder cannot be opened.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Reads JSON; `None` if there is no file.
///
/// # Errors
/// The file cannot be read, or is not what it should be; the error names the file.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
        Ok(content) => serde_json::from_slice(&content)
            .map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn new_folders_are_the_daemons_alone_and_old_ones_keep_their_rights() {
        let root = tempfile::tempdir().unwrap();
        let (new, kept) = (root.path().join("a/b"), root.path().join("kept"));
        make_folder(&new).unwrap();
        make_folder(&new).unwrap();
        assert_eq!(mode(&new), 0o700);
        std::fs::create_dir(&kept).unwrap();
        std::fs::set_permissions(&kept, std::fs::Permissions::from_mode(0o750)).unwrap();
        make_folder(&kept).unwrap();
        assert_eq!(mode(&kept), 0o750);
    }

    #[test]
    fn files_are_replaced_whole_and_their_owners_alone() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("x.json");
        for content in [vec![1_u8, 2], vec![3]] {
            write_json(&file, &content).unwrap();
            assert_eq!(read_json::<Vec<u8>>(&file).unwrap(), Some(content));
        }
        assert_eq!(mode(&file), 0o600);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
        assert_eq!(read_json::<u8>(&root.path().join("absent")).unwrap(), None);
    }
}
