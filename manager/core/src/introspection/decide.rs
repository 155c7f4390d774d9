//! The machine of an introspection: one per host, for all its runs (spec/introspection.md §1.7, §1.8, §2).
//!
//! No decision here ever orders a power or boot action (§2.4, §6.3). Data that were stored by an earlier run stay until
//! new ones replace them (§1.7.1). Every state but the terminal ones has a deadline, so a run never stops silently.

use hostler_common::error::Class;
use hostler_common::id::{HostId, JobId};
use hostler_common::job::{JobSpec, JobState, JobUpdate, Outcome, Work};
use hostler_common::text::clip;
use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::command::{Command, Facts, Write};
use super::diff::Severity;
use super::process::{self, Mode};
use super::state::{Event as Move, State};
use super::summary::Identity;
use super::{document, merge, report};
use crate::machine::{Context, Decision, Effect, Event, Input, Machine, Refusal, Step, TaskChange, TaskEnd};

/// Timer: order the probe.
const SET_UP: &str = "set_up";
/// Timer: run hooks and rules.
const PROCESS: &str = "process";
/// Timer: end the cancel.
const ABORT_END: &str = "abort_end";
/// Timer: the state lasted too long.
const DEADLINE: &str = "deadline";

/// How often a probe is ordered anew after its outcome was lost.
const ATTEMPTS_MAX: u32 = 3;

/// Longest error text that is kept, in bytes.
const ERROR_MAX: usize = 16 << 10;

/// The text of a cancelled run; part of the dialect.
pub const CANCELED: &str = "Canceled by operator";

/// The text of a run that took too long; part of the dialect.
pub const TIMED_OUT: &str = "Introspection timeout";

/// The refusal of data that the host awaits none of; the dialect puts the addresses that were looked for behind it.
pub const NOT_AWAITED: &str = "Look up error: Could not find a node for attributes";

/// The record of one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Introspection {
    /// Whose.
    pub host: HostId,
    /// Where it stands.
    pub state: State,
    /// Number of the run; 0 means that there was none yet, so that the dialect knows no record.
    pub run: u64,
    /// When the run was asked for.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it did not end as it should.
    pub error: Option<String>,
    /// The sections that were asked for; empty means all.
    pub sections: Vec<String>,
    /// The job of this run, while its end is awaited.
    pub job: Option<JobId>,
    /// How often the probe was ordered in this run.
    pub attempts: u32,
    /// Whether the data of the run are fresh or were stored before.
    pub fresh: bool,
}

impl Introspection {
    /// The record of a host that was never introspected.
    #[must_use]
    pub fn new(host: HostId) -> Self {
        Self {
            host,
            state: State::Finished,
            run: 0,
            started_at: Timestamp::from_micros(0),
            finished_at: None,
            error: None,
            sections: Vec::new(),
            job: None,
            attempts: 0,
            fresh: true,
        }
    }

    fn require_record(&self) -> Result<(), Refusal> {
        if self.run == 0 {
            return Err(Refusal::new(Class::NotFound, format!("Could not find node {} in cache", self.host)));
        }
        Ok(())
    }

    fn start(&self, sections: Vec<String>, cx: &Context<Facts>) -> Result<Decision<Self>, Refusal> {
        if self.repeats_start(&sections, cx) {
            return Ok(Decision::to(self.clone()));
        }
        let state = self.state.on(Move::Start).map_err(|refused| Refusal::new(Class::Invalid, refused.to_string()))?;
        Ok(self.new_run(state, sections, "Introspection", cx).effect(Effect::SetTimer(SET_UP, cx.now)))
    }

    /// Whether this start is the one that is already under way (spec §1.8).
    fn repeats_start(&self, sections: &[String], cx: &Context<Facts>) -> bool {
        matches!(self.state, State::Starting | State::Waiting)
            && self.sections == sections
            && cx.now.since(self.started_at) < cx.facts.settings.dedup_window
    }

    fn enrol(&self, cx: &Context<Facts>) -> Decision<Self> {
        if self.run > 0 {
            return Decision::to(self.clone());
        }
        self.new_run(State::Enrolling, Vec::new(), "First introspection", cx).effect(Effect::SetTimer(SET_UP, cx.now))
    }

    /// Begins a run in `state`; what was left of the run before is given up.
    fn new_run(&self, state: State, sections: Vec<String>, what: &str, cx: &Context<Facts>) -> Decision<Self> {
        let next = Self {
            state,
            run: self.run + 1,
            started_at: cx.now,
            finished_at: None,
            error: None,
            sections,
            job: None,
            attempts: 0,
            fresh: state != State::Reapplying,
            ..self.clone()
        };
        let mut decision = Decision::to(next);
        if state != State::Reapplying {
            decision = decision.write(Write::Begun);
        }
        if let Some(job) = self.job {
            decision = decision.effect(Effect::CancelJob(job));
        }
        if self.run > 0 && !self.state.is_terminal() {
            decision = decision.effect(Effect::Task(TaskChange::Close {
                end: TaskEnd::Cancelled,
                output: "replaced by a new run".into(),
            }));
        }
        let name = &cx.facts.node.name;
        decision
            .effect(Effect::Task(TaskChange::Open {
                kind: Self::KIND,
                name: format!("{what} of {name}"),
                host: Some(self.host),
                total: 1,
            }))
            .step(Step::done("started", self.host, ""))
            .event(self.event("introspection.started", json!({ "run": self.run + 1 })))
            .with_deadline(cx)
    }

    fn set_up(&self, cx: &Context<Facts>) -> Decision<Self> {
        let next = match self.state {
            State::Starting => self.moved(Move::Wait),
            State::Enrolling => Some(self.clone()),
            _ => None,
        };
        next.map_or_else(|| Decision::to(self.clone()), |next| next.order_probe(cx))
    }

    fn order_probe(mut self, cx: &Context<Facts>) -> Decision<Self> {
        self.attempts += 1;
        let spec = JobSpec {
            id: cx.fresh_job(0),
            host: self.host,
            work: Work::Introspect { sections: self.sections.clone() },
            deadline: cx.facts.settings.probe_deadline,
        };
        self.job = Some(spec.id);
        let detail = format!("job {}, attempt {}", spec.id, self.attempts);
        let step = Step::done("probe ordered", self.host, detail);
        Decision::to(self).effect(Effect::RunJob(spec)).step(step).with_deadline(cx)
    }

    fn job_update(&self, update: JobUpdate, cx: &Context<Facts>) -> Decision<Self> {
        if self.job != Some(update.job) || !matches!(self.state, State::Waiting | State::Enrolling) {
            return Decision::to(self.clone());
        }
        let Some(outcome) = update.outcome else {
            let decision = Decision::to(self.clone());
            return if update.state == JobState::Running {
                decision.effect(Effect::Task(TaskChange::Running))
            } else {
                decision
            };
        };
        match update.state {
            JobState::Succeeded => self.received(&outcome, cx),
            JobState::Lost if self.attempts < ATTEMPTS_MAX => self.clone().order_probe(cx).step(Step::failed(
                "probe lost",
                self.host,
                "its outcome is unknown; it is repeated",
            )),
            other => {
                let reason = outcome.reason.unwrap_or_else(|| format!("the probe ended as {}", other.name()));
                self.fail(format!("Probe failed: {reason}"), cx)
            }
        }
    }

    fn received(&self, outcome: &Outcome, cx: &Context<Facts>) -> Decision<Self> {
        match report::document(outcome) {
            Ok(data) => self.take_data(data, cx),
            Err(error) => self.fail(error, cx),
        }
    }

    /// Takes fresh data, unless they are of another machine: those are held back until somebody says that the host is
    /// that machine now (spec §6.1).
    fn take_data(&self, data: Value, cx: &Context<Facts>) -> Decision<Self> {
        let found = Identity::of(&data);
        let Some(contradiction) = cx.facts.known.contradicted_by(&found) else { return self.use_data(data, cx) };
        let text = format!("Identity changed: {contradiction}; the data are held back until this is accepted");
        let event = identity_changed(self.host, &cx.facts.known, &found);
        let failed = self.fail(text, cx);
        if !merge::is_whole(&data) {
            // Some sections of another machine say too little to be kept; a refresh reads the rest.
            return failed.event(event);
        }
        let hold = Write::Hold { document: document::unprocessed(data), known: cx.facts.known.clone(), found };
        failed.event(event).write(hold)
    }

    /// Stores data and goes on to process them.
    fn use_data(&self, data: Value, cx: &Context<Facts>) -> Decision<Self> {
        let Some(mut next) = self.moved(Move::Process) else {
            return Decision::to(self.clone());
        };
        next.job = None;
        next.fresh = true;
        let data = if self.sections.is_empty() { data } else { merge::merge(cx.facts.base.as_ref(), data).document };
        Decision::to(next)
            .write(Write::Unprocessed(document::unprocessed(data)))
            .step(Step::done("data received", self.host, ""))
            .effect(Effect::SetTimer(PROCESS, cx.now))
            .with_deadline(cx)
    }

    /// Data that a refresh read become a run of their own.
    fn publish(&self, data: Value, cx: &Context<Facts>) -> Result<Decision<Self>, Refusal> {
        self.require_idle()?;
        let begun = self.new_run(State::Waiting, Vec::new(), "Refresh", cx);
        let taken = begun.next.take_data(data, cx);
        Ok(begun.followed_by(taken))
    }

    /// The data that were held back become a run of their own, and the host is the machine that they are of.
    fn accept_identity(&self, cx: &Context<Facts>) -> Result<Decision<Self>, Refusal> {
        let held = cx.facts.held.clone();
        let Some((found, data)) = held.and_then(|held| Some((held.found, held.document?))) else {
            let text = format!("no data of {} are held back", cx.facts.node.name);
            return Err(Refusal::new(Class::NotFound, text));
        };
        self.require_idle()?;
        let accepted = json!({ "known": &cx.facts.known, "found": &found });
        let begun = self.new_run(State::Waiting, Vec::new(), "Introspection of the new machine", cx);
        let taken = begun.next.use_data(data, cx).write(Write::Accepted(found));
        Ok(begun.followed_by(taken.event(self.event("host.identity_accepted", accepted))))
    }

    fn require_idle(&self) -> Result<(), Refusal> {
        if self.state.is_terminal() {
            return Ok(());
        }
        Err(Refusal::new(Class::Conflict, format!("a run of the host is {}; wait for its end", self.state)))
    }

    fn callback(&self, data: Value, cx: &Context<Facts>) -> Result<Decision<Self>, Refusal> {
        match self.state {
            State::Waiting => {
                let job = self.job;
                let decision = self.take_data(data, cx);
                Ok(match job {
                    Some(job) => decision.effect(Effect::CancelJob(job)),
                    None => decision,
                })
            }
            State::Finished | State::Error if cx.facts.settings.permit_active => {
                let begun = self.new_run(State::Waiting, Vec::new(), "Introspection", cx);
                let taken = begun.next.take_data(data, cx);
                Ok(begun.followed_by(taken))
            }
            State::Finished | State::Error | State::Reapplying | State::Enrolling | State::Aborting => {
                Err(Refusal::new(Class::Invalid, NOT_AWAITED))
            }
            // The dialect waits until these are over before it asks.
            State::Starting | State::Processing => {
                Err(Refusal::new(Class::Conflict, "Node is locked, please, retry later"))
            }
        }
    }

    fn reapply(&self, data: Option<Value>, cx: &Context<Facts>) -> Result<Decision<Self>, Refusal> {
        self.require_record()?;
        match self.state {
            State::Waiting => {
                // Upstream answers 202 and moves nothing but the start time (spec §1.8).
                let next = Self { started_at: cx.now, ..self.clone() };
                Ok(Decision::to(next).step(Step::done("reapply ignored", self.host, "the run waits for data")))
            }
            State::Finished | State::Error => {
                if data.is_none() && cx.facts.stored.is_none() {
                    let text = format!("Introspection data not found for node {}, processed=False", self.host);
                    return Err(Refusal::new(Class::NotFound, text));
                }
                let mut decision = self.new_run(State::Reapplying, Vec::new(), "Reprocessing of data", cx);
                if let Some(data) = data {
                    decision = decision.write(Write::Unprocessed(document::unprocessed(data)));
                }
                Ok(decision.effect(Effect::SetTimer(PROCESS, cx.now)))
            }
            _ => Err(Refusal::new(Class::Conflict, "Node locked, please, try again later")),
        }
    }

    fn process(&self, cx: &Context<Facts>) -> Decision<Self> {
        if !matches!(self.state, State::Processing | State::Reapplying) {
            return Decision::to(self.clone());
        }
        let Some(stored) = &cx.facts.stored else {
            return self.fail("Interrupted by service restart".into(), cx);
        };
        let mode = if self.fresh { Mode::First } else { Mode::Reapply };
        let done = process::process(stored, &cx.facts.node, &cx.facts.rules, &cx.facts.settings.processing, mode);
        let mut decision = match done.outcome {
            Ok(()) => self.finish(done.warnings.join("\n"), cx),
            Err(failure) => self.fail(failure.message, cx),
        };
        if let Some(document) = done.document {
            decision = decision.write(Write::Processed { document, fresh: self.fresh });
        }
        decision.write(Write::Node(Box::new(done.node)))
    }

    fn finish(&self, output: String, cx: &Context<Facts>) -> Decision<Self> {
        let Some(mut next) = self.moved(Move::Finish) else {
            return Decision::to(self.clone());
        };
        next.finished_at = Some(cx.now);
        next.error = None;
        Decision::to(next)
            .effect(Effect::Task(TaskChange::Close { end: TaskEnd::Finished, output }))
            .step(Step::done("finished", self.host, ""))
            .event(self.event("introspection.finished", json!({ "run": self.run })))
            .with_deadline(cx)
    }

    /// Ends the run with an error. The caller makes sure that the state allows it.
    fn fail(&self, error: String, cx: &Context<Facts>) -> Decision<Self> {
        self.end_in_error(Move::Error, error, TaskEnd::Failed, cx)
    }

    fn end_in_error(&self, by: Move, error: String, end: TaskEnd, cx: &Context<Facts>) -> Decision<Self> {
        let Some(mut next) = self.moved(by) else {
            return Decision::to(self.clone());
        };
        let error = clip(&error, ERROR_MAX).to_owned();
        next.finished_at = Some(cx.now);
        next.error = Some(error.clone());
        let job = next.job.take();
        let kind = if end == TaskEnd::Cancelled { "introspection.cancelled" } else { "introspection.failed" };
        let mut decision = Decision::to(next)
            .effect(Effect::Task(TaskChange::Close { end, output: error.clone() }))
            .step(Step::failed("ended", self.host, error.clone()))
            .event(self.event(kind, json!({ "run": self.run, "error": error })));
        if let Some(job) = job {
            decision = decision.effect(Effect::CancelJob(job));
        }
        decision.with_deadline(cx)
    }

    fn abort(&self, cx: &Context<Facts>) -> Result<Decision<Self>, Refusal> {
        self.require_record()?;
        let Ok(state) = self.state.on(Move::Abort) else {
            let step = Step { outcome: crate::machine::StepOutcome::Skipped, ..Step::done("abort", self.host, "") };
            return Ok(Decision::to(self.clone()).step(step));
        };
        if state == State::Error {
            return Ok(Decision::to(self.clone()));
        }
        let mut next = Self { state, ..self.clone() };
        let job = next.job.take();
        let mut decision = Decision::to(next)
            .step(Step::done("cancel accepted", self.host, ""))
            .event(self.event("introspection.abort_requested", json!({ "run": self.run })))
            .effect(Effect::Task(TaskChange::Cancelling))
            .effect(Effect::SetTimer(ABORT_END, cx.now));
        if let Some(job) = job {
            decision = decision.effect(Effect::CancelJob(job));
        }
        Ok(decision.with_deadline(cx))
    }

    fn timer(&self, name: &str, cx: &Context<Facts>) -> Decision<Self> {
        match name {
            SET_UP => self.set_up(cx),
            PROCESS => self.process(cx),
            ABORT_END => self.end_in_error(Move::AbortEnd, CANCELED.into(), TaskEnd::Cancelled, cx),
            // What no manager was there to go on with goes on now (spec §2.3).
            DEADLINE if self.job.is_none() && cx.coming_back() => Decision::to(self.clone()).with_deadline(cx),
            DEADLINE => self.end_in_error(Move::Timeout, TIMED_OUT.into(), TaskEnd::Failed, cx),
            _ => Decision::to(self.clone()),
        }
    }

    fn moved(&self, by: Move) -> Option<Self> {
        self.state.on(by).ok().map(|state| Self { state, ..self.clone() })
    }

    fn event(&self, kind: &'static str, data: Value) -> Event {
        Event { kind, subject: self.host.to_string(), data }
    }
}

impl Decision<Introspection> {
    /// Sets the deadline of the state that was entered, or takes it back where there is none.
    fn with_deadline(self, cx: &Context<Facts>) -> Self {
        let effect = match cx.facts.settings.deadline(self.next.state) {
            Some(limit) => Effect::SetTimer(DEADLINE, cx.now.after(limit)),
            None => Effect::ClearTimer(DEADLINE),
        };
        self.effect(effect)
    }

    /// This decision and then, in the same transaction, the one that was made from its state.
    fn followed_by(mut self, mut then: Self) -> Self {
        self.next = then.next;
        self.effects.append(&mut then.effects);
        self.writes.append(&mut then.writes);
        self.steps.append(&mut then.steps);
        self.events.append(&mut then.events);
        self
    }
}

impl Machine for Introspection {
    const KIND: &'static str = "introspection";
    type Command = Command;
    type Facts = Facts;
    type Write = Write;

    fn decide(&self, input: Input<Command>, cx: &Context<Facts>) -> Result<Decision<Self>, Refusal> {
        match input {
            Input::Command(Command::Start { manage_boot, sections }) => {
                check_start(manage_boot, &cx.facts)?;
                self.start(sections, cx)
            }
            Input::Command(Command::Abort) => self.abort(cx),
            Input::Command(Command::Reapply { data }) => self.reapply(data, cx),
            Input::Command(Command::Callback { data }) => self.callback(data, cx),
            Input::Command(Command::Enrol) => Ok(self.enrol(cx)),
            Input::Command(Command::Publish { data }) => self.publish(data, cx),
            Input::Command(Command::AcceptIdentity) => self.accept_identity(cx),
            Input::Job(update) => Ok(self.job_update(update, cx)),
            Input::Timer(name) => Ok(self.timer(&name, cx)),
            Input::Message(_) => Ok(Decision::to(self.clone())),
        }
    }
}

/// The event that a host shows itself as another machine than it was known as.
#[must_use]
pub fn identity_changed(host: HostId, known: &Identity, found: &Identity) -> Event {
    let data = json!({ "known": known, "found": found, "severity": Severity::Alarm.name() });
    Event { kind: "host.identity_changed", subject: host.to_string(), data }
}

/// The checks of a start that do not depend on the record (spec §1.7.1, §6.3).
fn check_start(manage_boot: Option<bool>, facts: &Facts) -> Result<(), Refusal> {
    if facts.revoked {
        return Err(Refusal::new(
            Class::Invalid,
            "Invalid provision state for introspection: \"revoked\", valid states are \"['enrolled', 'online', 'offline']\"",
        ));
    }
    if manage_boot == Some(true) {
        return Err(Refusal::new(
            Class::Invalid,
            "Managed boot is requested, but this installation cannot manage boot ((can_manage_boot set to False)",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
