//! A decision in the making.

use std::time::Duration;

use hostler_common::id::JobId;
use hostler_common::time::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::notice::{HOST, STALLED};
use super::super::policy::OnFail;
use super::super::row::{StepBegun, StepEnded, StepState, Write};
use super::super::state::Reason;
use super::super::word::{FromStay, Order, StayReport, ToSession};
use super::agenda::{Entry, Task};
use super::doc::{Open, Stage, Stay};
use super::{Facts, timers};
use crate::machine::{Context, Decision, Effect, Event, Message};

/// The kind of the machines that are told how it goes.
const SESSION: &str = "session";

/// What a decision collects.
pub(super) struct Draft<'a> {
    pub next: Stay,
    pub cx: &'a Context<Facts>,
    effects: Vec<Effect>,
    writes: Vec<Write>,
    events: Vec<Event>,
    ids: u32,
}

impl<'a> Draft<'a> {
    pub(super) fn new(stay: &Stay, cx: &'a Context<Facts>) -> Self {
        Self { next: stay.clone(), cx, effects: Vec::new(), writes: Vec::new(), events: Vec::new(), ids: 0 }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.cx.now
    }

    pub(super) fn after(&self, seconds: u64) -> Timestamp {
        self.cx.now.after(Duration::from_secs(seconds))
    }

    pub(super) fn order(&self) -> Option<&Order> {
        self.next.order.as_deref()
    }

    pub(super) fn fresh(&mut self) -> Uuid {
        self.ids += 1;
        self.cx.fresh_id(self.ids)
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn write(&mut self, write: Write) {
        self.writes.push(write);
    }

    /// Tells the session.
    pub(super) fn report(&mut self, report: StayReport) {
        self.next.said += 1;
        let errand = self.order().is_some_and(|order| order.errand);
        let told = ToSession::Stay(FromStay { host: self.next.host, report, number: self.next.said, errand });
        let body = serde_json::to_value(told).unwrap_or(Value::Null);
        self.effect(Effect::Tell(Message { kind: SESSION.into(), subject: self.next.session.to_string(), body }));
    }

    /// Tells the fleet where the host stands (§4.3).
    pub(super) fn tell_fleet(&mut self, state: &str) {
        let Some(order) = self.order() else { return };
        let data = json!({
            "service": "fenix", "session_id": order.session.to_string(), "host": order.name, "state": state,
            "project_id": order.admin_project,
        });
        self.events.push(Event { kind: HOST, subject: self.next.host.to_string(), data });
    }

    /// Tells that somebody should look (§2.6, §8.3).
    pub(super) fn alert(&mut self, kind: &'static str, mut data: Value) {
        let Some(order) = self.order() else { return };
        data["session_id"] = order.session.to_string().into();
        data["host"] = order.name.clone().into();
        data["severity"] = if kind == STALLED { "warning" } else { "alarm" }.into();
        self.events.push(Event { kind, subject: self.next.host.to_string(), data });
    }

    /// A reason about this host.
    pub(super) fn reason(&self, code: &str, text: impl Into<String>) -> Reason {
        let reason = Reason::new(code, text);
        let mut reason = match self.order() {
            Some(order) => reason.on(self.next.host, order.name.clone()),
            None => reason,
        };
        reason.plugin = self.next.entry().and_then(|entry| self.plugin_of(&entry)).map(|(name, _)| name);
        reason
    }

    /// The plug-in that an entry is part of: its name and its type.
    pub(super) fn plugin_of(&self, entry: &Entry) -> Option<(String, String)> {
        let action = self.order()?.actions.get(entry.action?)?;
        Some((action.plugin.clone(), action.kind.name().to_owned()))
    }

    /// Opens an entry: from now on it is the one that is worked on.
    pub(super) fn open(&mut self, entry: &Entry, input: Value) {
        let step = self.fresh();
        let tries = match self.next.tries.take() {
            Some((key, tries)) if key == entry.key => tries + 1,
            _ => 1,
        };
        self.next.tries = Some((entry.key.clone(), tries));
        self.next.again_at = None;
        self.next.moved_at = Some(self.now());
        self.next.phase = self.next.phase_of(&entry.task);
        self.next.waits = None;
        let plugin = self.plugin_of(entry);
        if let Some((name, _)) = &plugin {
            self.next.plugin = Some((name.clone(), StepState::Running.name().into()));
        }
        let (kind, name) = entry.task.called();
        let begun = StepBegun {
            key: step,
            host: Some(self.next.host),
            instance: None,
            kind,
            name: plugin.map_or_else(|| name.to_owned(), |(name, _)| name),
            attempt: tries,
            job: None,
            input,
        };
        self.write(Write::Begun(Box::new(begun)));
        self.next.open = Some(Open {
            key: entry.key.clone(),
            step,
            since: self.now(),
            job: None,
            next: None,
            until: None,
            outage: 0,
            stable: Default::default(),
            healing: None,
            bad: 0,
            part: 0,
            said: String::new(),
        });
    }

    /// Names the job of the open entry in history.
    pub(super) fn name_job(&mut self, job: JobId) {
        let Some(open) = &self.next.open else { return };
        for write in &mut self.writes {
            if let Write::Begun(begun) = write
                && begun.key == open.step
            {
                begun.job = Some(job);
            }
        }
    }

    /// Ends the open entry in history; it is no longer open.
    pub(super) fn close(&mut self, state: StepState, result: Value, error: Option<Reason>) {
        let part_of = self.next.entry().and_then(|entry| self.plugin_of(&entry));
        let Some(open) = self.next.open.take() else { return };
        if let Some((name, _)) = part_of {
            self.next.plugin = Some((name, state.name().into()));
        }
        self.next.moved_at = Some(self.now());
        self.next.waits = None;
        self.write(Write::Ended(Box::new(StepEnded { key: open.step, state, result, error })));
    }

    /// The open entry is done.
    pub(super) fn done(&mut self, result: Value) {
        self.over(StepState::Done, result);
    }

    /// There was nothing to do for the open entry.
    pub(super) fn skip(&mut self, why: &str) {
        self.over(StepState::Skipped, json!({ "detail": why }));
    }

    fn over(&mut self, state: StepState, result: Value) {
        let Some(open) = &self.next.open else { return };
        let key = open.key.clone();
        self.close(state, result, None);
        if key == "leave.health" {
            self.next.marks.unsettled = false;
        }
        // What is given back follows from marks, which may be set again; only the rest at the end has none.
        if !key.starts_with("leave.") || key == "leave.soak" {
            self.next.done.insert(key);
        }
        self.next.tries = None;
    }

    /// The open entry failed for good. A plug-in or a check counts as done where the policy says so; other failures are of
    /// storage, gates and locks, over which only named overrides have power.
    pub(super) fn fail(&mut self, code: &str, text: impl Into<String>) {
        self.fail_with(code, text, Value::Null);
    }

    /// The same, with what it left.
    pub(super) fn fail_with(&mut self, code: &str, text: impl Into<String>, result: Value) {
        let reason = self.reason(code, text);
        let entry = self.next.entry();
        let forceable = entry.as_ref().is_some_and(|entry| {
            matches!(
                entry.task,
                Task::Precheck | Task::Step(_) | Task::Script(_) | Task::Plugin | Task::Verify | Task::Kernel(_)
            )
        });
        let forced = self.order().is_some_and(|order| order.policy.on_fail == OnFail::Force);
        self.close(StepState::Failed, result, Some(reason.clone()));
        match entry {
            Some(entry) if forceable && forced && self.next.ending.is_none() => {
                self.next.warnings.push(format!("{} failed and counts as done: {}", entry.key, reason.text));
                self.next.done.insert(entry.key);
                self.next.tries = None;
            }
            Some(entry) => self.failed(&entry, reason),
            None => {}
        }
    }

    /// The decision, with the timers and the row that follow from it.
    pub(super) fn finish(mut self, before: &Stay, fired: Option<&str>) -> Decision<Stay> {
        if !self.next.stage.is_active() {
            self.next.waits = self.next.reason.clone();
        }
        let shown = |stay: &Stay| (stay.phase, stay.waits.clone(), stay.plugin.clone());
        let errand = self.order().is_none_or(|order| order.errand);
        if shown(before) != shown(&self.next) && !errand {
            let (phase, reason, plugin) = shown(&self.next);
            self.writes.push(Write::Stay { host: self.next.host, phase, reason, plugin });
        }
        let mut effects = self.effects;
        effects.extend(timers::changes(before, &self.next, fired));
        Decision { next: self.next, effects, writes: self.writes, steps: Vec::new(), events: self.events }
    }

    /// Whether it is worked on, or waited for, at all.
    pub(super) fn active(&self) -> bool {
        self.next.stage.is_active()
    }

    pub(super) fn stage(&mut self, stage: Stage) {
        self.next.stage = stage;
    }
}
