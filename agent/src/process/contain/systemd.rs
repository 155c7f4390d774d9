//! A transient scope of systemd: it makes the control groups, on either version, and lets nobody else use them.
//!
//! A scope and not a service, because the supervisor must stay the parent of its program. So the program keeps the sandbox
//! of the agent's unit.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::hierarchy::{Hierarchies, Hierarchy};
use super::{Limits, PERIOD, Usage, cgroup1, cgroup2, group};
use crate::bus::{Body, Bus, Reader, SYSTEMD, SYSTEMD_MANAGER, SYSTEMD_PATH};

const SLICE: &str = "hostler-jobs.slice";
const INTERFACE: &str = "org.freedesktop.systemd1.Scope";

/// How long systemd has to put a process into its scope.
const MOVED: Duration = Duration::from_secs(5);

/// The scope of one program.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Scope {
    unit: String,
    /// Its control groups; version 2 has no controllers here.
    groups: Vec<(Vec<String>, PathBuf)>,
    /// The connection that made it. As long as it is open systemd remembers what the scope used.
    #[serde(skip)]
    bus: Mutex<Option<Bus>>,
}

impl Scope {
    pub(super) fn around(pid: Pid, id: &str, limits: &Limits) -> io::Result<Self> {
        let unit = format!("hostler-job-{id}.scope");
        let mut bus = Bus::connect(Path::new("/"))?;
        let body = start(&unit, pid, limits, bus.shared());
        bus.call([SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "StartTransientUnit"], &body)?;
        let groups = moved(pid, &unit)?;
        Ok(Self { unit, groups, bus: Mutex::new(Some(bus)) })
    }

    /// Calls systemd on the connection that there is, or on a new one.
    fn call(&self, method: [&str; 4], body: &Body) -> io::Result<Vec<u8>> {
        let mut kept = self.bus.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bus = match kept.take() {
            Some(bus) => bus,
            None => Bus::connect(Path::new("/"))?,
        };
        let answer = bus.call(method, body);
        // One that was closed (systemd was upgraded, the bus restarted) or is out of step is of no more use.
        if !matches!(&answer, Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::Other)) {
            *kept = Some(bus);
        }
        answer
    }

    /// The folder that says who is in it.
    fn folder(&self) -> io::Result<&Path> {
        self.groups.first().map(|(_, folder)| folder.as_path()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let mut body = Body::new("ssi");
        body.text(&self.unit).text("all").number(signal as u32);
        match self.call([SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "KillUnit"], &body) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // Nobody was in it any more, or systemd does not answer: what is left is ours to signal.
            Err(_) => group::signal_all(group::members(self.folder()?)?, signal),
        }
    }

    pub(super) fn kill(&self) -> io::Result<()> {
        self.signal(Signal::SIGKILL)
    }

    pub(super) fn is_empty(&self) -> io::Result<bool> {
        Ok(group::members(self.folder()?)?.is_empty())
    }

    pub(super) fn usage(&self) -> Usage {
        // First the groups: they go as soon as systemd sees that they are empty. Afterwards it remembers most, but of
        // memory that was used up only with version 2.
        let of_version_1 = cgroup1::usage(|controller| {
            let has = |(names, _): &&(Vec<String>, PathBuf)| names.iter().any(|name| name == controller);
            self.groups.iter().find(has).map(|(_, folder)| folder.clone())
        });
        let unified = self.groups.iter().find(|(controllers, _)| controllers.is_empty());
        let of_version_2 = unified.map(|(_, folder)| cgroup2::usage(folder)).unwrap_or_default();
        of_version_1.or(of_version_2).or(self.remembered())
    }

    fn remembered(&self) -> Usage {
        let number = |name: &str| {
            let body = self.property(name)?;
            let mut reader = Reader::new(&body);
            (reader.signature()? == b"t").then(|| reader.long())?.filter(|value| *value != u64::MAX)
        };
        let result = || {
            let body = self.property("Result")?;
            let mut reader = Reader::new(&body);
            (reader.signature()? == b"s").then(|| reader.text())?
        };
        Usage {
            cpu_time: Duration::from_nanos(number("CPUUsageNSec").unwrap_or(0)),
            max_rss: 0,
            memory_peak: number("MemoryPeak"),
            oom_killed: result().as_deref() == Some("oom-kill"),
        }
    }

    fn property(&self, name: &str) -> Option<Vec<u8>> {
        let path = format!("{SYSTEMD_PATH}/unit/{}", escaped(&self.unit));
        let mut body = Body::new("ss");
        body.text(INTERFACE).text(name);
        self.call([SYSTEMD, &path, "org.freedesktop.DBus.Properties", "Get"], &body).ok()
    }

    pub(super) fn remove(self) -> io::Result<()> {
        // systemd removes an empty scope by itself, and forgets it when the connection is closed.
        if self.is_empty()? { Ok(()) } else { Err(io::ErrorKind::ResourceBusy.into()) }
    }
}

/// The arguments of `StartTransientUnit`.
fn start(unit: &str, pid: Pid, limits: &Limits, shared: bool) -> Body {
    let mut body = Body::new("ssa(sv)a(sa(sv))");
    body.text(unit).text("fail").list(8, |list| {
        for (name, value) in [
            ("Description", "A program that Hostler runs for a job"),
            ("Slice", SLICE),
            ("CollectMode", "inactive-or-failed"),
        ] {
            list.item().text(name).signature("s").text(value);
        }
        list.item().text("PIDs").signature("au").list(4, |pids| {
            pids.number(pid.as_raw().unsigned_abs());
        });
        for name in ["CPUAccounting", "MemoryAccounting", "TasksAccounting"] {
            list.item().text(name).signature("b").number(1);
        }
        if shared {
            // Only who is on the bus can be told apart from others, and be waited for.
            list.item().text("AddRef").signature("b").number(1);
        }
        for (name, value) in properties(limits) {
            list.item().text(name).signature("t").long(value);
        }
    });
    body.list(8, |_| {});
    body
}

/// The properties of a scope with limits; all are numbers of 64 bits.
fn properties(limits: &Limits) -> Vec<(&'static str, u64)> {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let mut found = Vec::new();
    found.extend(limits.memory_max.map(|bytes| ("MemoryMax", bytes)));
    found.extend(limits.tasks_max.map(|tasks| ("TasksMax", tasks)));
    if let Some(quota) = limits.cpu_quota {
        found.push(("CPUQuotaPerSecUSec", micros(quota)));
        found.push(("CPUQuotaPeriodUSec", micros(PERIOD)));
    }
    found.extend(limits.cpu_weight.map(|weight| ("CPUWeight", u64::from(weight))));
    found.extend(limits.io_weight.map(|weight| ("IOWeight", u64::from(weight))));
    found
}

/// Waits until a process is in its scope and says where that is, the group that knows best first.
fn moved(pid: Pid, unit: &str) -> io::Result<Vec<(Vec<String>, PathBuf)>> {
    let began = Instant::now();
    loop {
        let hierarchies = Hierarchies::of(pid)?;
        let there = |hierarchy: &&Hierarchy| hierarchy.own.ends_with(unit);
        let tracked = [hierarchies.version_1("name=systemd"), hierarchies.unified()];
        let limited = ["memory", "pids", "cpu", "cpuacct"].map(|controller| hierarchies.version_1(controller));
        let tracked: Vec<&Hierarchy> = tracked.into_iter().flatten().filter(there).collect();
        if !tracked.is_empty() {
            let groups = tracked.into_iter().chain(limited.into_iter().flatten().filter(there));
            return Ok(groups.map(|found| (found.controllers.clone(), found.own.clone())).collect());
        }
        if began.elapsed() > MOVED {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The name of a unit as part of its path on the bus.
fn escaped(unit: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric();
    unit.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("_{byte:02x}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_is_told() {
        let limits = Limits { cpu_weight: Some(20), io_weight: Some(30), ..Limits::probe() };
        assert_eq!(
            properties(&limits),
            [
                ("MemoryMax", 134_217_728),
                ("TasksMax", 512),
                ("CPUQuotaPerSecUSec", 100_000),
                ("CPUQuotaPeriodUSec", 1_000_000),
                ("CPUWeight", 20),
                ("IOWeight", 30)
            ]
        );
        assert_eq!(properties(&Limits::default()), []);
        assert_eq!(escaped("a-1.scope"), "a_2d1_2escope");
    }
}
