//! Control groups of version 1: one for each controller that is mounted, all called alike.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::hierarchy::Hierarchies;
use super::{Limits, PERIOD, Usage, group, scaled};

/// The controllers that are used, the one that knows best who is in it first.
const CONTROLLERS: &[&str] = &["freezer", "pids", "memory", "cpu", "cpuacct", "blkio"];

/// The groups of one program.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Groups {
    /// Controller and folder; controllers that are mounted together have one folder.
    folders: Vec<(String, PathBuf)>,
}

impl Groups {
    pub(super) fn around(pid: Pid, id: &str, limits: &Limits, lacks: &mut Vec<String>) -> io::Result<Self> {
        let hierarchies = Hierarchies::of_this_process()?;
        let mut groups = Self { folders: Vec::new() };
        let mut refused = io::Error::from(io::ErrorKind::Unsupported);
        for controller in CONTROLLERS {
            let Some(hierarchy) = hierarchies.version_1(controller) else { continue };
            let folder = group::place(&hierarchy.own, id);
            match groups.enter(controller, folder, pid) {
                Ok(()) => {}
                Err(error) => {
                    lacks.push(format!("controller {controller}: {error}"));
                    refused = error;
                }
            }
        }
        if groups.folders.is_empty() {
            return Err(refused);
        }
        for (controller, file, value) in settings(limits) {
            match groups.folder(controller) {
                Some(folder) => group::limit(folder, &[(file, value)], lacks),
                None => lacks.push(format!("{file}: no controller {controller}")),
            }
        }
        Ok(groups)
    }

    fn enter(&mut self, controller: &str, folder: PathBuf, pid: Pid) -> io::Result<()> {
        // The second of two controllers that are mounted together finds the process there already.
        if !self.folders.iter().any(|(_, known)| *known == folder) {
            group::make(&folder)?;
            if let Err(error) = group::set(&folder, "cgroup.procs", &pid.to_string()) {
                group::remove(&folder).ok();
                return Err(error);
            }
        }
        self.folders.push((controller.to_owned(), folder));
        Ok(())
    }

    fn folder(&self, controller: &str) -> Option<&Path> {
        self.folders.iter().find(|(name, _)| name == controller).map(|(_, folder)| folder.as_path())
    }

    /// The folder that says who belongs to the program; all say the same.
    fn first(&self) -> io::Result<&Path> {
        self.folders.first().map(|(_, folder)| folder.as_path()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        group::signal_all(group::members(self.first()?)?, signal)
    }

    pub(super) fn kill(&self) -> io::Result<()> {
        let first = self.first()?;
        let set = |state| match self.folder("freezer") {
            Some(folder) => group::set(folder, "freezer.state", state),
            None => Err(io::ErrorKind::Unsupported.into()),
        };
        let still = || std::fs::read_to_string(first.join("freezer.state")).is_ok_and(|state| state.trim() == "FROZEN");
        group::kill_frozen(first, || set("FROZEN"), still, || set("THAWED"))
    }

    pub(super) fn is_empty(&self) -> io::Result<bool> {
        Ok(group::members(self.first()?)?.is_empty())
    }

    pub(super) fn usage(&self) -> Usage {
        usage(|controller| self.folder(controller).map(Path::to_owned))
    }

    pub(super) fn remove(self) -> io::Result<()> {
        self.folders.iter().map(|(_, folder)| group::remove(folder)).fold(Ok(()), io::Result::and)
    }
}

/// What groups of version 1 have counted.
pub(super) fn usage(folder: impl Fn(&str) -> Option<PathBuf>) -> Usage {
    let memory = folder("memory");
    let number = |folder: Option<PathBuf>, file: &str| group::number::<u64>(&folder?, file);
    Usage {
        cpu_time: Duration::from_nanos(number(folder("cpuacct"), "cpuacct.usage").unwrap_or(0)),
        max_rss: 0,
        memory_peak: number(memory.clone(), "memory.max_usage_in_bytes"),
        oom_killed: memory
            .and_then(|folder| group::entry(&folder, "memory.oom_control", "oom_kill"))
            .is_some_and(|count| count > 0),
    }
}

/// What is written for limits, each with the controller whose file it is.
fn settings(limits: &Limits) -> Vec<(&'static str, &'static str, String)> {
    let mut found = Vec::new();
    if let Some(bytes) = limits.memory_max {
        found.push(("memory", "memory.limit_in_bytes", bytes.to_string()));
    }
    if let Some(tasks) = limits.tasks_max {
        found.push(("pids", "pids.max", tasks.to_string()));
    }
    if let Some(quota) = limits.cpu_quota {
        // The period first: the kernel refuses a quota that is more than its old period allows.
        found.push(("cpu", "cpu.cfs_period_us", PERIOD.as_micros().to_string()));
        found.push(("cpu", "cpu.cfs_quota_us", quota.as_micros().to_string()));
    }
    if let Some(weight) = limits.cpu_weight {
        found.push(("cpu", "cpu.shares", scaled(weight, 1024, 2, 262_144).to_string()));
    }
    if let Some(weight) = limits.io_weight {
        found.push(("blkio", "blkio.bfq.weight", scaled(weight, 100, 1, 1000).to_string()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written() {
        let limits = Limits { cpu_weight: Some(20), io_weight: Some(20), ..Limits::probe() };
        let text: Vec<String> =
            settings(&limits).iter().map(|(controller, file, value)| format!("{controller}: {file}={value}")).collect();
        assert_eq!(
            text,
            [
                "memory: memory.limit_in_bytes=134217728",
                "pids: pids.max=512",
                "cpu: cpu.cfs_period_us=1000000",
                "cpu: cpu.cfs_quota_us=100000",
                "cpu: cpu.shares=204",
                "blkio: blkio.bfq.weight=20"
            ]
        );
    }
}
