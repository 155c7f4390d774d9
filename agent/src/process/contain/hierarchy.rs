//! Where the control groups of a process are: the hierarchies that are mounted, and its place in each.

use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

/// Controllers of version 2 without which a group only ends programs.
const LIMITING: &[&str] = &["memory", "pids", "cpu"];

/// The hierarchies of control groups that this process sees, and where some process is in them.
#[derive(Debug, Default)]
pub(super) struct Hierarchies(Vec<Hierarchy>);

/// One hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    /// Controllers of version 1; none is version 2.
    pub controllers: Vec<String>,
    /// The topmost folder that can be seen of it.
    pub top: PathBuf,
    /// The folder of the process.
    pub own: PathBuf,
}

impl Hierarchies {
    /// Those of this process.
    pub(super) fn of_this_process() -> io::Result<Self> {
        Self::of(Pid::this())
    }

    /// Those of a process.
    pub(super) fn of(pid: Pid) -> io::Result<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        let places = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        Ok(Self(read(&mounts, &places)))
    }

    /// Version 2.
    pub(super) fn unified(&self) -> Option<&Hierarchy> {
        self.0.iter().find(|hierarchy| hierarchy.controllers.is_empty())
    }

    /// Whether version 2 has controllers that limit programs; beside version 1 it has none or few.
    pub(super) fn unified_limits(&self) -> bool {
        let Some(unified) = self.unified() else { return false };
        let controllers = std::fs::read_to_string(unified.top.join("cgroup.controllers")).unwrap_or_default();
        controllers.split_whitespace().any(|name| LIMITING.contains(&name))
    }

    /// Whether there is a controller of version 1.
    pub(super) fn has_version_1(&self) -> bool {
        self.0.iter().any(|hierarchy| hierarchy.controllers.iter().any(|name| !name.contains('=')))
    }

    /// The hierarchy of a controller of version 1.
    pub(super) fn version_1(&self, controller: &str) -> Option<&Hierarchy> {
        self.0.iter().find(|hierarchy| hierarchy.controllers.iter().any(|name| name == controller))
    }
}

fn read(mounts: &str, places: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (left, right): (Vec<&str>, Vec<&str>) = (left.split(' ').collect(), right.split(' ').collect());
        let (&[_, _, _, root, mount, ..], &[kind, _, options]) = (&left[..], &right[..]) else { continue };
        let place = places.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let names: Vec<&str> = controllers.split(',').filter(|name| !name.is_empty()).collect();
            let same = match kind {
                "cgroup2" => names.is_empty(),
                "cgroup" => !names.is_empty() && names.iter().all(|name| options.split(',').any(|own| own == *name)),
                _ => false,
            };
            same.then(|| (names.into_iter().map(str::to_owned).collect(), path))
        });
        let Some((controllers, path)) = place else { continue };
        // The mount may show only a part of the hierarchy; a process elsewhere in it has no place that can be seen.
        let Ok(below) = Path::new(path).strip_prefix(root) else { continue };
        let top = PathBuf::from(mount);
        let own = if below.as_os_str().is_empty() { top.clone() } else { top.join(below) };
        if !found.iter().any(|other| other.controllers == controllers) {
            found.push(Hierarchy { controllers, top, own });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_and_mounts_of_a_part() {
        let mounts = "\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
31 22 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /lab /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
42 31 0:40 /elsewhere /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids";
        let places = "9:name=systemd:/init\n8:pids:/here\n4:memory:/lab/a/b\n2:cpu,cpuacct:/\n0::/user.slice/x.scope\n";
        let found = Hierarchies(read(mounts, places));
        let own = |hierarchy: Option<&Hierarchy>| hierarchy.map(|found| found.own.display().to_string());
        assert_eq!(own(found.version_1("cpuacct")).as_deref(), Some("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(own(found.version_1("memory")).as_deref(), Some("/sys/fs/cgroup/memory/a/b"));
        assert_eq!(own(found.version_1("pids")), None);
        assert_eq!(own(found.unified()).as_deref(), Some("/sys/fs/cgroup/unified/user.slice/x.scope"));
        assert!(found.has_version_1());
        let only_v2 = Hierarchies(read("1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw", "0::/\n"));
        assert!(!only_v2.has_version_1() && only_v2.unified().is_some());
    }
}
