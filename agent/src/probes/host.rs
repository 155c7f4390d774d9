//! The host that is being looked at: a directory that stands for `/`, and the live sources that no directory can hold.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::live::{Kernel, Live, Recorded};

/// The most that is read of one text file, in bytes. Larger files (package databases) are streamed by their probe.
const TEXT_LIMIT: u64 = 1 << 20;

/// Where facts are read: `/` of this machine, or a recorded tree of another one. Cheap to clone.
#[derive(Clone)]
pub struct HostRoot {
    root: PathBuf,
    live: Arc<dyn Live>,
}

impl std::fmt::Debug for HostRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HostRoot").field(&self.root).finish()
    }
}

impl HostRoot {
    /// This machine.
    #[must_use]
    pub fn machine() -> Self {
        Self { root: PathBuf::from("/"), live: Arc::new(Kernel) }
    }

    /// A recorded tree; its `live.json`, if there is one, answers for the live sources ([`Recorded`]).
    ///
    /// # Errors
    /// `live.json` exists but is not what [`Recorded`] reads.
    pub fn recorded(root: &Path) -> io::Result<Self> {
        let live = match fs::read(root.join("live.json")) {
            Ok(text) => serde_json::from_slice::<Recorded>(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Recorded::default(),
            Err(error) => return Err(error),
        };
        Ok(Self::with_live(root, Arc::new(live)))
    }

    /// A tree with given live sources.
    #[must_use]
    pub fn with_live(root: &Path, live: Arc<dyn Live>) -> Self {
        Self { root: root.to_owned(), live }
    }

    /// The live sources.
    #[must_use]
    pub fn live(&self) -> &dyn Live {
        self.live.as_ref()
    }

    /// Where an absolute path of the host lies here.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The beginning of a text file, without surrounding blanks and NULs; bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// Those of opening and reading.
    pub fn text(&self, path: &str) -> io::Result<String> {
        let bytes = self.bytes(path, TEXT_LIMIT)?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned())
    }

    /// [`HostRoot::text`] of a small file, `None` if it is missing, unreadable or empty.
    #[must_use]
    pub fn word(&self, path: &str) -> Option<String> {
        self.text(path).ok().filter(|text| !text.is_empty())
    }

    /// A file that holds one number (or anything else that reads itself from text).
    #[must_use]
    pub fn number<T: FromStr>(&self, path: &str) -> Option<T> {
        self.word(path)?.parse().ok()
    }

    /// Whether a file holds `1`, `Y` or `y`; `None` if it cannot be read.
    #[must_use]
    pub fn flag(&self, path: &str) -> Option<bool> {
        self.word(path).map(|text| matches!(text.as_str(), "1" | "Y" | "y"))
    }

    /// At most `limit` bytes of a file.
    ///
    /// # Errors
    /// Those of opening and reading.
    pub fn bytes(&self, path: &str, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open(path)?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Up to `len` bytes from `offset` on; shorter at the end of the file or device.
    ///
    /// # Errors
    /// Those of opening, seeking and reading.
    pub fn bytes_at(&self, path: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut file = self.open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::with_capacity(len);
        file.take(len as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// Those of `open(2)`.
    pub fn open(&self, path: &str) -> io::Result<File> {
        crate::sys::open_device(&self.path(path))
    }

    /// Names in a folder, numbers in them compared as numbers; empty if there is no such folder.
    #[must_use]
    pub fn list(&self, path: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(path)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_by(|a, b| natural(a, b));
        names
    }

    /// Whether something is there (a link that leads nowhere counts).
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }

    /// The last part of what a link points to: the driver of a device, the group it is in.
    #[must_use]
    pub fn link_name(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.path(path)).ok()?;
        target.file_name()?.to_str().map(str::to_owned)
    }

    /// The real place of a path, as an absolute path of the host.
    #[must_use]
    pub fn resolve(&self, path: &str) -> Option<String> {
        let root = fs::canonicalize(&self.root).ok()?;
        let real = fs::canonicalize(self.path(path)).ok()?;
        Some(format!("/{}", real.strip_prefix(root).ok()?.to_str()?))
    }
}

/// Compares names so that `sdb` comes before `sdaa` and `nvme2` before `nvme10`.
#[must_use]
pub fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    let key = |name: &str| {
        let mut parts: Vec<(u64, usize, String)> = Vec::new();
        for c in name.chars() {
            match (c.to_digit(10), parts.last_mut()) {
                (Some(digit), Some((number, digits, text))) if text.is_empty() => {
                    *number = number.saturating_mul(10).saturating_add(u64::from(digit));
                    *digits += 1;
                }
                (Some(digit), _) => parts.push((u64::from(digit), 1, String::new())),
                (None, Some((_, len, text))) if !text.is_empty() => {
                    text.push(c);
                    *len += 1;
                }
                (None, _) => parts.push((0, 1, c.to_string())),
            }
        }
        // Text parts of disks count in base 26, so the shorter one is the earlier one: length before letters.
        parts
            .into_iter()
            .map(|(number, len, text)| if text.is_empty() { (number, 0, text) } else { (0, len, text) })
            .collect::<Vec<_>>()
    };
    let disk = |name: &str| ["sd", "vd", "xvd", "hd"].iter().any(|p| name.starts_with(p));
    if disk(a) && disk(b) { key(a).cmp(&key(b)) } else { plain(a).cmp(&plain(b)) }
}

fn plain(name: &str) -> Vec<(bool, u64, char)> {
    let mut key: Vec<(bool, u64, char)> = Vec::new();
    for c in name.chars() {
        match (c.to_digit(10), key.last_mut()) {
            (Some(digit), Some((false, number, _))) => {
                *number = number.saturating_mul(10).saturating_add(u64::from(digit));
            }
            (Some(digit), _) => key.push((false, u64::from(digit), '0')),
            (None, _) => key.push((true, 0, c)),
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_people_count() {
        let mut disks = vec!["sdaa", "nvme10n1", "sdb", "nvme2n1", "sda", "sda10", "sda2"];
        disks.sort_by(|a, b| natural(a, b));
        assert_eq!(disks, ["nvme2n1", "nvme10n1", "sda", "sda2", "sda10", "sdb", "sdaa"]);
    }
}
