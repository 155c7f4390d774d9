//! A control group of version 2 that is the agent's own: for hosts without systemd.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::hierarchy::{Hierarchies, Hierarchy};
use super::{Limits, PERIOD, Usage, group};

/// The group of one program.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Group {
    folder: PathBuf,
}

impl Group {
    pub(super) fn around(pid: Pid, id: &str, limits: &Limits, lacks: &mut Vec<String>) -> io::Result<Self> {
        let hierarchies = Hierarchies::of_this_process()?;
        let unified = hierarchies.unified().ok_or(io::ErrorKind::Unsupported)?;
        let base = base(unified);
        let folder = group::place(&base, id);
        group::make(&folder)?;
        // Controllers are handed down from group to group; one that is not shows as a missing limit below.
        for above in [&*base, folder.parent().unwrap_or(&base)] {
            for controller in ["memory", "cpu", "pids", "io"] {
                group::set(above, "cgroup.subtree_control", &format!("+{controller}")).ok();
            }
        }
        let (mut wanted, optional) = settings(limits);
        wanted.retain(|(file, value)| group::set(&folder, file, value).is_err());
        group::limit(&folder, &wanted, lacks);
        group::limit(&folder, &optional, &mut Vec::new());
        if let Err(error) = group::set(&folder, "cgroup.procs", &pid.to_string()) {
            group::remove(&folder).ok();
            return Err(error);
        }
        Ok(Self { folder })
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        group::signal_all(group::members(&self.folder)?, signal)
    }

    pub(super) fn kill(&self) -> io::Result<()> {
        match group::set(&self.folder, "cgroup.kill", "1") {
            // Kernels before 5.14.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.kill_frozen(),
            other => other,
        }
    }

    fn kill_frozen(&self) -> io::Result<()> {
        group::kill_frozen(
            &self.folder,
            || group::set(&self.folder, "cgroup.freeze", "1"),
            || group::entry(&self.folder, "cgroup.events", "frozen") == Some(1),
            || group::set(&self.folder, "cgroup.freeze", "0"),
        )
    }

    pub(super) fn is_empty(&self) -> io::Result<bool> {
        Ok(group::members(&self.folder)?.is_empty())
    }

    pub(super) fn usage(&self) -> Usage {
        usage(&self.folder)
    }

    pub(super) fn remove(self) -> io::Result<()> {
        group::remove(&self.folder)
    }
}

/// What a group of version 2 has counted.
pub(super) fn usage(folder: &Path) -> Usage {
    Usage {
        cpu_time: Duration::from_micros(group::entry(folder, "cpu.stat", "usage_usec").unwrap_or(0)),
        max_rss: 0,
        memory_peak: group::number(folder, "memory.peak"),
        oom_killed: group::entry(folder, "memory.events", "oom_kill").is_some_and(|count| count > 0),
    }
}

/// The group below which ours may be made. One that has processes cannot hand down controllers to others, so it is the one
/// above the agent's, unless that one is the top.
fn base(unified: &Hierarchy) -> PathBuf {
    match unified.own.parent() {
        Some(above) if unified.own != unified.top => above.to_owned(),
        _ => unified.top.clone(),
    }
}

type Settings = Vec<(&'static str, String)>;

/// What is written for limits, and what else is written where the kernel has it.
fn settings(limits: &Limits) -> (Settings, Settings) {
    let mut wanted = Vec::new();
    let mut optional = Vec::new();
    if let Some(bytes) = limits.memory_max {
        wanted.push(("memory.max", bytes.to_string()));
        // One process that is killed leaves the others of a program without their work.
        optional.push(("memory.oom.group", "1".into()));
    }
    if let Some(tasks) = limits.tasks_max {
        wanted.push(("pids.max", tasks.to_string()));
    }
    if let Some(quota) = limits.cpu_quota {
        wanted.push(("cpu.max", format!("{} {}", quota.as_micros(), PERIOD.as_micros())));
    }
    if let Some(weight) = limits.cpu_weight {
        wanted.push(("cpu.weight", weight.to_string()));
    }
    if let Some(weight) = limits.io_weight {
        wanted.push(("io.weight", weight.to_string()));
    }
    (wanted, optional)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written() {
        let limits = Limits { cpu_weight: Some(20), io_weight: Some(30), ..Limits::probe() };
        let (wanted, optional) = settings(&limits);
        let text: Vec<String> = wanted.iter().map(|(file, value)| format!("{file}={value}")).collect();
        assert_eq!(
            text,
            ["memory.max=134217728", "pids.max=512", "cpu.max=100000 1000000", "cpu.weight=20", "io.weight=30"]
        );
        assert_eq!(optional, [("memory.oom.group", "1".to_owned())]);
        assert!(settings(&Limits::default()).0.is_empty());
    }

    #[test]
    fn groups_are_made_where_controllers_can_be_handed_down() {
        let at = |own: &str| Hierarchy { controllers: Vec::new(), top: "/c".into(), own: own.into() };
        assert_eq!(base(&at("/c")), Path::new("/c"));
        assert_eq!(base(&at("/c/a")), Path::new("/c"));
        assert_eq!(base(&at("/c/a/b")), Path::new("/c/a"));
    }
}
