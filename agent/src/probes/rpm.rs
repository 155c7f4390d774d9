//! The packages of rpm, read from its SQLite database. Older databases (Berkeley DB, ndb) have no reader here.

use std::io;

use super::host::HostRoot;
use super::packages::Package;
use super::sqlite::{Column, Database, columns};

const SQLITE: &[&str] = &["/var/lib/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite"];
const OTHERS: &[&str] = &["/var/lib/rpm/Packages.db", "/usr/lib/sysimage/rpm/Packages.db", "/var/lib/rpm/Packages"];

/// How much of a package's header is read: what is wanted is before its lists of files, which may have megabytes.
const HEADER: usize = 32 << 10;

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const VENDOR: u32 = 1011;
const ARCHITECTURE: u32 = 1022;
const SOURCE: u32 = 1044;

const INT32: u32 = 4;
const STRING: u32 = 6;

/// Where the database of this host is, if it is one that can be read.
pub(super) fn database(host: &HostRoot) -> Option<&'static str> {
    SQLITE.iter().copied().find(|path| host.exists(path))
}

/// A database of this host that cannot be read.
pub(super) fn unreadable(host: &HostRoot) -> Option<&'static str> {
    OTHERS.iter().copied().find(|path| host.exists(path))
}

/// All installed packages.
///
/// # Errors
/// Those of reading; "interrupted" if the database was changed meanwhile, twice; "invalid data".
pub(super) fn packages(host: &HostRoot, database: &str) -> io::Result<Vec<Package>> {
    for _ in 0..2 {
        // Nothing is locked, as that would write: what changed meanwhile is read again.
        let before = stamps(host, database);
        let found = read(host, database);
        if stamps(host, database) == before {
            return found;
        }
    }
    Err(io::Error::new(io::ErrorKind::Interrupted, "the rpm database is being changed"))
}

fn stamps(host: &HostRoot, database: &str) -> Vec<Option<(std::time::SystemTime, u64)>> {
    let stamp = |path: String| {
        let metadata = host.path(&path).metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    ["", "-wal"].iter().map(|end| stamp(format!("{database}{end}"))).collect()
}

fn read(host: &HostRoot, database: &str) -> io::Result<Vec<Package>> {
    let mut found = Vec::new();
    let mut unread = 0;
    Database::open(&host.path(database))?.rows("Packages", HEADER, |row| {
        match columns(row)[..] {
            [Column::Null | Column::Number(_), Column::Bytes(header)] => match package(header) {
                // Keys that signatures are checked with are kept like packages.
                Some(package) if package.name == "gpg-pubkey" => {}
                Some(package) => found.push(package),
                None => unread += 1,
            },
            _ => unread += 1,
        }
    })?;
    if unread > 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{unread} packages cannot be read")));
    }
    Ok(found)
}

/// The package of a header: two numbers, the index, and the values that it points at.
fn package(header: &[u8]) -> Option<Package> {
    let number = |at: usize| header.get(at..).and_then(|rest| rest.first_chunk()).copied().map(u32::from_be_bytes);
    let entries = usize::try_from(number(0)?).ok()?;
    let values = 8 + entries.checked_mul(16)?;
    let find = |tag: u32, kind: u32| {
        (0..entries).map(|entry| 8 + 16 * entry).take_while(|at| *at + 16 <= header.len()).find_map(|at| {
            let of_tag = number(at) == Some(tag) && number(at + 4) == Some(kind);
            of_tag.then(|| usize::try_from(number(at + 8)?).ok()?.checked_add(values)).flatten()
        })
    };
    let text = |tag: u32| {
        let rest = header.get(find(tag, STRING)?..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    };
    let epoch = find(EPOCH, INT32).and_then(number).map_or_else(String::new, |epoch| format!("{epoch}:"));
    Some(Package {
        name: text(NAME)?,
        version: format!("{epoch}{}-{}", text(VERSION)?, text(RELEASE)?),
        architecture: text(ARCHITECTURE).unwrap_or_default(),
        source: text(SOURCE),
        origin: text(VENDOR),
        held: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_database() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("var/lib/rpm");
        std::fs::create_dir_all(&folder).unwrap();
        let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        for name in ["rpmdb.sqlite", "rpmdb.sqlite-wal"] {
            std::fs::copy(fixtures.join(name), folder.join(name)).unwrap();
        }
        let host = HostRoot::recorded(dir.path()).unwrap();
        let database = database(&host).unwrap();
        let mut found = packages(&host, database).unwrap();
        found.sort();
        assert_eq!(found.len(), 42, "keys are no packages");
        assert_eq!(found[0].name, "late-1", "from the log");
        let big = found.iter().find(|package| package.name == "pkg-07").unwrap();
        let wanted = Package {
            name: "pkg-07".into(),
            version: "2:1.7-1.el9".into(),
            architecture: "x86_64".into(),
            source: None,
            origin: Some("Vendor 7".into()),
            held: false,
        };
        assert_eq!(Package { source: None, ..big.clone() }, wanted);
        assert_eq!(found[5].source.as_deref(), Some("src-3.src.rpm"));
    }

    #[test]
    fn headers_that_lie_are_no_packages() {
        assert_eq!(package(b""), None);
        assert_eq!(package(&[0xff; 64]), None);
    }
}
