//! What a stay has to do, and in which order. Agendas are never stored: they follow from the order, from what was found and from
//! what was changed. Entries are known by their keys, which are.

use hostler_common::step::Step;

use super::super::host::HostPhase;
use super::super::policy::{Approval, ComputeMode, Gate, Reboot};
use super::super::row::StepKind;
use super::builtin::canonical;
use super::doc::{Ending, Mark, Stay};
use super::params::{Params, ScriptParams};

/// Which health gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// Before anything of the host is touched.
    Before,
    /// With the storage lock in hand.
    Entry,
    /// After daemons were handed over, with our flag set: it need not hold for long.
    Middle,
    /// A plug-in asks for it.
    Asked,
    /// Before the host is left.
    Exit,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Task {
    /// Whether the host may be worked on.
    Precheck,
    /// What of Ceph is on it.
    Look,
    /// A gate of the policy, or one that a plug-in asks for.
    Gate(Gate),
    /// A health gate.
    Health(Health),
    /// Somebody has to approve, within so many seconds.
    Approve(u32),
    /// Nothing new is scheduled on it.
    Fence,
    /// The session empties it.
    Empty,
    /// Whether no guest runs on it, as the host itself sees it.
    Vacant,
    /// The storage lock is taken.
    Lock,
    /// OSDs are marked out and emptied.
    Drain,
    /// Whether the daemons may stop.
    MayStop,
    /// `noout` is set.
    Noout,
    /// Standbys take over.
    HandOver,
    /// The daemons stop.
    Stop,
    /// Whether the stop went well.
    Settle,
    /// The fleet is told.
    Announce,
    /// A step of the agent.
    Step(Box<Step>),
    /// A script of the library.
    Script(ScriptParams),
    /// A plug-in of an operator.
    Plugin,
    /// A reboot is asked for.
    AskReboot,
    /// The host boots; in its place among the plug-ins or after them.
    Reboot {
        /// Whatever the host itself says.
        always: bool,
    },
    /// The host is there and says what it runs.
    Verify,
    /// The kernel's release begins with this.
    Kernel(String),
    /// Some seconds pass.
    Wait(u32),
    /// The daemons start.
    Start,
    /// The OSDs are up again.
    Back,
    /// The OSDs may have data again.
    DrainBack,
    /// `noout` is taken back.
    NooutOff,
    /// The storage lock is given back.
    Unlock,
    /// Scheduling is as it was.
    Unfence,
    /// The fleet is told that the host is back.
    Farewell,
}

/// One entry of an agenda.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Names it, for as long as the stay lives.
    pub key: String,
    /// What is to be done.
    pub task: Task,
    /// The action of the order that it is part of.
    pub action: Option<usize>,
}

impl Entry {
    fn new(key: impl Into<String>, task: Task) -> Self {
        Self { key: key.into(), task, action: None }
    }

    /// Whether a failure of it means that storage is put back as it was.
    pub(super) fn enters_storage(&self) -> bool {
        self.key.starts_with(STORAGE)
    }
}

/// How the keys of the way into the storage begin.
pub(super) const STORAGE: &str = "storage.";

/// How the keys of the way out begin.
pub(super) const LEAVE: &str = "leave.";

impl Stay {
    /// Whether the host has daemons or OSDs of Ceph, as far as it was looked at.
    pub(super) fn has_storage(&self) -> bool {
        self.storage.host.as_ref().is_some_and(|host| !host.daemons.is_empty() || host.bucket.is_some())
    }

    /// Whether §8 is followed for the host: it has storage, the session was told so, and policy does not say otherwise.
    pub(super) fn treats_storage(&self) -> bool {
        let told = self.order.as_ref().is_some_and(|order| order.cluster.is_some() && !order.policy.storage.ignore);
        told && self.has_storage()
    }

    /// The entry that comes next; `None` if all is done.
    pub(super) fn next_entry(&self) -> Option<Entry> {
        match &self.ending {
            Some(ending) => self.leave(ending),
            None => self.forward().into_iter().find(|entry| !self.done.contains(&entry.key)),
        }
    }

    /// The entry that is open. It is found even if nobody would begin it now: a policy changed, or the end is another.
    pub(super) fn entry(&self) -> Option<Entry> {
        let key = &self.open.as_ref()?.key;
        let Some(name) = key.strip_prefix(LEAVE) else {
            return self.forward().into_iter().find(|entry| entry.key == *key);
        };
        let task = match name {
            "start" => Task::Start,
            "back" => Task::Back,
            "drain_back" => Task::DrainBack,
            "noout_off" => Task::NooutOff,
            "health" => Task::Health(Health::Exit),
            "unlock" => Task::Unlock,
            "unfence" => Task::Unfence,
            "farewell" => Task::Farewell,
            _ => Task::Wait(self.order.as_ref().map_or(0, |order| order.policy.post_host_delay)),
        };
        Some(Entry::new(key.clone(), task))
    }

    /// What the open entry is about.
    pub(super) fn task(&self) -> Option<Task> {
        self.entry().map(|entry| entry.task)
    }

    /// Everything up to the end of the work, done or not.
    pub(super) fn forward(&self) -> Vec<Entry> {
        let Some(order) = &self.order else { return Vec::new() };
        if order.errand {
            return self.plugins(false);
        }
        let policy = &order.policy;
        let mut list = vec![Entry::new("precheck", Task::Precheck)];
        if order.cluster.is_some() && !policy.storage.ignore {
            list.push(Entry::new("ceph", Task::Look));
        }
        self.gates(&mut list);
        list.push(Entry::new("fence", Task::Fence));
        if order.has_instances {
            list.push(Entry::new("empty", Task::Empty));
        }
        // Others leave what cannot move where it is.
        if policy.compute_mode == ComputeMode::Strict {
            list.push(Entry::new("vacant", Task::Vacant));
        }
        if self.treats_storage() {
            self.enter_storage(&mut list);
        } else {
            list.extend(self.drains());
        }
        list.push(Entry::new("announce", Task::Announce));
        list.extend(self.plugins(false));
        if policy.reboot != Reboot::Never {
            let always = policy.reboot == Reboot::Always || !self.boots.asked_by.is_empty();
            list.push(Entry::new("reboot", Task::Reboot { always }));
        }
        list.push(Entry::new("verify", Task::Verify));
        list.extend(self.plugins(true));
        list
    }

    fn gates(&self, list: &mut Vec<Entry>) {
        let Some(order) = &self.order else { return };
        let policy = &order.policy;
        let clean = policy.gates.contains(&Gate::CephHealth) && self.cluster().is_some();
        if clean || self.treats_storage() {
            list.push(Entry::new("health", Task::Health(Health::Before)));
        }
        for (at, gate) in policy.gates.iter().enumerate() {
            match gate {
                Gate::Http { .. } | Gate::AlertsClear { .. } | Gate::Probe { .. } => {
                    list.push(Entry::new(format!("gate.{at}"), Task::Gate(gate.clone())));
                }
                Gate::ManualApproval { before: Approval::EachHost } => {
                    list.push(Entry::new("approval", Task::Approve(policy.gate_timeout)));
                }
                // The other approvals are the session's, before it begins with any host.
                Gate::CephHealth | Gate::ManualApproval { .. } => {}
            }
        }
    }

    /// The way into the storage (§8.6).
    fn enter_storage(&self, list: &mut Vec<Entry>) {
        let Some(order) = &self.order else { return };
        let Some(host) = &self.storage.host else { return };
        let mut push = |name: &str, task| list.push(Entry::new(format!("{STORAGE}{name}"), task));
        push("lock", Task::Lock);
        push("health", Task::Health(Health::Entry));
        list.extend(self.drains());
        let mut push = |name: &str, task| list.push(Entry::new(format!("{STORAGE}{name}"), task));
        let stops = !order.policy.storage.keep_daemons && !host.daemons.is_empty();
        if stops {
            push("may_stop", Task::MayStop);
        }
        if host.bucket.is_some() {
            push("noout", Task::Noout);
        }
        if stops {
            if !host.daemons.mgrs.is_empty() || !host.daemons.mdss.is_empty() {
                push("hand_over", Task::HandOver);
                push("health_again", Task::Health(Health::Middle));
                push("may_stop_again", Task::MayStop);
            }
            push("stop", Task::Stop);
            push("settle", Task::Settle);
        }
    }

    /// Drains that plug-ins ask for: they come before the daemons stop, wherever their plug-in stands.
    fn drains(&self) -> Vec<Entry> {
        let mut list = self.plugins(false);
        list.retain(|entry| matches!(entry.task, Task::Drain));
        let first = list.first().and_then(|entry| entry.action);
        let before = |name: &str, task| Entry { key: format!("drain.{name}"), task, action: first };
        let before = first.map(|_| [before("look", Task::Look), before("lock", Task::Lock)]);
        before.into_iter().flatten().chain(list).collect()
    }

    /// What the actions ask for: those that come after the reboot, or the others.
    fn plugins(&self, after_reboot: bool) -> Vec<Entry> {
        let Some(order) = &self.order else { return Vec::new() };
        let mut list = Vec::new();
        for (at, action) in order.actions.iter().enumerate() {
            let tasks = match canonical(&action.plugin).map(|_| Params::read(&action.plugin, &action.metadata)) {
                // What cannot be read was refused when the session was made; where it came in by another way, it fails as a
                // plug-in that nobody knows.
                None | Some(Err(_)) => vec![Task::Plugin],
                Some(Ok(params)) => self.tasks(params),
            };
            for (part, task) in tasks.into_iter().enumerate() {
                if matches!(task, Task::Kernel(_)) == after_reboot {
                    let key = format!("plugin.{at}.{}.{part}", action.plugin);
                    list.push(Entry { key, task, action: Some(at) });
                }
            }
        }
        list
    }

    fn tasks(&self, params: Params) -> Vec<Task> {
        let timeout = self.order.as_ref().map_or(0, |order| order.policy.gate_timeout);
        match params {
            Params::Dummy => vec![Task::Step(Box::new(Step::Dummy))],
            Params::Script(params) => vec![Task::Script(params)],
            Params::Reboot(params) if params.now => vec![Task::Reboot { always: true }],
            Params::Reboot(_) => vec![Task::AskReboot],
            Params::Packages(packages) => vec![Task::Step(Box::new(Step::Packages(packages)))],
            Params::Service(change) => vec![Task::Step(Box::new(Step::Unit(change)))],
            Params::Fetch(fetch) => vec![Task::Step(Box::new(Step::Fetch(fetch)))],
            Params::CephNoout => vec![Task::Look, Task::Lock, Task::Noout],
            Params::CephOkToStop => vec![Task::Look, Task::MayStop],
            Params::CephStop => vec![Task::Look, Task::Lock, Task::MayStop, Task::Noout, Task::Stop, Task::Settle],
            Params::CephStart => vec![Task::Start, Task::Back],
            Params::CephWaitHealthy => vec![Task::Look, Task::Health(Health::Asked)],
            Params::Drain(_) => vec![Task::Drain],
            Params::Wait(params) => vec![match params.seconds {
                Some(seconds) => Task::Wait(seconds),
                None => Task::Approve(params.timeout_s.unwrap_or(timeout)),
            }],
            Params::Gate(Gate::CephHealth) => vec![Task::Health(Health::Asked)],
            Params::Gate(gate) => vec![Task::Gate(gate)],
            Params::Kernel(kernel) => vec![Task::Kernel(kernel)],
        }
    }

    /// What has to be given back next; it follows from the marks alone.
    fn leave(&self, ending: &Ending) -> Option<Entry> {
        let marks = &self.marks;
        let failed = matches!(ending, Ending::Fail(_));
        let (name, task) = match () {
            () if *ending == Ending::Hold => return None,
            () if marks.stopped.maybe() => ("start", Task::Start),
            () if marks.shaken => ("back", Task::Back),
            () if marks.drained.maybe() && !self.keeps_out() => ("drain_back", Task::DrainBack),
            () if marks.noout.maybe() => ("noout_off", Task::NooutOff),
            () if marks.unsettled && !failed => ("health", Task::Health(Health::Exit)),
            () if marks.lock => ("unlock", Task::Unlock),
            () if failed => return None,
            () if marks.fenced => ("unfence", Task::Unfence),
            () if marks.announced => ("farewell", Task::Farewell),
            () => return self.soak(ending),
        };
        Some(Entry::new(format!("{LEAVE}{name}"), task))
    }

    fn soak(&self, ending: &Ending) -> Option<Entry> {
        let order = self.order.as_ref().filter(|order| !order.errand && *ending == Ending::Done)?;
        let rest = order.policy.post_host_delay;
        (rest > 0 && !self.done.contains("leave.soak")).then(|| Entry::new("leave.soak", Task::Wait(rest)))
    }

    /// Whether OSDs that were drained stay out for good.
    fn keeps_out(&self) -> bool {
        let actions = self.order.iter().flat_map(|order| &order.actions);
        actions
            .filter(|action| canonical(&action.plugin) == Some("drain"))
            .any(|action| Params::read(&action.plugin, &action.metadata) == Ok(Params::Drain(true)))
            && self.ending == Some(Ending::Done)
            && self.marks.drained == Mark::Yes
    }

    /// The phase in which the host is while that is done.
    pub(super) fn phase_of(&self, task: &Task) -> HostPhase {
        let leaving = self.ending.is_some();
        match task {
            Task::Precheck | Task::Look => HostPhase::Checking,
            Task::Health(Health::Exit) => HostPhase::StorageExit,
            Task::Gate(_) | Task::Health(_) => HostPhase::WaitingHealth,
            Task::Lock => HostPhase::WaitingStorage,
            Task::Approve(_) => HostPhase::WaitingApproval,
            Task::Fence | Task::Empty | Task::Vacant => HostPhase::Emptying,
            Task::MayStop | Task::Noout | Task::HandOver | Task::Stop | Task::Settle | Task::Drain => {
                HostPhase::StorageEntry
            }
            Task::Wait(_) if leaving => HostPhase::Soaking,
            Task::Announce | Task::Step(_) | Task::Script(_) | Task::Plugin | Task::AskReboot | Task::Wait(_) => {
                HostPhase::Working
            }
            Task::Reboot { .. } => HostPhase::Rebooting,
            Task::Verify | Task::Kernel(_) => HostPhase::Verifying,
            Task::Start | Task::Back | Task::DrainBack | Task::NooutOff | Task::Unlock => match self.ending {
                Some(Ending::Done) | None => HostPhase::StorageExit,
                Some(_) => HostPhase::Unwinding,
            },
            Task::Unfence | Task::Farewell => HostPhase::Unwinding,
        }
    }
}

impl Task {
    /// How history calls it: what kind of thing, and its name where no plug-in gives one.
    pub(super) fn called(&self) -> (StepKind, &'static str) {
        match self {
            Self::Precheck => (StepKind::Check, "precheck"),
            Self::Look => (StepKind::Check, "ceph_host"),
            Self::Gate(Gate::Http { .. }) => (StepKind::Gate, "http"),
            Self::Gate(Gate::AlertsClear { .. }) => (StepKind::Gate, "alerts_clear"),
            Self::Gate(Gate::Probe { .. }) => (StepKind::Gate, "probe"),
            Self::Gate(_) => (StepKind::Gate, "gate"),
            Self::Health(_) => (StepKind::Gate, "ceph_health"),
            Self::Approve(_) => (StepKind::Gate, "manual_approval"),
            Self::Fence => (StepKind::Disable, "scheduling"),
            Self::Empty => (StepKind::Wait, "empty"),
            Self::Vacant => (StepKind::Check, "guests"),
            Self::Lock => (StepKind::Storage, "lock"),
            Self::Drain => (StepKind::Storage, "drain"),
            Self::MayStop => (StepKind::Check, "ok_to_stop"),
            Self::Noout => (StepKind::Flag, "noout"),
            Self::HandOver => (StepKind::Storage, "hand_over"),
            Self::Stop => (StepKind::Storage, "stop"),
            Self::Settle => (StepKind::Check, "stopped"),
            Self::Announce => (StepKind::Notify, "in_maintenance"),
            Self::Step(_) | Self::Script(_) | Self::Plugin => (StepKind::Plugin, "plugin"),
            Self::AskReboot | Self::Reboot { .. } => (StepKind::Reboot, "reboot"),
            Self::Verify => (StepKind::Check, "verify"),
            Self::Kernel(_) => (StepKind::Check, "kernel"),
            Self::Wait(_) => (StepKind::Wait, "wait"),
            Self::Start => (StepKind::Storage, "start"),
            Self::Back => (StepKind::Check, "osds_up"),
            Self::DrainBack => (StepKind::Storage, "drain_back"),
            Self::NooutOff => (StepKind::Flag, "noout_off"),
            Self::Unlock => (StepKind::Storage, "unlock"),
            Self::Unfence => (StepKind::Enable, "scheduling"),
            Self::Farewell => (StepKind::Notify, "back"),
        }
    }
}
