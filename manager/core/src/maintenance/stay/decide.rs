//! What follows from what happens to a stay.

use std::collections::BTreeSet;

use hostler_common::error::Class;
use serde_json::{Value, json};

use super::super::notice::{FLAG_OLD, STALLED, STORAGE_HELD};
use super::super::row::{StepState, Write};
use super::super::session::event::blank;
use super::super::spec::Leave;
use super::super::state::Reason;
use super::super::word::{Order, StayReport, ToStay};
use super::agenda::{Entry, STORAGE, Task};
use super::doc::{Ending, Stage, Stay};
use super::draft::Draft;
use super::{Facts, timers};
use crate::machine::{Context, Decision, Effect, Input, Machine, Refusal, WHEN_ONLINE};

/// How many entries may follow each other in one decision: more than any agenda has, so that a mistake in one ends.
const ENTRIES_MAX: u32 = 500;

impl Machine for Stay {
    const KIND: &'static str = "stay";
    type Command = ToStay;
    type Facts = Facts;
    type Write = Write;

    fn decide(&self, input: Input<ToStay>, cx: &Context<Facts>) -> Result<Decision<Self>, Refusal> {
        let mut draft = Draft::new(self, cx);
        let mut fired = None;
        match input {
            Input::Command(told) => draft.told(told),
            Input::Message(body) => match serde_json::from_value(body) {
                Ok(told) => draft.told(told),
                Err(error) => return Err(Refusal::new(Class::Internal, format!("a stay is told nonsense: {error}"))),
            },
            Input::Job(update) => draft.job(&update),
            Input::Timer(name) => {
                draft.timer(&name);
                fired = Some(name);
            }
        }
        draft.advance();
        Ok(draft.finish(self, fired.as_deref()))
    }
}

impl Draft<'_> {
    fn told(&mut self, told: ToStay) {
        match told {
            ToStay::Begin(order) => self.begin(order),
            ToStay::Emptied => {
                if self.awaits(|task| *task == Task::Empty) {
                    self.done(Value::Null);
                }
            }
            ToStay::CannotEmpty(reason) => {
                if self.awaits(|task| *task == Task::Empty) {
                    self.fail(&reason.code, reason.text);
                }
            }
            ToStay::Approved => {
                if self.awaits(|task| matches!(task, Task::Approve(_))) {
                    self.done(Value::Null);
                }
            }
            ToStay::Pause(pause) => self.pause(pause),
            ToStay::End(Leave::Exit) => self.end(Ending::Skip(Reason::new("session.ended", "the session was ended"))),
            ToStay::End(Leave::Hold) => self.end(Ending::Hold),
            ToStay::Skip => {
                let given = Reason::new("host.skipped", "the host was left out");
                let reason = self.next.reason.clone().unwrap_or(given);
                self.end(Ending::Skip(reason));
            }
            ToStay::Change { policy, force } => {
                if let Some(order) = &mut self.next.order {
                    (order.policy, order.force) = (*policy, force);
                }
            }
        }
    }

    fn awaits(&self, what: impl Fn(&Task) -> bool) -> bool {
        self.active() && self.next.task().is_some_and(|task| what(&task))
    }

    fn begin(&mut self, order: Box<Order>) {
        let same = self.order().is_some_and(|old| old.errand == order.errand && old.actions == order.actions);
        match self.next.stage {
            Stage::Working | Stage::Leaving => return,
            Stage::Done if same => return self.again(),
            // It was given back before its end: checks and gates begin anew, work that is done stays done (§5.7).
            Stage::Skipped if same => {
                let (done, boots) = (self.work_done(), std::mem::take(&mut self.next.boots));
                self.next = Stay { done, boots, ..self.anew() };
            }
            Stage::Fresh | Stage::Done | Stage::Skipped => self.next = self.anew(),
            Stage::Failed | Stage::Unknown | Stage::Held => {}
        }
        let limit = u64::from(order.policy.host_timeout);
        self.next.host_until = (limit > 0).then(|| self.after(limit));
        self.next.order = Some(order);
        self.next.tries = None;
        self.next.reason = None;
        self.next.ending = None;
        self.next.again_at = None;
        self.next.expired = false;
        // One that failed while it was to rest was not told when the others went on.
        self.next.paused = false;
        self.next.moved_at = Some(self.now());
        self.stage(Stage::Working);
    }

    /// The stay as if nothing had been asked of it; what it says is counted on.
    fn anew(&self) -> Stay {
        Stay { said: self.next.said, ..Stay::new(self.next.session, self.next.host) }
    }

    /// Entries that are done and that leaving does not undo: the work of plug-ins, other than on storage.
    fn work_done(&self) -> BTreeSet<String> {
        let forward = self.next.forward().into_iter().filter(|entry| entry.action.is_some());
        let works = forward.filter(|entry| {
            matches!(entry.task, Task::Step(_) | Task::Script(_) | Task::Plugin | Task::AskReboot | Task::Reboot { .. })
        });
        works.map(|entry| entry.key).filter(|key| self.next.done.contains(key)).collect()
    }

    /// Says once more how it ended.
    fn again(&mut self) {
        let reason = self.next.reason.clone().unwrap_or_else(|| Reason::new("host.skipped", "the host was left out"));
        match self.next.stage {
            Stage::Done => self.report(StayReport::Done { warnings: self.next.warnings.clone() }),
            Stage::Skipped => self.report(StayReport::Skipped(reason)),
            Stage::Held => self.report(StayReport::Held),
            Stage::Fresh | Stage::Working | Stage::Leaving | Stage::Failed | Stage::Unknown => {}
        }
    }

    fn pause(&mut self, pause: bool) {
        if self.next.paused && !pause {
            self.next.moved_at = Some(self.now());
            // The time of a pause is nobody's fault: it begins anew.
            let limit = self.order().map_or(0, |order| u64::from(order.policy.host_timeout));
            self.next.host_until = (limit > 0).then(|| self.after(limit));
            let now = self.now();
            if let Some(open) = &mut self.next.open {
                open.until = open.until.map(|until| now.after(until.since(open.since)));
            }
        }
        self.next.paused = pause;
    }

    /// Ends it: a step that can be left alone is left, one that changes something is awaited.
    fn end(&mut self, ending: Ending) {
        match self.next.stage {
            Stage::Fresh => {
                self.next.reason = Some(Reason::new("host.skipped", "its turn never came"));
                self.stage(Stage::Skipped);
                return self.again();
            }
            // A host that is held stays so until somebody wants it back.
            Stage::Held if ending == Ending::Hold => return self.again(),
            Stage::Done | Stage::Skipped => return self.again(),
            Stage::Leaving | Stage::Working | Stage::Failed | Stage::Unknown | Stage::Held => {}
        }
        let first = self.next.ending.clone();
        // What is on its way back already comes back; that it was done stays true.
        let ending = match (first, ending) {
            (Some(Ending::Done), Ending::Skip(_)) if self.next.stage == Stage::Leaving => Ending::Done,
            (Some(Ending::Skip(reason)), Ending::Skip(_)) => Ending::Skip(reason),
            (_, ending) => ending,
        };
        let resting = !self.active();
        self.stage(if resting { Stage::Leaving } else { self.next.stage });
        self.next.moved_at = Some(self.now());
        self.next.paused = false;
        self.next.again_at = None;
        if self.next.stage == Stage::Working || ending == Ending::Hold {
            self.leave_alone("the stay ends");
        }
        self.next.ending = Some(ending);
    }

    /// Lets go of the open entry, if that changes nothing but only asks or waits.
    pub(super) fn leave_alone(&mut self, why: &str) {
        let job = self.next.job();
        if job.is_some() && self.next.task().is_some_and(|task| task.changes()) {
            return;
        }
        if let Some(job) = job {
            self.effect(Effect::CancelJob(job));
        }
        self.close(StepState::Cancelled, json!({ "detail": why }), None);
    }

    fn timer(&mut self, name: &str) {
        if self.active() {
            self.grant_outage();
        }
        let now = self.now();
        match name {
            timers::FLAG if self.next.marks.noout.maybe() => {
                self.next.marks.noout_told = Some(now);
                let (bucket, since) = (self.bucket(), self.next.marks.noout_since.map(blank));
                self.alert(FLAG_OLD, json!({ "flag": "noout", "bucket": bucket, "since": since }));
            }
            _ if !self.active() => {}
            timers::JOB => self.look_after_job(),
            WHEN_ONLINE => self.look_after_job(),
            timers::LOOK => match &mut self.next.open {
                Some(open) if open.job.is_none() => {
                    open.next = None;
                    self.look_again();
                }
                Some(_) => {}
                None => self.next.again_at = None,
            },
            timers::LIMIT => {
                let over = self.next.open.as_ref().and_then(|open| open.until).is_some_and(|until| until <= now);
                if over {
                    self.give_up();
                }
            }
            timers::HOST if self.next.host_until.is_some_and(|until| until <= now) && self.next.ending.is_none() => {
                self.next.expired = true;
                self.leave_alone("the host took too long");
            }
            timers::STALL => {
                let waits = self.next.waits.as_ref().map(|reason| reason.text.clone());
                let phase = self.next.phase.name();
                self.alert(STALLED, json!({ "phase": phase, "reason": waits, "paused": self.next.paused }));
                self.next.moved_at = Some(now);
            }
            _ => {}
        }
    }

    /// Begins what comes next, until something has to be waited for.
    pub(super) fn advance(&mut self) {
        for _ in 0..ENTRIES_MAX {
            if !self.active() || self.next.open.is_some() {
                return;
            }
            if self.next.ending.is_some() {
                self.stage(Stage::Leaving);
            } else if self.next.paused {
                return;
            } else if self.next.expired {
                self.next.expired = false;
                let limit = self.order().map_or(0, |order| order.policy.host_timeout);
                let reason = self.reason("host.timeout", format!("the host took longer than {limit} s"));
                self.rest(reason);
                return;
            }
            if self.next.again_at.is_some() {
                return;
            }
            match self.next.next_entry() {
                Some(entry) => self.start(&entry),
                None => self.conclude(),
            }
        }
    }

    /// There is nothing left to do.
    fn conclude(&mut self) {
        match self.next.ending.clone() {
            None => {
                // A host is left only from a clean cluster, also where nothing of it was stopped.
                self.next.marks.unsettled |= self.next.marks.lock && self.next.treats_storage();
                self.next.ending = Some(Ending::Done);
            }
            Some(Ending::Done) => {
                self.stage(Stage::Done);
                self.next.phase = super::super::host::HostPhase::Done;
                self.report(StayReport::Done { warnings: self.next.warnings.clone() });
            }
            Some(Ending::Skip(reason)) => {
                self.stage(Stage::Skipped);
                self.next.phase = super::super::host::HostPhase::Skipped;
                self.next.reason = Some(reason.clone());
                self.report(StayReport::Skipped(reason));
            }
            Some(Ending::Fail(reason)) => self.rest(reason),
            Some(Ending::Hold) => self.hold(),
        }
    }

    fn hold(&mut self) {
        self.unlock();
        self.stage(Stage::Held);
        self.next.phase = super::super::host::HostPhase::Held;
        self.next.ending = None;
        if self.next.marks.announced && !self.next.marks.told_failed {
            self.next.marks.told_failed = true;
            self.tell_fleet("MAINTENANCE_FAILED");
        }
        if self.next.marks.storage() {
            let bucket = self.next.storage.host.as_ref().and_then(|host| host.bucket.clone());
            let (flag, stopped) = (self.next.marks.noout.maybe(), self.next.marks.stopped.maybe());
            self.alert(STORAGE_HELD, json!({ "bucket": bucket, "noout": flag, "stopped": stopped }));
        }
        self.report(StayReport::Held);
    }

    /// An entry failed for good.
    pub(super) fn failed(&mut self, entry: &Entry, reason: Reason) {
        match self.next.ending {
            // Storage that was being entered is put back at once: nothing was gained yet.
            None if entry.enters_storage() && self.next.marks.storage() => {
                self.next.ending = Some(Ending::Fail(reason))
            }
            _ => self.rest(reason),
        }
    }

    /// Rests as the failure left it. The storage lock is kept only while something of the storage is not as it was.
    pub(super) fn rest(&mut self, reason: Reason) {
        if self.next.marks.announced && !self.next.marks.told_failed {
            self.next.marks.told_failed = true;
            self.tell_fleet("MAINTENANCE_FAILED");
        }
        if !self.next.marks.storage() {
            self.unlock();
        }
        self.stage(Stage::Failed);
        self.next.phase = super::super::host::HostPhase::Failed;
        self.next.ending = None;
        self.next.again_at = None;
        self.next.reason = Some(reason.clone());
        self.report(StayReport::Failed(reason));
    }

    /// The outcome of the open entry is unknown, and repeating it may do harm.
    pub(super) fn unknown(&mut self, text: &str) {
        let reason = self.reason("step.outcome_unknown", text);
        self.close(StepState::Unknown, Value::Null, Some(reason.clone()));
        if self.next.ending.is_some() {
            // Whoever wants it back wants it back whatever came of the last step.
            self.next.warnings.push(reason.text);
            return;
        }
        self.stage(Stage::Unknown);
        self.next.phase = super::super::host::HostPhase::Failed;
        self.next.reason = Some(reason.clone());
        self.report(StayReport::Unknown(reason));
    }

    /// Gives the storage lock back. What was found with it in hand is worth nothing without it.
    pub(super) fn unlock(&mut self) {
        self.next.done.retain(|key| !key.starts_with(STORAGE) && key != "drain.lock");
        if !std::mem::take(&mut self.next.marks.lock) {
            return;
        }
        if let Some(fsid) = self.next.cluster().map(str::to_owned) {
            self.write(Write::UnlockStorage { fsid });
        }
    }
}
