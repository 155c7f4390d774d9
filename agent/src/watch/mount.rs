//! The persistent file system of this host becomes available (spec/hooks.md §7.9).

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use hostler_common::hook::{Assignment, HookPoint};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::files::{make_folder, read_json, write_json};
use crate::sys::events::Mounts;

/// How long a file system has to answer.
const LIMIT: Duration = Duration::from_secs(10);
/// How long after a file system that did not answer it is asked again.
const AGAIN: Duration = Duration::from_secs(30);

/// A mount, as `mountinfo` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    id: u64,
    place: String,
    kind: String,
    source: String,
}

/// The mount that was told last. Mount ids begin anew with each boot, as does the folder in which this is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    id: u64,
    place: String,
}

pub(super) fn task(assignment: &Assignment) -> Option<String> {
    assignment.persistent_path.starts_with('/').then(|| assignment.persistent_path.clone())
}

pub(super) async fn run(context: Context) -> io::Result<()> {
    let mounts = Mounts::open()?;
    let path = context.assignment.persistent_path.trim_end_matches('/').to_owned();
    let file = context.places.runtime_dir.join("persistent.json");
    make_folder(&context.places.runtime_dir)?;
    let mut told: Told = read_json(&file).ok().flatten().unwrap_or_default();
    loop {
        let found = mounted(&std::fs::read_to_string("/proc/self/mountinfo")?, &path, &context.places.mount_types);
        let mut again = Duration::MAX;
        match found {
            Some(mount) if told != (Told { id: mount.id, place: path.clone() }) => {
                if answers(Path::new(&path)).await {
                    told = Told { id: mount.id, place: path.clone() };
                    if let Err(error) = write_json(&file, &told) {
                        tracing::warn!(%error, "a mount that was told may be told again after a restart");
                    }
                    context.occur(HookPoint::OnPersistentAvailable, vec![path.clone(), mount.kind, mount.source]).await;
                } else {
                    again = AGAIN;
                }
            }
            // Its id may be given to another mount.
            None => told = Told::default(),
            Some(_) => {}
        }
        tokio::select! {
            changed = mounts.changed() => changed?,
            () = tokio::time::sleep(again) => {}
        }
    }
}

/// Whether a file system answers in time. Asked by a program of its own: where it hangs, that hangs.
async fn answers(path: &Path) -> bool {
    let child = tokio::process::Command::new("stat")
        .args(["--file-system", "--format=%T", "--"])
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    match child {
        Ok(mut child) => {
            matches!(tokio::time::timeout(LIMIT, child.wait()).await, Ok(Ok(status)) if status.success())
        }
        Err(error) => {
            tracing::warn!(%error, "a file system cannot be asked");
            false
        }
    }
}

/// The topmost mount at a place, if it is of one of the types.
fn mounted(table: &str, place: &str, types: &[String]) -> Option<Mount> {
    let top = table.lines().filter_map(parse).rfind(|mount| mount.place == place)?;
    types.contains(&top.kind).then_some(top)
}

fn parse(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ');
    let id = left.next()?.parse().ok()?;
    let place = unescape(left.nth(3)?);
    let mut right = right.split(' ');
    Some(Mount { id, place, kind: right.next()?.to_owned(), source: unescape(right.next()?) })
}

/// Undoes octal escapes such as `\040`.
fn unescape(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, tail @ ..] = rest {
        let octal = tail.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(|b| (b'0'..=b'7').contains(b)));
        let number = octal.map(|digits| digits.iter().fold(0_u32, |sum, digit| sum * 8 + u32::from(digit - b'0')));
        match number.and_then(|number| u8::try_from(number).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_mount_counts() {
        let types = ["ceph".to_owned(), "fuse.ceph-fuse".to_owned()];
        let table = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                     40 21 0:50 / /persistent rw,relatime shared:7 - ceph 10.0.0.1:6789:/servers/3 rw,name=x\n";
        let mount = mounted(table, "/persistent", &types).unwrap();
        assert_eq!((mount.id, mount.kind.as_str(), mount.source.as_str()), (40, "ceph", "10.0.0.1:6789:/servers/3"));
        assert_eq!(mounted(table, "/", &types), None, "not of a type that counts");
        assert_eq!(mounted(table, "/other", &types), None);
        let over = format!("{table}55 40 0:51 / /persistent rw - tmpfs tmpfs rw\nnonsense\n");
        assert_eq!(mounted(&over, "/persistent", &types), None, "something lies over it");
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape(r"/a\040b\134c"), r"/a b\c");
        assert_eq!(unescape(r"\9 \04"), r"\9 \04");
        assert_eq!(parse(r"1 2 0:5 / /mnt\040x rw - fuse.ceph-fuse ceph\011y rw").unwrap().place, "/mnt x");
    }
}
