//! How entries of the agenda begin, and how it is looked again at what they wait for.

use std::time::Duration;

use hostler_common::job::Work;
use hostler_common::step::Step;
use hostler_common::step::maintenance::{CephDaemons, CephDrain, CephSampleRequest, CephTurn, Precheck};
use serde_json::{Value, json};

use super::super::ceph::stable::EVERY;
use super::super::policy::Gate;
use super::super::row::{StepState, Write};
use super::super::word::StayReport;
use super::UrlAnswer;
use super::agenda::{Entry, Health, Task};
use super::draft::Draft;
use crate::operation::deadline;

/// How often it is looked at a lock, a URL, a probe, an upgrade, in seconds.
pub const LOOK_EVERY: u64 = 15;
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
            | Self::Vacant
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
                let checks = Precheck { free_mib: FREE_MIB, packages_idle: true, clock_ms: CLOCK_MS, no_guests: false };
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
            Task::Vacant => self.order_step(Step::Precheck(Precheck { no_guests: true, ..Precheck::default() })),
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

    pub(super) fn turn(&mut self, turn: CephTurn) {
        let daemons = self.daemons();
        self.order_step(Step::CephDaemons(CephDaemons { turn, daemons }));
    }

    pub(super) fn order_sample(&mut self) {
        let osds = self.daemons().osds;
        self.order_ceph(Step::CephSample(CephSampleRequest { osds }));
    }

    fn look_at_gate(&mut self, gate: &Gate) {
        match gate {
            Gate::Http { .. } | Gate::AlertsClear { .. } => {
                let since = self.next.open.as_ref().map(|open| open.since);
                let answer = gate.question().and_then(|question| self.cx.facts.urls.get(&question));
                // What was heard before this host's turn says nothing about now.
                let found = match answer.filter(|answer| Some(answer.at) >= since) {
                    Some(UrlAnswer { at, status: Ok(200) }) => {
                        let at = at.rfc3339();
                        return self.done(json!({ "status": 200, "at": at }));
                    }
                    Some(UrlAnswer { at, status: Ok(status) }) => format!("last answer {status} at {}", at.rfc3339()),
                    Some(UrlAnswer { at, status: Err(why) }) => format!("{why}, at {}", at.rfc3339()),
                    None => "it was not asked yet".into(),
                };
                self.wait_for(LOOK_EVERY, "gate.closed", format!("{}: {found}", gate.waits_until()));
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
        self.next.done.remove("vacant");
        self.write(Write::Service { host: self.next.host, disabled });
        self.done(Value::Null);
    }

    fn announce(&mut self) {
        self.next.marks.announced = true;
        self.next.marks.told_failed = false;
        self.tell_fleet("IN_MAINTENANCE");
        self.done(Value::Null);
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

    /// How soon a watched cluster is looked at again.
    pub(super) fn watch_every(&self) -> u64 {
        match self.next.task() {
            Some(Task::Settle | Task::Back) => 5,
            Some(Task::Drain) => DRAIN_EVERY,
            _ => EVERY.as_secs(),
        }
    }
}
