//! The document of a stay.

use std::collections::BTreeSet;

use hostler_common::id::{HostId, JobId};
use hostler_common::step::maintenance::{Boot, CephHost, CephSample};
use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::ceph::Blocker;
use super::super::ceph::progress::Healing;
use super::super::ceph::stable::Stability;
use super::super::ceph::stop::Before;
use super::super::host::HostPhase;
use super::super::policy::Gate;
use super::super::state::Reason;
use super::super::word::Order;
use super::agenda::Task;

/// Where a stay stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing was asked of it yet.
    #[default]
    Fresh,
    /// It works through its agenda.
    Working,
    /// It gives back what it changed; what comes then is in [`Stay::ending`].
    Leaving,
    /// Something failed. It rests as the failure left it until it is told what to do.
    Failed,
    /// The outcome of something is unknown. It rests until it is told what to do.
    Unknown,
    /// The host was worked on and is in service again.
    Done,
    /// The host is in service again, and was not worked on to the end.
    Skipped,
    /// The host stays out of service because somebody wants it so.
    Held,
}

impl Stage {
    /// Whether something happens, or is waited for until a named time.
    #[must_use]
    pub fn is_active(self) -> bool {
        matches!(self, Self::Working | Self::Leaving)
    }
}

/// Why a stay gives back what it changed, and what it is afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// All is done.
    Done,
    /// It is given back before its end.
    Skip(Reason),
    /// Storage is put back as it was, and then it rests as failed.
    Fail(Reason),
    /// It stays as it is: nothing is given back but the lock that others wait for.
    Hold,
}

/// Whether something was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// It was not.
    #[default]
    No,
    /// It was ordered; nobody knows whether it was done. Counts as done where something has to be given back.
    About,
    /// It was.
    Yes,
}

impl Mark {
    /// Whether it was, or may have been.
    #[must_use]
    pub fn maybe(self) -> bool {
        self != Self::No
    }
}

/// What was changed and has to be given back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Marks {
    /// Scheduling is fenced.
    pub fenced: bool,
    /// The storage lock is ours.
    pub lock: bool,
    /// `noout` of the bucket is ours. Where somebody else had set it, it never is.
    pub noout: Mark,
    /// Since when.
    pub noout_since: Option<Timestamp>,
    /// When it was last told that it is set for long.
    pub noout_told: Option<Timestamp>,
    /// The daemons of the host are stopped.
    pub stopped: Mark,
    /// The OSDs may have been down by our hand, and were not seen up since.
    pub shaken: bool,
    /// Storage was touched, and the cluster was not seen clean since.
    pub unsettled: bool,
    /// The OSDs are marked out.
    pub drained: Mark,
    /// Monitors of the fleet were told that the host is in maintenance, and not that it is back.
    pub announced: bool,
    /// They were told that it failed.
    pub told_failed: bool,
}

impl Marks {
    /// `noout` is not ours, or not any more.
    pub(super) fn no_flag(&mut self) {
        (self.noout, self.noout_since, self.noout_told) = (Mark::No, None, None);
    }

    /// Whether anything of the storage has to be given back, the lock aside.
    #[must_use]
    pub fn storage(&self) -> bool {
        self.noout.maybe() || self.stopped.maybe() || self.drained.maybe() || self.shaken
    }
}

/// A job that is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobWait {
    /// Which.
    pub id: JobId,
    /// On which host.
    pub host: HostId,
    /// When it was ordered.
    pub since: Timestamp,
    /// Whether an agent has it.
    pub taken: bool,
    /// When it is looked after it.
    pub due: Timestamp,
    /// How long it may take, in seconds.
    pub deadline: u64,
    /// Whether it may be ordered again if its outcome is unknown.
    pub idempotent: bool,
}

/// The entry of the agenda that is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// Which.
    pub key: String,
    /// The row of history.
    pub step: Uuid,
    /// Since when.
    pub since: Timestamp,
    /// The job that is waited for.
    #[serde(default)]
    pub job: Option<JobWait>,
    /// When it is looked at again.
    #[serde(default)]
    pub next: Option<Timestamp>,
    /// When it is given up.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// For how many seconds since then no manager was there: they count for nothing.
    #[serde(default)]
    pub outage: u64,
    /// For how long all was good, where it is waited for that.
    #[serde(default)]
    pub stable: Stability,
    /// How healing comes along.
    #[serde(default)]
    pub healing: Option<Healing>,
    /// How often in a row something was bad, or could not be asked.
    #[serde(default)]
    pub bad: u32,
    /// Which part of several is at work.
    #[serde(default)]
    pub part: u32,
    /// What was found last, for people.
    #[serde(default)]
    pub said: String,
}

/// What is known of the storage of the host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Storage {
    /// What runs there.
    pub host: Option<CephHost>,
    /// OSDs of the cluster that were down or out when it was first looked at.
    pub away_before: Option<BTreeSet<i64>>,
    /// The last sample, as far as later questions need it.
    pub sample: Option<CephSample>,
    /// How it was before the daemons were stopped.
    pub before: Before,
    /// What kept the last gate closed.
    pub blockers: Vec<Blocker>,
    /// The host that was asked last.
    pub asked: Option<HostId>,
}

/// What is known of the boots of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Boots {
    /// The boot that was found last.
    pub now: Option<Boot>,
    /// The boot before a reboot that was ordered and whose end is not known.
    pub ordered_in: Option<String>,
    /// Who asked for a reboot that was not made yet.
    pub asked_by: Vec<String>,
}

/// One host's time in a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stay {
    /// The session.
    pub session: Uuid,
    /// The host.
    pub host: HostId,
    /// Where it stands.
    pub stage: Stage,
    /// What was ordered.
    pub order: Option<Box<Order>>,
    /// The entry that is open.
    #[serde(default)]
    pub open: Option<Open>,
    /// Entries that are done.
    #[serde(default)]
    pub done: BTreeSet<String>,
    /// The entry that was tried last, and how often since the stay was last told to go on.
    #[serde(default)]
    pub tries: Option<(String, u32)>,
    /// When the next attempt begins.
    #[serde(default)]
    pub again_at: Option<Timestamp>,
    /// Whether nothing new begins.
    #[serde(default)]
    pub paused: bool,
    /// Whether its time is over.
    #[serde(default)]
    pub expired: bool,
    /// How it ends, once that is clear.
    #[serde(default)]
    pub ending: Option<Ending>,
    /// What was changed.
    #[serde(default)]
    pub marks: Marks,
    /// Storage.
    #[serde(default)]
    pub storage: Storage,
    /// Boots.
    #[serde(default)]
    pub boots: Boots,
    /// What people should know.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Why it rests.
    #[serde(default)]
    pub reason: Option<Reason>,
    /// What the row of the host says.
    #[serde(default = "pending")]
    pub phase: HostPhase,
    /// Why it waits, as the row says it.
    #[serde(default)]
    pub waits: Option<Reason>,
    /// The plug-in that runs, or ran last, and where it stands.
    #[serde(default)]
    pub plugin: Option<(String, String)>,
    /// When its time is over.
    #[serde(default)]
    pub host_until: Option<Timestamp>,
    /// When it last came on.
    #[serde(default)]
    pub moved_at: Option<Timestamp>,
    /// How often it told its session something.
    #[serde(default)]
    pub said: u32,
}

fn pending() -> HostPhase {
    HostPhase::Pending
}

impl Stay {
    /// A stay of which nothing was asked.
    #[must_use]
    pub fn new(session: Uuid, host: HostId) -> Self {
        Self {
            session,
            host,
            stage: Stage::Fresh,
            order: None,
            open: None,
            done: BTreeSet::new(),
            tries: None,
            again_at: None,
            paused: false,
            expired: false,
            ending: None,
            marks: Marks::default(),
            storage: Storage::default(),
            boots: Boots::default(),
            warnings: Vec::new(),
            reason: None,
            phase: HostPhase::Pending,
            waits: None,
            plugin: None,
            host_until: None,
            moved_at: None,
            said: 0,
        }
    }

    /// The job that it waits for.
    #[must_use]
    pub fn job(&self) -> Option<JobId> {
        self.open.as_ref().and_then(|open| open.job.as_ref()).map(|job| job.id)
    }

    /// The Ceph cluster whose storage it has, or wants: what its host said, or what it was told.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        let found = self.storage.host.as_ref().map(|host| host.fsid.as_str()).filter(|fsid| !fsid.is_empty());
        found.or_else(|| self.order.as_ref().and_then(|order| order.cluster.as_deref()))
    }

    /// Names of the scripts of the library that its agenda asks for.
    #[must_use]
    pub fn scripts(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .forward()
            .into_iter()
            .filter_map(|entry| match entry.task {
                Task::Gate(Gate::Probe { name }) => Some(name),
                Task::Script(params) => Some(params.script),
                _ => None,
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// What servers elsewhere have to be asked for it right now ([`Gate::question`]): whoever knows the answers tells them in
    /// [`Facts::urls`](super::Facts::urls).
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        match self.task() {
            Some(Task::Gate(gate)) => gate.question().into_iter().collect(),
            _ => Vec::new(),
        }
    }
}
