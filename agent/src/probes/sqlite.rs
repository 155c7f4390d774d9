//! The rows of one table of an SQLite file, for the database of rpm: read-only without locks, journals or a library that
//! would make files beside it (the file format is documented at sqlite.org/fileformat2.html).
//!
//! A write-ahead log beside the file is heeded: what is committed there counts. Nothing is trusted: every number is checked
//! and everything that is followed has an end.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Largest log that is read; rpm empties it at the end of each transaction.
const LOG_MAX: u64 = 64 << 20;
/// Deepest tree: each level has at least twice the pages of the one above.
const DEPTH_MAX: usize = 32;
const LEAF: u8 = 0x0d;
const INTERIOR: u8 = 0x05;

/// A database that is open for reading.
#[derive(Debug)]
pub(super) struct Database {
    file: File,
    page_size: usize,
    /// Bytes of a page that hold content.
    usable: usize,
    pages: u32,
    /// Pages that the log has in a newer version.
    newer: BTreeMap<u32, Vec<u8>>,
}

/// A value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column<'a> {
    /// Nothing; also the key of a table, which is not in its rows.
    Null,
    /// A whole number.
    Number(i64),
    /// A text, bytes, or a fraction, as it is stored.
    Bytes(&'a [u8]),
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the database is damaged: {what}"))
}

impl Database {
    /// Opens a file, and the log beside it if there is one.
    ///
    /// # Errors
    /// Those of reading; "invalid data" if it is not such a database.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut head = [0; 100];
        file.read_exact_at(&mut head, 0)?;
        let page_size = match u16::from_be_bytes([head[16], head[17]]) {
            1 => 1 << 16,
            size => usize::from(size),
        };
        if !head.starts_with(b"SQLite format 3\0") || !page_size.is_power_of_two() || page_size < 512 {
            return Err(broken("no header"));
        }
        let usable = page_size - usize::from(head[20]);
        let newer = log(&PathBuf::from(format!("{}-wal", path.display())), page_size)?;
        let pages = u32::try_from(file.metadata()?.len() / page_size as u64).unwrap_or(u32::MAX);
        let pages = newer.keys().next_back().map_or(pages, |last| pages.max(*last));
        if usable < 480 {
            return Err(broken("no room in its pages"));
        }
        Ok(Self { file, page_size, usable, pages, newer })
    }

    /// Gives every row of a table to `each`, at least the first `prefix` bytes of it and perhaps no more.
    ///
    /// # Errors
    /// "Not found" if there is no such table; those of reading; "invalid data".
    pub(super) fn rows(&self, table: &str, prefix: usize, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut root = None;
        self.walk(1, 0, usize::MAX, &mut self.pages.clone(), &mut |row| {
            // type, name, tbl_name, rootpage, sql
            let columns = columns(row);
            if let [Column::Bytes(b"table"), Column::Bytes(name), _, Column::Number(page), ..] = columns[..]
                && name == table.as_bytes()
            {
                root = u32::try_from(page).ok();
            }
        })?;
        let root = root.ok_or(io::ErrorKind::NotFound)?;
        self.walk(root, 0, prefix, &mut self.pages.clone(), &mut each)
    }

    fn page(&self, number: u32) -> io::Result<Vec<u8>> {
        if number == 0 || number > self.pages {
            return Err(broken("a page that does not exist"));
        }
        if let Some(page) = self.newer.get(&number) {
            return Ok(page.clone());
        }
        let mut page = vec![0; self.page_size];
        self.file.read_exact_at(&mut page, u64::from(number - 1) * self.page_size as u64)?;
        Ok(page)
    }

    /// Visits the rows of a tree. `left` is how many pages may still be visited: no tree has more than the file.
    fn walk(
        &self,
        number: u32,
        depth: usize,
        prefix: usize,
        left: &mut u32,
        each: &mut dyn FnMut(&[u8]),
    ) -> io::Result<()> {
        *left = left.checked_sub(1).ok_or_else(|| broken("a tree without end"))?;
        if depth > DEPTH_MAX {
            return Err(broken("a tree that is too deep"));
        }
        let page = self.page(number)?;
        // The first page begins with the header of the file.
        let head = if number == 1 { 100 } else { 0 };
        let kind = page[head];
        let cells = usize::from(u16_at(&page, head + 3)?);
        let pointers = head + if kind == INTERIOR { 12 } else { 8 };
        for cell in 0..cells {
            let at = usize::from(u16_at(&page, pointers + 2 * cell)?);
            match kind {
                LEAF => self.row(&page, at, prefix, each)?,
                INTERIOR => self.walk(u32_at(&page, at)?, depth + 1, prefix, left, each)?,
                _ => return Err(broken("a page of another kind")),
            }
        }
        if kind == INTERIOR {
            self.walk(u32_at(&page, head + 8)?, depth + 1, prefix, left, each)?;
        }
        Ok(())
    }

    /// One row of a leaf: its beginning is in the page, the rest in a chain of others.
    fn row(&self, page: &[u8], at: usize, prefix: usize, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut rest = page.get(at..).ok_or_else(|| broken("a row outside of its page"))?;
        let size = varint(&mut rest).and_then(|size| usize::try_from(size).ok());
        let (Some(size), Some(_key)) = (size, varint(&mut rest)) else { return Err(broken("a row without size")) };
        let local = self.local(size);
        let mut payload = rest.get(..local).ok_or_else(|| broken("a row outside of its page"))?.to_vec();
        if local < size {
            let mut next = u32_at(rest, local)?;
            while payload.len() < size.min(prefix) && next != 0 {
                let page = self.page(next)?;
                let part = (size - payload.len()).min(self.usable - 4);
                payload.extend(&page[4..4 + part]);
                next = u32_at(&page, 0)?;
            }
        }
        each(&payload);
        Ok(())
    }

    /// How many bytes of a row of a size are in its leaf.
    fn local(&self, size: usize) -> usize {
        let most = self.usable - 35;
        if size <= most {
            return size;
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let wanted = least + (size - least) % (self.usable - 4);
        if wanted <= most { wanted } else { least }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> io::Result<u16> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk()).copied();
    found.map(u16::from_be_bytes).ok_or_else(|| broken("a page that is too short"))
}

fn u32_at(bytes: &[u8], at: usize) -> io::Result<u32> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk()).copied();
    found.map(u32::from_be_bytes).ok_or_else(|| broken("a page that is too short"))
}

/// A number of one to nine bytes.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for index in 0..9 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if index == 8 {
            return Some(number << 8 | u64::from(*byte));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The values of a row. One that was cut off ends the list with what there is of it.
pub(super) fn columns(row: &[u8]) -> Vec<Column<'_>> {
    let mut found = Vec::new();
    let mut rest = row;
    let Some(head) = varint(&mut rest).and_then(|len| usize::try_from(len).ok()) else { return found };
    let (Some(mut kinds), Some(mut content)) = (row.get(row.len() - rest.len()..head), row.get(head..)) else {
        return found;
    };
    while let Some(kind) = varint(&mut kinds) {
        let len = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            _ => kind.saturating_sub(12) / 2,
        };
        let (value, after) = content.split_at(usize::try_from(len).unwrap_or(usize::MAX).min(content.len()));
        content = after;
        found.push(match kind {
            0 | 10 | 11 => Column::Null,
            8 | 9 => Column::Number((kind - 8) as i64),
            1..=6 => {
                let sign = value.first().is_some_and(|byte| byte & 0x80 != 0);
                Column::Number(value.iter().fold(if sign { -1 } else { 0 }, |n, byte| n << 8 | i64::from(*byte)))
            }
            _ => Column::Bytes(value),
        });
    }
    found
}

/// The pages that a log has, as of its last commit.
fn log(path: &Path, page_size: usize) -> io::Result<BTreeMap<u32, Vec<u8>>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(LOG_MAX).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let (mut committed, mut open) = (BTreeMap::new(), BTreeMap::new());
    let Some((head, mut frames)) = bytes.split_at_checked(32) else { return Ok(committed) };
    let big_endian = match u32_at(head, 0)? {
        0x377f_0682 => false,
        0x377f_0683 => true,
        _ => return Ok(committed),
    };
    let mut sum = checksum((0, 0), &head[..24], big_endian);
    if u32_at(head, 8)? as usize != page_size || !sums_to(sum, &head[24..]) {
        return Ok(committed);
    }
    // What follows the first frame that is not of this log is left over from before.
    while let Some((frame, rest)) = frames.split_at_checked(24 + page_size) {
        sum = checksum(checksum(sum, &frame[..8], big_endian), &frame[24..], big_endian);
        if frame[8..16] != head[16..24] || !sums_to(sum, &frame[16..]) {
            break;
        }
        open.insert(u32_at(frame, 0)?, frame[24..].to_vec());
        if u32_at(frame, 4)? != 0 {
            committed.append(&mut open);
        }
        frames = rest;
    }
    Ok(committed)
}

fn sums_to(sum: (u32, u32), bytes: &[u8]) -> bool {
    (u32_at(bytes, 0).ok(), u32_at(bytes, 4).ok()) == (Some(sum.0), Some(sum.1))
}

fn checksum(before: (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    let word = |word: [u8; 4]| if big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) };
    bytes.chunks_exact(8).fold(before, |(first, second), pair| {
        let first = first.wrapping_add(word([pair[0], pair[1], pair[2], pair[3]])).wrapping_add(second);
        let second = second.wrapping_add(word([pair[4], pair[5], pair[6], pair[7]])).wrapping_add(first);
        (first, second)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(path: &Path) -> io::Result<Vec<usize>> {
        let mut found = Vec::new();
        Database::open(path)?.rows("Packages", 1 << 20, |row| {
            if let [Column::Null, Column::Bytes(blob)] = columns(row)[..] {
                found.push(blob.len());
            }
        })?;
        Ok(found)
    }

    fn fixture(name: &str) -> Vec<u8> {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
    }

    #[test]
    fn numbers() {
        assert_eq!(varint(&mut &[0x81, 0x00][..]), Some(128));
        assert_eq!(varint(&mut &[0xff; 9][..]), Some(u64::MAX));
        assert_eq!(varint(&mut &[0x80][..]), None);
        let row = [5, 1, 8, 9, 17, 0xfe, b'a', b'b'];
        let wanted = [Column::Number(-2), Column::Number(0), Column::Number(1), Column::Bytes(b"ab")];
        assert_eq!(columns(&row), wanted);
    }

    #[test]
    fn rows_in_many_pages_and_what_the_log_has() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        std::fs::write(&path, fixture("rpmdb.sqlite")).unwrap();
        let before = names(&path).unwrap();
        std::fs::write(dir.path().join("db-wal"), fixture("rpmdb.sqlite-wal")).unwrap();
        let after = names(&path).unwrap();
        assert_eq!(after.len(), before.len() + 2);
        assert!(before.iter().any(|len| *len > 2000), "one goes on in other pages");
        // A log of which the last commit is torn counts without it.
        let log = fixture("rpmdb.sqlite-wal");
        std::fs::write(dir.path().join("db-wal"), &log[..log.len() - 1]).unwrap();
        assert_eq!(names(&path).unwrap().len(), before.len() + 1);
    }

    proptest! {
        #[test]
        fn damage_is_an_error_and_never_a_loop(at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
            let mut bytes = fixture("rpmdb.sqlite");
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("db");
            std::fs::write(&path, &bytes).unwrap();
            let _ = names(&path);
            std::fs::write(&path, &bytes[..cut.index(bytes.len())]).unwrap();
            let _ = names(&path);
        }
    }
}
