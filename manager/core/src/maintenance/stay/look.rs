//! How entries of the agenda begin, and how it is looked again at what they wait for.

use std::collections::BTreeSet;
use std::time::Duration;

use hostler_common::job::Work;
use hostler_common::step::Step;
use hostler_common::step::maintenance::{
    CephDaemons, CephDrain, CephNoout, CephSampleRequest, CephTurn, Daemons, Precheck,
};
use serde_json::{Value, json};

use super::super::ceph::stable::EVERY;
use super::super::ceph::stop::Before;
use super::super::policy::{Gate, Reboot};
use super::super::row::{StepState, Write};
use super::super::word::StayReport;
use super::agenda::{Entry, Health, Task};
use super::doc::Mark;
use super::draft::Draft;
use crate::operation::deadline;

/// How often it is looked at a lock, a URL, a probe, an upgrade.
const LOOK_EVERY: u64 = 15;
/// How often it is looked at a drain.
const DRAIN_EVERY: u64 = 30;
/// How long OSDs may take to come back (§8.6).
const BACK_WITHIN: u64 = 900;
/// How long it may take until a stop shows.
const SETTLE_WITHIN: u64 = 120;
/// Free space that a host must have, in MiB.
const FREE_MIB: u64 = 512;
/// How wrong the clock of a host may be, in milliseconds (§3.7).
const CLOCK_MS: u64 = 500;

impl Task {
    /// Whether a job of it changes anything, or only asks.
    pub(super) fn changes(&self) -> bool {
        match self {
            Self::Precheck
            | Self::Look
            | Self::Gate(_)
            | Self::Health(_)
            | Self::Approve(_)
            | Self::Empty
            | Self::Lock
            | Self::MayStop
            | Self::Settle
            | Self::Verify
            | Self::Kernel(_)
            | Self::Wait(_)
            | Self::Back => false,
            Self::Fence
            | Self::Drain
            | Self::Noout
            | Self::HandOver
            | Self::Stop
            | Self::Announce
            | Self::Step(_)
            | Self::Script(_)
            | Self::Plugin
            | Self::AskReboot
            | Self::Reboot { .. }
            | Self::Start
            | Self::DrainBack
            | Self::NooutOff
            | Self::Unlock
            | Self::Unfence
            | Self::Farewell => true,
        }
    }
}

impl Draft<'_> {
    /// Begins an entry.
    pub(super) fn start(&mut self, entry: &Entry) {
        let input = match &entry.action.and_then(|at| self.order()?.actions.get(at)) {
            Some(action) => Value::Object(action.metadata.clone()),
            None => Value::Null,
        };
        self.open(entry, input);
        let gates = self.order().map_or(0, |order| u64::from(order.policy.gate_timeout));
        let within = match &entry.task {
            Task::Gate(_) | Task::Health(_) | Task::Lock | Task::Look | Task::MayStop | Task::Noout => Some(gates),
            Task::Approve(seconds) => Some(u64::from(*seconds)),
            Task::Back => Some(BACK_WITHIN),
            Task::NooutOff | Task::DrainBack => Some(2 * BACK_WITHIN),
            Task::Settle => Some(SETTLE_WITHIN),
            Task::Drain => Some(self.plugin_seconds(entry)),
            _ => None,
        };
        let until = within.map(|seconds| self.after(seconds));
        if let Some(open) = &mut self.next.open {
            open.until = until;
        }
        match &entry.task {
            Task::Empty => self.report(StayReport::Empty),
            Task::Approve(_) => self.report(StayReport::Approve),
            _ => {}
        }
        self.look(entry);
    }

    /// Looks again at what the open entry waits for.
    pub(super) fn look_again(&mut self) {
        match self.next.entry() {
            Some(entry) => self.look(&entry),
            None => self.dropped(),
        }
    }

    /// What is open is no part of the agenda any more: a policy was changed meanwhile.
    pub(super) fn dropped(&mut self) {
        self.close(StepState::Cancelled, json!({ "detail": "it is not wanted any more" }), None);
    }

    fn look(&mut self, entry: &Entry) {
        match &entry.task {
            Task::Precheck => {
                let checks = Precheck { free_mib: FREE_MIB, packages_idle: true, clock_ms: CLOCK_MS };
                self.order_step(Step::Precheck(checks));
            }
            Task::Look if self.next.storage.host.is_some() => self.skip("it is known"),
            Task::Look => self.order_step(Step::CephHost),
            Task::Gate(gate) => self.look_at_gate(gate),
            Task::Health(health) => self.look_at_health(*health),
            Task::Settle | Task::Back => self.order_sample(),
            Task::Fence => self.fence(),
            // Somebody else says when that is over.
            Task::Empty | Task::Approve(_) => {}
            Task::Lock => self.look_at_lock(),
            Task::Drain => self.drain(),
            Task::MayStop => self.may_stop(),
            Task::Noout => self.set_noout(),
            Task::HandOver => self.turn(CephTurn::HandOver),
            Task::Stop => self.stop(),
            Task::Announce => self.announce(),
            Task::Step(step) => {
                let seconds = self.plugin_seconds(entry);
                let idempotent = step.idempotent();
                self.order_here(Work::Step(step.clone()), Duration::from_secs(seconds), idempotent);
            }
            Task::Script(params) => self.run_script(entry, params),
            Task::Plugin => self.run_plugin(entry),
            Task::AskReboot => self.ask_reboot(entry),
            Task::Reboot { always } => self.reboot(*always),
            Task::Verify => self.order_step(Step::Precheck(Precheck::default())),
            Task::Kernel(wanted) => self.check_kernel(wanted),
            Task::Wait(seconds) => self.wait(u64::from(*seconds)),
            Task::Start => self.start_daemons(),
            Task::DrainBack => {
                let osds = self.daemons().osds;
                self.order_ceph(Step::CephDrain(CephDrain { osds, out: false }));
            }
            Task::NooutOff => self.unset_noout(),
            Task::Unlock => {
                self.unlock();
                self.done(Value::Null);
            }
            Task::Unfence => self.unfence(),
            Task::Farewell => {
                self.next.marks.announced = false;
                self.next.marks.told_failed = false;
                self.tell_fleet("MAINTENANCE_COMPLETE");
                self.done(Value::Null);
            }
        }
    }

    pub(super) fn daemons(&self) -> Daemons {
        self.next.storage.host.as_ref().map(|host| host.daemons.clone()).unwrap_or_default()
    }

    pub(super) fn bucket(&self) -> Option<String> {
        self.next.storage.host.as_ref().and_then(|host| host.bucket.clone())
    }

    /// Looks again later; the row of the host says why.
    pub(super) fn wait_for(&mut self, seconds: u64, code: &str, text: impl Into<String>) {
        let reason = self.reason(code, text);
        let next = self.after(seconds);
        if let Some(open) = &mut self.next.open {
            open.next = Some(next);
            open.said.clone_from(&reason.text);
        }
        self.next.waits = Some(reason);
    }

    /// Orders a step of the host's own agent, within the time that such steps have.
    fn order_step(&mut self, step: Step) {
        let (within, idempotent) = (deadline(&step), step.idempotent());
        self.order_here(Work::Step(Box::new(step)), within, idempotent);
    }

    fn turn(&mut self, turn: CephTurn) {
        let daemons = self.daemons();
        self.order_step(Step::CephDaemons(CephDaemons { turn, daemons }));
    }

    pub(super) fn order_sample(&mut self) {
        let osds = self.daemons().osds;
        self.order_ceph(Step::CephSample(CephSampleRequest { osds }));
    }

    fn look_at_gate(&mut self, gate: &Gate) {
        match gate {
            Gate::Http { url } => {
                let since = self.next.open.as_ref().map(|open| open.since);
                let answer = self.cx.facts.urls.get(url).filter(|answer| Some(answer.at) >= since);
                let text = match answer.map(|answer| &answer.status) {
                    Some(Ok(200)) => return self.done(json!({ "status": 200 })),
                    Some(Ok(status)) => format!("{url} answers {status}"),
                    Some(Err(error)) => format!("{url}: {error}"),
                    None => format!("{url} was not asked yet"),
                };
                self.wait_for(LOOK_EVERY, "gate.closed", text);
            }
            Gate::Probe { name } => self.run_probe(name),
            Gate::CephHealth | Gate::ManualApproval { .. } => self.done(Value::Null),
        }
    }

    fn look_at_health(&mut self, health: Health) {
        if self.next.cluster().is_none() {
            return self.fail("ceph.unknown", "the host reaches no Ceph cluster that is known");
        }
        if health == Health::Asked && self.next.marks.stopped.maybe() {
            return self.skip("the daemons of this host are stopped; the cluster is checked when they are back");
        }
        self.order_sample();
    }

    fn look_at_lock(&mut self) {
        let us = (self.next.session, self.next.host);
        let Some(fsid) = self.next.cluster().map(str::to_owned) else {
            return self.fail("ceph.unknown", "the host reaches no Ceph cluster that is known");
        };
        match &self.cx.facts.storage_lock {
            Some((locked, session, host)) if *locked == fsid && (*session, *host) != us => {
                let text = format!("the storage of cluster {fsid} is in the hands of session {session}");
                self.wait_for(LOOK_EVERY, "storage.locked", text);
            }
            _ => {
                if !self.next.marks.lock {
                    self.next.marks.lock = true;
                    self.write(Write::LockStorage { fsid: fsid.clone(), host: self.next.host });
                }
                self.done(json!({ "fsid": fsid }));
            }
        }
    }

    fn fence(&mut self) {
        let Some(order) = self.order() else { return };
        let disabled = Some(format!("maintenance session={}", order.session));
        self.next.marks.fenced = true;
        self.write(Write::Service { host: self.next.host, disabled });
        self.done(Value::Null);
    }

    fn unfence(&mut self) {
        let disabled = self.order().and_then(|order| order.disabled_before.clone());
        self.next.marks.fenced = false;
        // What was empty and fenced is neither any more.
        self.next.done.remove("fence");
        self.next.done.remove("empty");
        self.write(Write::Service { host: self.next.host, disabled });
        self.done(Value::Null);
    }

    fn announce(&mut self) {
        self.next.marks.announced = true;
        self.next.marks.told_failed = false;
        self.tell_fleet("IN_MAINTENANCE");
        self.done(Value::Null);
    }

    fn drain(&mut self) {
        let osds = self.daemons().osds;
        if osds.is_empty() {
            return self.skip("the host has no OSDs");
        }
        if self.next.marks.drained == Mark::No {
            self.next.marks.drained = Mark::About;
            self.next.marks.unsettled = true;
        }
        self.order_ceph(Step::CephDrain(CephDrain { osds, out: true }));
    }

    fn may_stop(&mut self) {
        if self.daemons().is_empty() {
            return self.skip("the host has no daemons of Ceph");
        }
        if self.next.marks.stopped.maybe() {
            return self.skip("they are stopped");
        }
        match self.next.open.as_ref().map(|open| open.part) {
            Some(0) => self.order_sample(),
            _ => self.order_ceph(Step::CephStopCheck(self.daemons())),
        }
    }

    fn set_noout(&mut self) {
        let Some(bucket) = self.bucket() else { return self.skip("the host has no bucket in CRUSH") };
        if self.next.marks.noout == Mark::Yes {
            return self.skip("it is set");
        }
        let foreign = self.next.storage.host.as_ref().is_some_and(|host| host.flags.iter().any(|flag| flag == "noout"));
        if foreign && self.next.marks.noout == Mark::No {
            return self.skip("somebody else had set it before; it stays");
        }
        self.next.marks.noout = Mark::About;
        self.next.marks.noout_since = Some(self.now());
        self.order_ceph(Step::CephNoout(CephNoout { bucket, set: true }));
    }

    fn unset_noout(&mut self) {
        let Some(bucket) = self.bucket() else {
            self.next.marks.noout = Mark::No;
            return self.skip("the host has no bucket in CRUSH");
        };
        self.order_ceph(Step::CephNoout(CephNoout { bucket, set: false }));
    }

    /// What must be known of the OSDs before they go down by our hand.
    fn remember_osds(&mut self) {
        if !self.next.marks.shaken {
            let osds = self.daemons().osds;
            let known = self.next.storage.sample.as_ref().map(|sample| Before::of(sample, &osds));
            self.next.storage.before =
                known.unwrap_or(Before { up: 0, stopping: osds.into_iter().collect::<BTreeSet<i64>>() });
        }
        self.next.marks.shaken = true;
        self.next.marks.unsettled = true;
    }

    fn stop(&mut self) {
        match self.next.marks.stopped {
            Mark::Yes => return self.skip("they are stopped"),
            _ if self.daemons().is_empty() => return self.skip("the host has no daemons of Ceph"),
            Mark::No | Mark::About => {}
        }
        self.remember_osds();
        self.next.marks.stopped = Mark::About;
        self.turn(CephTurn::Stop);
    }

    fn start_daemons(&mut self) {
        if self.next.marks.stopped == Mark::No && self.next.ending.is_none() {
            return self.skip("they were not stopped");
        }
        self.turn(CephTurn::Start);
    }

    fn ask_reboot(&mut self, entry: &Entry) {
        let Some((plugin, _)) = self.plugin_of(entry) else { return self.done(Value::Null) };
        self.reboot_wanted(&plugin);
        self.done(Value::Null);
    }

    /// Remembers who asked for a reboot: one serves all.
    pub(super) fn reboot_wanted(&mut self, plugin: &str) {
        let Some(order) = self.order() else { return };
        if order.errand || order.policy.reboot == Reboot::Never {
            let who = if order.errand { "the management node is not rebooted" } else { "the policy says never" };
            let text = format!("{plugin} asks for a reboot, but {who}");
            self.next.warnings.push(text);
        } else if !self.next.boots.asked_by.iter().any(|one| one == plugin) {
            self.next.boots.asked_by.push(plugin.to_owned());
        }
    }

    fn reboot(&mut self, always: bool) {
        if self.order().is_some_and(|order| order.policy.reboot == Reboot::Never) {
            return self.skip("the policy says that hosts are not rebooted");
        }
        if let Some(before) = self.next.boots.ordered_in.clone() {
            match &self.cx.facts.boot_id {
                Some(now) if *now != before => return self.rebooted(),
                // It was ordered before, and the host did not come back since.
                _ if !self.cx.facts.connected => {
                    let limit = self.order().map_or(0, |order| u64::from(order.policy.reboot_timeout));
                    let since = self.next.open.as_ref().map_or(self.now(), |open| open.since);
                    if since.after(Duration::from_secs(limit)) <= self.now() {
                        return self.fail("reboot.no_return", format!("the host did not come back within {limit} s"));
                    }
                    return self.wait_for(LOOK_EVERY, "agent.away", "the host has not come back yet");
                }
                _ => {}
            }
        }
        if self.next.has_storage() {
            self.remember_osds();
        }
        let known = self.next.boots.now.as_ref().map(|boot| boot.boot_id.clone()).unwrap_or_default();
        self.next.boots.ordered_in = Some(self.cx.facts.boot_id.clone().unwrap_or(known));
        let by = self.next.boots.asked_by.join(", ");
        let reason = match self.order() {
            Some(order) if by.is_empty() => format!("maintenance session {}", order.session),
            Some(order) => format!("maintenance session {}: {by}", order.session),
            None => return,
        };
        let step = Step::Reboot(hostler_common::step::maintenance::Reboot { reason, always });
        let limit = self.order().map_or(0, |order| u64::from(order.policy.reboot_timeout));
        self.order_here(Work::Step(Box::new(step)), Duration::from_secs(limit), false);
    }

    fn check_kernel(&mut self, wanted: &str) {
        match self.next.boots.now.as_ref().map(|boot| boot.kernel.clone()) {
            Some(kernel) if kernel.starts_with(wanted) => self.done(json!({ "kernel": kernel })),
            Some(kernel) => self.fail("kernel.unexpected", format!("kernel {kernel} runs, {wanted} is wanted")),
            None => {
                self.fail("kernel.unexpected", format!("the host does not say which kernel runs, {wanted} is wanted"))
            }
        }
    }

    fn wait(&mut self, seconds: u64) {
        let end = self.next.open.as_ref().map(|open| open.since.after(Duration::from_secs(seconds)));
        match end {
            Some(end) if end > self.now() => {
                if let Some(open) = &mut self.next.open {
                    open.next = Some(end);
                }
            }
            _ => self.done(Value::Null),
        }
    }

    /// What is awaited did not come in time.
    pub(super) fn give_up(&mut self) {
        let Some(entry) = self.next.entry() else { return self.dropped() };
        let said = self.next.open.as_ref().map(|open| open.said.clone()).unwrap_or_default();
        if let Some(job) = self.next.job() {
            self.effect(crate::machine::Effect::CancelJob(job));
        }
        let (code, what) = match entry.task {
            Task::Health(_) | Task::Gate(_) => ("gate.timeout", "the gate did not open in time"),
            Task::Lock => ("storage.locked", "the storage did not become free in time"),
            Task::Approve(_) => ("approval.timeout", "nobody approved in time"),
            Task::Back => return self.not_back(&said),
            Task::Settle => ("ceph.stop_unsafe", "the stop of the daemons did not show in time"),
            Task::Look => ("ceph.upgrading", "the cluster was not ready in time"),
            _ => ("step.timeout", "it took too long"),
        };
        let text = if said.is_empty() { what.to_owned() } else { format!("{what}: {said}") };
        self.fail(code, text);
    }

    /// OSDs did not come back: the host stays out of service and its flag stays set. The daemons are started once more when
    /// somebody lets the stay go on.
    pub(super) fn not_back(&mut self, said: &str) {
        if !self.daemons().is_empty() {
            self.next.marks.stopped = Mark::Yes;
        }
        self.fail("ceph.osd_not_back", format!("not all of the host's storage came back: {said}"));
    }

    /// How soon a watched cluster is looked at again.
    pub(super) fn watch_every(&self) -> u64 {
        match self.next.task() {
            Some(Task::Settle | Task::Back) => 5,
            Some(Task::Drain) => DRAIN_EVERY,
            _ => EVERY.as_secs(),
        }
    }
}
