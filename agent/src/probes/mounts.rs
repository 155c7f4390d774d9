//! Mounted filesystems with their room. Network filesystems are named but never touched, as their servers may be gone.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::facts::{Facts, reason};
use super::host::HostRoot;
use super::live::Space;

/// Filesystems of the kernel's own that hold no data.
const VIRTUAL: &[&str] = &[
    "proc",
    "sysfs",
    "devtmpfs",
    "devpts",
    "cgroup",
    "cgroup2",
    "securityfs",
    "pstore",
    "bpf",
    "debugfs",
    "tracefs",
    "configfs",
    "fusectl",
    "mqueue",
    "hugetlbfs",
    "autofs",
    "binfmt_misc",
    "efivarfs",
    "rpc_pipefs",
    "nsfs",
    "ramfs",
    "selinuxfs",
    "squashfs",
];
/// Filesystems whose servers may not answer.
const REMOTE: &[&str] =
    &["nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "afs", "glusterfs", "lustre", "gpfs", "beegfs", "ocfs2"];

/// One line of `mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// `major:minor` of the device.
    pub devno: String,
    /// Where it is mounted.
    pub place: String,
    /// Type of the filesystem.
    pub kind: String,
    /// What is mounted.
    pub source: String,
    /// Options of this mount.
    pub options: String,
}

impl Mount {
    fn remote(&self) -> bool {
        REMOTE.contains(&self.kind.as_str()) || self.kind.starts_with("fuse")
    }
}

/// All mounts of the host: those of its first process, as this one may run in a mount namespace of its own.
pub(super) fn all(host: &HostRoot) -> Vec<Mount> {
    let text = host.text("/proc/1/mountinfo").or_else(|_| host.text("/proc/self/mountinfo")).unwrap_or_default();
    text.lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(2);
    let (devno, _root, place, options) = (left.next()?, left.next()?, left.next()?, left.next()?);
    let mut right = right.split(' ');
    let (kind, source) = (right.next()?, right.next()?);
    Some(Mount {
        devno: devno.to_owned(),
        place: unescape(place),
        kind: kind.to_owned(),
        source: unescape(source),
        options: options.to_owned(),
    })
}

/// Undoes the octal escapes of blanks in `mountinfo`.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// Adds the mounts that hold data to the section.
pub(super) fn collect(host: &HostRoot, facts: &mut Facts) {
    let mut places = BTreeSet::new();
    let mounts: Vec<Mount> = all(host)
        .into_iter()
        .filter(|mount| !VIRTUAL.contains(&mount.kind.as_str()) && places.insert(mount.place.clone()))
        .collect();
    let shared = host.clone();
    let spaces = super::run::each(mounts.clone(), super::DEADLINE, super::DEVICES_DEADLINE, move |mount: &Mount| {
        (!mount.remote()).then(|| shared.live().space(&mount.place))
    });
    let mut list: Vec<Value> = Vec::new();
    for (mount, space) in mounts.iter().zip(spaces) {
        let mut entry = json!({"place": mount.place, "source": mount.source, "type": mount.kind, "device": mount.devno,
                               "options": mount.options, "remote": mount.remote()});
        match space {
            None => facts.timed_out(&mount.place),
            Some(Some(Ok(space))) => {
                entry["size_bytes"] = json!(space.total);
                entry["usage"] = usage(&space);
            }
            // A place that another mount namespace hides from us is no fault of the host.
            Some(Some(Err(error))) if super::facts::is_absence(&error) => {}
            Some(Some(Err(error))) => facts.missing(&mount.place, reason(&error)),
            Some(None) => {}
        }
        list.push(entry);
    }
    facts.set("mounts", list);
}

fn usage(space: &Space) -> Value {
    json!({"free_bytes": space.free, "available_bytes": space.available, "inodes": space.inodes,
           "inodes_used": space.inodes_used})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_and_without_optional_fields() {
        let line = "36 35 98:0 / /mnt\\040a rw,noatime shared:1 - ext4 /dev/root rw,errors=continue";
        let mount = parse(line).unwrap();
        assert_eq!((mount.devno.as_str(), mount.place.as_str(), mount.kind.as_str()), ("98:0", "/mnt a", "ext4"));
        assert_eq!(parse("1 2 0:21 / /proc rw - proc proc rw").unwrap().kind, "proc");
        assert_eq!(parse("nonsense"), None);
    }
}
