//! Recorded hosts for the probes. A host is a `.tree` file that is laid out in a temporary folder, as a repository cannot hold
//! sysfs with its links. One line each, blanks around the marks:
//!
//! `path = text` a file (`\n` and `\0` in the text stand for themselves), `path -> target` a link, `path /` a folder,
//! `path % hex` a file of bytes, `path < size` an empty image of so many bytes; `#` begins a comment.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use hostler_agent::probes::{HostRoot, Request, collect};
use serde_json::Value;

/// A host that is laid out.
pub struct Host {
    pub dir: tempfile::TempDir,
}

impl Host {
    /// An empty host.
    pub fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// The host of a fixture file.
    pub fn fixture(name: &str) -> Self {
        let host = Self::empty();
        host.lay_out(&fs::read_to_string(fixtures().join(format!("{name}.tree"))).unwrap());
        host
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }

    pub fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn link(&self, path: &str, target: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }

    /// A device image of a size with something written at places.
    pub fn image(&self, path: &str, size: u64, marks: &[(u64, &[u8])]) {
        use std::os::unix::fs::FileExt as _;
        self.file(path, b"");
        let file = fs::OpenOptions::new().write(true).open(self.path(path)).unwrap();
        file.set_len(size).unwrap();
        for (at, bytes) in marks {
            file.write_all_at(bytes, *at).unwrap();
        }
    }

    fn lay_out(&self, text: &str) {
        for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some((path, content)) = line.split_once(" = ") {
                self.file(path, content.replace("\\n", "\n").replace("\\0", "\0"));
            } else if let Some((path, target)) = line.split_once(" -> ") {
                self.link(path, target);
            } else if let Some((path, bytes)) = line.split_once(" % ") {
                self.file(path, hex::decode(bytes.replace(' ', "")).unwrap());
            } else if let Some((path, size)) = line.split_once(" < ") {
                self.image(path, size.parse().unwrap(), &[]);
            } else if let Some(path) = line.strip_suffix(" /") {
                fs::create_dir_all(self.path(path)).unwrap();
            } else {
                panic!("unknown line {line:?}");
            }
        }
    }

    /// The document of all sections.
    pub fn probe(&self) -> Value {
        collect(&HostRoot::recorded(self.dir.path()).unwrap(), &Request::default())
    }

    /// The facts of one section and its record.
    pub fn section(&self, name: &str) -> (Value, Value) {
        let request = Request { sections: Some(vec![name.to_owned()]), ..Request::default() };
        let document = collect(&HostRoot::recorded(self.dir.path()).unwrap(), &request);
        (document["fleet"][name].clone(), document["fleet"]["sections"][name].clone())
    }
}

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Compares with the golden file of a name; with `BLESS=1` in the environment the file is written instead.
pub fn golden(name: &str, actual: &Value) {
    let path = fixtures().join(format!("{name}.json"));
    let text = format!("{:#}\n", actual);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap();
    assert_eq!(text, expected, "{} differs; BLESS=1 accepts", path.display());
}

/// The entry of a list whose `key` has a value.
pub fn find<'a>(list: &'a Value, key: &str, value: &str) -> &'a Value {
    list.as_array()
        .unwrap()
        .iter()
        .find(|entry| entry[key] == value)
        .unwrap_or_else(|| panic!("no {key} {value} in {list}"))
}
