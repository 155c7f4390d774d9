//! What is around every program that the agent starts: it bounds what the program may use, knows all of its processes
//! however they were started, and ends them all (design §4, spec/hooks.md §10).
//!
//! There are four ways, and the host decides which: a transient scope of systemd, a control group of version 2, groups of
//! version 1, or, where none of them can be had, the family of processes below the supervisor, without limits. Whoever
//! holds the folder of a program finds what is around it again ([`Contained::find`]), also when the supervisor is gone.
//!
//! Must never: touch a process that is not of the program.

mod cgroup1;
mod cgroup2;
mod group;
mod hierarchy;
mod session;
mod systemd;

use std::io;
use std::path::Path;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::files::read_json;
use hierarchy::Hierarchies;

/// The time over which the share of a processor is counted: the longest that kernels take (docs/decisions/0010).
const PERIOD: Duration = Duration::from_secs(1);

/// The record of it in the program's folder.
const FILE: &str = "contained.json";

/// What a program may use. What is absent is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes of memory, with the page cache of what it reads; beyond that it is ended.
    pub memory_max: Option<u64>,
    /// Processes and threads at one time.
    pub tasks_max: Option<u64>,
    /// Processor time in each second; a whole second is one processor.
    pub cpu_quota: Option<Duration>,
    /// Share of the processors against others, 1 to 10000; 100 is what everybody has.
    pub cpu_weight: Option<u16>,
    /// Share of the disks against others, likewise.
    pub io_weight: Option<u16>,
}

impl Limits {
    /// What looking at the host may cost it (spec/introspection.md §6.2).
    #[must_use]
    pub fn probe() -> Self {
        Self {
            memory_max: Some(128 << 20),
            tasks_max: Some(512),
            cpu_quota: Some(Duration::from_millis(100)),
            ..Self::default()
        }
    }
}

/// A way to contain a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A transient scope of the first process.
    Systemd,
    /// A control group of version 2 that the agent makes itself.
    Cgroup2,
    /// Control groups of version 1, one for each controller.
    Cgroup1,
    /// The family of processes below the supervisor: no limits, but nobody escapes as long as the supervisor lives.
    Session,
}

impl Kind {
    /// The ways that this host seems to offer, the best first. The last one always works.
    #[must_use]
    pub fn offered() -> Vec<Self> {
        if Path::new("/run/systemd/system").is_dir() {
            // Where systemd is, all control groups are its own: it moves processes out of others' (seen on version 1).
            return vec![Self::Systemd, Self::Session];
        }
        let hierarchies = Hierarchies::of_this_process().unwrap_or_default();
        let mut offered = Vec::new();
        let (unified, limits) = (hierarchies.unified().is_some(), hierarchies.unified_limits());
        if unified && limits {
            offered.push(Self::Cgroup2);
        }
        if hierarchies.has_version_1() {
            offered.push(Self::Cgroup1);
        }
        if unified && !limits {
            // Beside controllers of version 1 it can end programs and no more.
            offered.push(Self::Cgroup2);
        }
        offered.push(Self::Session);
        offered
    }
}

/// What a program used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Processor time of all its processes.
    pub cpu_time: Duration,
    /// Most memory that one of its processes held at one time, in bytes.
    pub max_rss: u64,
    /// Most memory that all of it held at one time, with the page cache, in bytes; `None` where nobody counted.
    pub memory_peak: Option<u64>,
    /// Whether the kernel ended a process of it because its memory was used up.
    pub oom_killed: bool,
}

impl Usage {
    /// What the children that this process has waited for used: all that is known where no control group counts.
    #[must_use]
    pub fn of_children() -> Self {
        let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else { return Self::default() };
        let time = |value: nix::sys::time::TimeVal| {
            let micros = value.tv_sec().saturating_mul(1_000_000).saturating_add(value.tv_usec());
            Duration::from_micros(u64::try_from(micros).unwrap_or(0))
        };
        Self {
            cpu_time: time(usage.user_time()) + time(usage.system_time()),
            // The kernel counts it in units of 1024 bytes.
            max_rss: u64::try_from(usage.max_rss()).unwrap_or(0) * 1024,
            ..Self::default()
        }
    }

    /// The greater of each: two counters of the same program, of which each may have missed something.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            cpu_time: self.cpu_time.max(other.cpu_time),
            max_rss: self.max_rss.max(other.max_rss),
            memory_peak: self.memory_peak.max(other.memory_peak),
            oom_killed: self.oom_killed || other.oom_killed,
        }
    }
}

/// What is around one program.
#[derive(Debug, Serialize, Deserialize)]
pub struct Contained {
    way: Way,
    shortfalls: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Way {
    Systemd(systemd::Scope),
    Cgroup2(cgroup2::Group),
    Cgroup1(cgroup1::Groups),
    Session(session::Session),
}

macro_rules! each_way {
    ($self:expr, $inner:ident => $what:expr) => {
        match $self {
            Way::Systemd($inner) => $what,
            Way::Cgroup2($inner) => $what,
            Way::Cgroup1($inner) => $what,
            Way::Session($inner) => $what,
        }
    };
}

impl Contained {
    /// Puts the process `pid`, a child of ours that leads a session and has no children yet, into something of its own
    /// that is called after the job `id`: in the way `within`, or in the best one that works.
    ///
    /// # Errors
    /// The demanded way does not work here. Without a demand there is none: the last way always works.
    pub fn around(pid: Pid, id: &str, limits: &Limits, within: Option<Kind>) -> io::Result<Self> {
        let id = plain(id);
        let ways = within.map_or_else(Kind::offered, |kind| vec![kind]);
        let (mut shortfalls, mut last) = (Vec::new(), io::Error::from(io::ErrorKind::Unsupported));
        for kind in ways {
            match Self::try_around(kind, pid, &id, limits, &mut shortfalls) {
                Ok(way) => return Ok(Self { way, shortfalls }),
                Err(error) => {
                    shortfalls.push(format!("{kind:?}: {error}"));
                    last = error;
                }
            }
        }
        Err(last)
    }

    fn try_around(kind: Kind, pid: Pid, id: &str, limits: &Limits, lacks: &mut Vec<String>) -> io::Result<Way> {
        Ok(match kind {
            Kind::Systemd => Way::Systemd(systemd::Scope::around(pid, id, limits)?),
            Kind::Cgroup2 => Way::Cgroup2(cgroup2::Group::around(pid, id, limits, lacks)?),
            Kind::Cgroup1 => Way::Cgroup1(cgroup1::Groups::around(pid, id, limits, lacks)?),
            Kind::Session => {
                if *limits != Limits::default() {
                    lacks.push("nothing on this host limits what programs use".into());
                }
                Way::Session(session::Session::around(pid)?)
            }
        })
    }

    /// What is around the program of a folder, if the record of it is there.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn find(folder: &Path) -> io::Result<Option<Self>> {
        read_json(&folder.join(FILE))
    }

    /// Leaves the record in the program's folder. It need not survive the machine: neither does what it speaks of.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn record(&self, folder: &Path) -> io::Result<()> {
        std::fs::write(folder.join(FILE), serde_json::to_vec(self)?)
    }

    /// In which way.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match &self.way {
            Way::Systemd(_) => Kind::Systemd,
            Way::Cgroup2(_) => Kind::Cgroup2,
            Way::Cgroup1(_) => Kind::Cgroup1,
            Way::Session(_) => Kind::Session,
        }
    }

    /// What this host did not grant: ways that do not work and limits that nobody enforces, for people.
    #[must_use]
    pub fn shortfalls(&self) -> &[String] {
        &self.shortfalls
    }

    /// Sends a signal to every process of the program.
    ///
    /// # Errors
    /// They cannot be found out, or may not be signalled. Ones that are gone already are no error.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        each_way!(&self.way, way => way.signal(signal))
    }

    /// Ends every process of the program at once, so that none can escape by starting another. They may take a moment to
    /// go: ask [`Contained::is_empty`], and repeat.
    ///
    /// # Errors
    /// As [`Contained::signal`].
    pub fn kill(&self) -> io::Result<()> {
        each_way!(&self.way, way => way.kill())
    }

    /// Whether no process of the program is left.
    ///
    /// # Errors
    /// Nobody can tell.
    pub fn is_empty(&self) -> io::Result<bool> {
        each_way!(&self.way, way => way.is_empty())
    }

    /// What the program has used so far, as far as anybody counted.
    #[must_use]
    pub fn usage(&self) -> Usage {
        each_way!(&self.way, way => way.usage())
    }

    /// Takes it away; it must be empty.
    ///
    /// # Errors
    /// It is not empty, or cannot be removed.
    pub fn remove(self) -> io::Result<()> {
        each_way!(self.way, way => way.remove())
    }
}

/// A job's name as part of the name of a control group or a unit.
fn plain(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

/// A weight of version 2 (1 to 10000, usually 100) on a scale where `usual` is what everybody has.
fn scaled(weight: u16, usual: u64, least: u64, most: u64) -> u64 {
    (u64::from(weight) * usual / 100).clamp(least, most)
}
