//! What follows from what happens to an operation.

use std::time::Duration;

use hostler_common::error::Class;
use hostler_common::hook::{HookPoint, Occurrence, Origin};
use hostler_common::job::{JobSpec, JobState, JobUpdate, Outcome, Work};
use hostler_common::step::{CrushChange, Step, StepResult};
use hostler_common::text::clip;
use serde_json::{Value, json};

use super::change;
use super::points::{after, before, configured, title};
use super::{Command, DEPTH_MAX, Facts, Operation, Stage, Start, deadline, result_of};
use crate::cluster;
use crate::hook::chain::{Verdict, Word};
use crate::machine::{self, Context, Decision, Effect, Event, Input, Machine, Refusal, TaskChange, TaskEnd};
use crate::run::Parent;
use crate::run::target::{CANCELLED, UNREACHABLE};

/// The timer at which it is looked after the job.
const CHECK: &str = "check";

/// How long an agent may take to take a job.
const DELIVERY: Duration = Duration::from_secs(60);

/// How long after its deadline a job may be silent before it counts as lost.
const SILENCE: Duration = Duration::from_secs(180);

/// How long the end of a cancelled operation is awaited.
const CANCEL_WAIT: Duration = Duration::from_secs(60);

/// How often somebody else may be faster.
const MOVED_MAX: u32 = 5;

/// The most that is kept of what an agent says why a step failed, in bytes.
const REASON_MAX: usize = 8 << 10;

/// The status code of a step that did not come to its end.
const FAILED: i32 = 1;

/// The status code of a step that took too long.
const TOO_LONG: i32 = 124;

/// How a step ended that never reached its agent.
const UNDELIVERABLE: &str = "undeliverable";

impl Operation {
    fn start(&self, start: Start, cx: &Context<Facts>) -> Result<Decision<Self>, Refusal> {
        if self.stage != Stage::Fresh {
            return Err(Refusal::new(Class::Conflict, "the operation has begun already"));
        }
        if start.options.depth > DEPTH_MAX {
            let text =
                format!("hooks may begin operations {DEPTH_MAX} deep; this one would be at {}", start.options.depth);
            return Err(Refusal::new(Class::Conflict, text));
        }
        let Some(seat) = &cx.facts.seat else {
            return Err(Refusal::new(Class::NotFound, "there is no such host"));
        };
        let mut operation = self.clone();
        operation.crush.pinned = matches!(&start.step, Step::Crush(change) if change.version.is_some());
        operation.crush.cluster.clone_from(&cx.facts.cluster);
        operation.host = Some(start.host);
        operation.options = start.options;
        let name = format!("{} on {}", title(&start.step), seat.name);
        let open = TaskChange::Open { kind: Self::KIND, name: name.clone(), host: Some(start.host), total: 1 };
        let told = json!({ "name": name, "step": start.step.name(), "skip_hooks": start.options.skip_hooks, "depth": start.options.depth });
        let mut decision = Decision::to(self.clone())
            .effect(Effect::Task(open))
            .effect(Effect::Task(TaskChange::About(seat.name.clone())))
            .event(Event { kind: "operation.started", subject: start.host.to_string(), data: told });
        let reads = matches!(start.step, Step::Crush(_));
        let connected = seat.connected;
        operation.step = Some(start.step);
        if !connected {
            return Ok(operation.fail(decision, UNDELIVERABLE, UNREACHABLE, "the agent is not connected"));
        }
        decision = if reads {
            operation.order(decision, Step::CrushRead, Stage::Reading, cx)
        } else {
            operation.hooks(decision, &Value::Null, cx)
        };
        Ok(decision)
    }

    /// Orders a job and waits for it.
    fn order(mut self, decision: Decision<Self>, step: Step, stage: Stage, cx: &Context<Facts>) -> Decision<Self> {
        let Some(host) = self.host else { return decision };
        let changes_crush = matches!(step, Step::Crush(_));
        let spec = JobSpec { id: cx.fresh_job(0), host, deadline: deadline(&step), work: Work::Step(Box::new(step)) };
        (self.stage, self.job, self.since) = (stage, Some(spec.id), Some(cx.now));
        let due = cx.now.after(DELIVERY);
        let mut decision = decision.effect(Effect::RunJob(spec)).effect(Effect::SetTimer(CHECK, due));
        if changes_crush
            && !self.crush.begun
            && let Some(fsid) = &self.crush.cluster
        {
            let told = cluster::Command::CrushBegun { operation: self.id };
            decision = decision.effect(Effect::Tell(told.to(fsid)));
            self.crush.begun = true;
        }
        decision.next = self;
        decision
    }

    /// The hooks that come before, if there may be any; else the change itself. `found` is what the step that looks first
    /// found.
    fn hooks(mut self, decision: Decision<Self>, found: &Value, cx: &Context<Facts>) -> Decision<Self> {
        let point = self.step.as_ref().and_then(|step| before(step, &self.crush)).filter(|_| !self.options.skip_hooks);
        let (Some((point, values)), Some(host)) = (point, self.host) else { return self.make(decision, cx) };
        let chain = cx.fresh_id(1);
        let parent = Parent { kind: Self::KIND.into(), subject: self.id.to_string(), tag: self.crush.moved };
        let occurrence = Box::new(occurrence(point, values, cx));
        (self.stage, self.chain) = (Stage::Hooks, Some(chain));
        let change = self.step.as_ref().and_then(|step| change::before(step, found));
        let told = Word::Occur { occurrence, host: Some(host), change, parent: Some(parent) }.to(chain);
        let mut decision = decision.effect(Effect::Tell(told)).effect(Effect::ClearTimer(CHECK));
        decision.next = self;
        decision
    }

    /// Makes the change.
    fn make(self, decision: Decision<Self>, cx: &Context<Facts>) -> Decision<Self> {
        let step = match self.step.clone() {
            Some(Step::Crush(change)) => Step::Crush(CrushChange { version: self.crush.version, ..change }),
            Some(step) => step,
            None => return decision,
        };
        self.order(decision, step, Stage::Doing, cx)
    }

    fn verdict(&self, verdict: Verdict, cx: &Context<Facts>) -> Decision<Self> {
        let mut operation = self.clone();
        let decision = Decision::to(self.clone());
        if self.stage != Stage::Hooks || verdict.tag != self.crush.moved {
            return decision;
        }
        operation.chain = None;
        operation.warnings.extend(verdict.warnings);
        match verdict.veto {
            _ if self.cancel_at.is_some() => {
                operation.close(decision, TaskEnd::Cancelled, CANCELLED, None, "cancelled")
            }
            Some(veto) => operation.fail(decision, "vetoed", FAILED, &veto),
            None => {
                let decision = operation.note(decision, "hooks before", "");
                operation.make(decision, cx)
            }
        }
    }

    fn job(&self, update: JobUpdate, cx: &Context<Facts>) -> Decision<Self> {
        let operation = self.clone();
        let decision = Decision::to(self.clone());
        if self.job != Some(update.job) || !matches!(self.stage, Stage::Reading | Stage::Doing) {
            return decision;
        }
        let Some(outcome) = update.outcome else {
            return match update.state {
                JobState::Running => decision.effect(Effect::Task(TaskChange::Running)),
                _ => decision,
            };
        };
        if self.cancel_at.is_some() && (update.state == JobState::Cancelled || self.stage == Stage::Reading) {
            return operation.close(decision, TaskEnd::Cancelled, CANCELLED, None, "cancelled");
        }
        match (self.stage, update.state) {
            (Stage::Reading, JobState::Succeeded) => operation.read(decision, &outcome, cx),
            (_, JobState::Succeeded) => operation.done(decision, &outcome, cx),
            (Stage::Doing, JobState::Refused) if self.may_try_again() => {
                let mut operation = operation;
                operation.crush.refusal = outcome.reason.map(|reason| clip(&reason, REASON_MAX).to_owned());
                operation.order(decision, Step::CrushRead, Stage::Reading, cx)
            }
            (_, state) => operation.failed(decision, state, outcome, cx),
        }
    }

    /// Whether somebody may have been faster at the CRUSH map, and the caller leaves it to us what to do then.
    fn may_try_again(&self) -> bool {
        matches!(self.step, Some(Step::Crush(_))) && !self.crush.pinned && self.crush.moved < MOVED_MAX
    }

    /// The CRUSH map was read, for the first time or because it may have moved.
    fn read(mut self, decision: Decision<Self>, outcome: &Outcome, cx: &Context<Facts>) -> Decision<Self> {
        let found = result_of(&outcome.stdout.head).after;
        let Some(version) = found["version"].as_u64() else {
            return self.fail(
                decision,
                JobState::Failed.name(),
                FAILED,
                "the agent does not say which version the CRUSH map has",
            );
        };
        let hash = found["hash"].as_str().unwrap_or_default().to_owned();
        if let Some(Step::Crush(CrushChange { version: Some(wanted), .. })) = &self.step
            && *wanted != version
        {
            let text = format!("the CRUSH map has version {version} and not {wanted}");
            return self.fail(decision, "refused", FAILED, &text);
        }
        let decision = self.note(decision, "CRUSH map read", &format!("it has version {version}"));
        let again = self.crush.refusal.take();
        let (moved, same) = (self.crush.version != Some(version), self.crush.hash == hash && !hash.is_empty());
        (self.crush.version, self.crush.hash) = (Some(version), hash);
        match again {
            // It did not move: the change was refused for what it is.
            Some(refusal) if !moved => self.fail(decision, "refused", FAILED, &refusal),
            Some(_) => {
                self.crush.moved += 1;
                if same { self.make(decision, cx) } else { self.hooks(decision, &found, cx) }
            }
            None => self.hooks(decision, &found, cx),
        }
    }

    fn done(self, decision: Decision<Self>, outcome: &Outcome, cx: &Context<Facts>) -> Decision<Self> {
        let mut result = result_of(&outcome.stdout.head);
        let decision = self.tell_hooks(decision, &result, None, cx);
        change::clear(&mut result);
        let detail = result.detail.clone();
        let decision = self.note(decision, self.step.as_ref().map_or("step", Step::name), clip(&detail, REASON_MAX));
        let document = serde_json::to_value(&result).unwrap_or(Value::Null);
        self.close(decision, TaskEnd::Finished, 0, Some(document), &detail)
    }

    fn failed(
        self,
        decision: Decision<Self>,
        state: JobState,
        outcome: Outcome,
        cx: &Context<Facts>,
    ) -> Decision<Self> {
        let reason = outcome.reason.clone().unwrap_or_else(|| format!("the step ended as {}", state.name()));
        let reason = clip(&reason, REASON_MAX).to_owned();
        let began = self.stage == Stage::Doing && matches!(state, JobState::Failed | JobState::TimedOut);
        let decision = match began {
            true => self.tell_hooks(decision, &result_of(&outcome.stdout.head), Some(&reason), cx),
            false => decision,
        };
        let code = match state {
            JobState::TimedOut => TOO_LONG,
            JobState::Lost => UNREACHABLE,
            _ => outcome.exit_code.filter(|code| *code != 0).unwrap_or(FAILED),
        };
        let left: Option<StepResult> = serde_json::from_slice(&outcome.stdout.head).ok();
        let mut told = left.and_then(|left| serde_json::to_value(left).ok()).unwrap_or_else(|| json!({}));
        (told["state"], told["error"], told["exitCode"]) =
            (state.name().into(), reason.as_str().into(), outcome.exit_code.into());
        self.fail_with(decision, code, &reason, told)
    }

    /// The hooks that come after; nobody waits for them.
    fn tell_hooks(
        &self,
        decision: Decision<Self>,
        result: &StepResult,
        error: Option<&str>,
        cx: &Context<Facts>,
    ) -> Decision<Self> {
        let (Some(step), Some(host)) = (self.step.as_ref().filter(|_| !self.options.skip_hooks), self.host) else {
            return decision;
        };
        let configured = configured(step, result, error).map(|point| (point, None));
        let after = after(step, &self.crush, result, error).map(|point| (point, change::after(step, result)));
        // Two fresh identifiers each, after the one of the chain before.
        (2..).step_by(2).zip([after, configured].into_iter().flatten()).fold(
            decision,
            |decision, (n, ((point, values), change))| {
                let occurrence = Box::new(Occurrence { id: cx.fresh_id(n + 1), ..occurrence(point, values, cx) });
                let told = Word::Occur { occurrence, host: Some(host), change, parent: None };
                decision.effect(Effect::Tell(told.to(cx.fresh_id(n))))
            },
        )
    }

    /// Ends it without the change; `state` is one word for how, as states of jobs are.
    fn fail(self, decision: Decision<Self>, state: &str, code: i32, why: &str) -> Decision<Self> {
        self.fail_with(decision, code, why, json!({ "state": state, "error": why }))
    }

    fn fail_with(self, mut decision: Decision<Self>, code: i32, why: &str, told: Value) -> Decision<Self> {
        let what = match (self.stage, &self.step) {
            (Stage::Hooks, _) => "hooks before",
            (Stage::Reading, _) => "CRUSH map read",
            (Stage::Doing | Stage::Fresh | Stage::Over, Some(step)) => step.name(),
            (Stage::Doing | Stage::Fresh | Stage::Over, None) => "step",
        };
        decision.steps.extend(self.host.map(|host| machine::Step::failed(what, host, why)));
        self.close(decision, TaskEnd::Failed, code, Some(told), why)
    }

    /// Adds a line to the history of what went as it should.
    fn note(&self, mut decision: Decision<Self>, what: &str, detail: &str) -> Decision<Self> {
        decision.steps.extend(self.host.map(|host| machine::Step::done(what, host, detail)));
        decision
    }

    fn close(
        mut self,
        decision: Decision<Self>,
        end: TaskEnd,
        status_code: i32,
        result: Option<Value>,
        text: &str,
    ) -> Decision<Self> {
        let warnings = self.warnings.iter().map(|warning| format!("warning: {warning}\n"));
        let output = format!("{}{text}", warnings.collect::<String>());
        let crush_told = self.crush_ended(result.as_ref());
        let data = json!({ "end": end, "status_code": status_code, "detail": text });
        let subject = self.host.map(|host| host.to_string()).unwrap_or_default();
        (self.stage, self.job, self.since) = (Stage::Over, None, None);
        let mut decision = decision
            .effect(Effect::ClearTimer(CHECK))
            .effect(Effect::Task(TaskChange::Result { status_code, result }))
            .effect(Effect::Task(TaskChange::Close { end, output }))
            .event(Event { kind: "operation.finished", subject, data });
        decision.effects.extend(crush_told);
        decision.next = self;
        decision
    }

    /// What the machine of the cluster is told of the end, if it was told of the beginning.
    fn crush_ended(&mut self, result: Option<&Value>) -> Option<Effect> {
        let fsid = self.crush.cluster.as_ref().filter(|_| self.crush.begun)?;
        let after = result.map(|result| &result["after"]);
        let change = self.crush.version.zip(after.and_then(|after| after["version"].as_u64())).map(|(from, to)| {
            let hash = after.and_then(|after| after["hash"].as_str()).map(str::to_owned);
            cluster::CrushMove { from, to, hash }
        });
        let told = cluster::Command::CrushEnded { operation: self.id, change };
        self.crush.begun = false;
        Some(Effect::Tell(told.to(fsid)))
    }

    fn cancel(&self, cx: &Context<Facts>) -> Decision<Self> {
        let mut operation = self.clone();
        let mut decision = Decision::to(self.clone());
        if self.cancel_at.is_some() || matches!(self.stage, Stage::Fresh | Stage::Over) {
            return decision;
        }
        operation.cancel_at = Some(cx.now);
        decision = decision.effect(Effect::Task(TaskChange::Cancelling));
        decision.effects.extend(self.job.map(Effect::CancelJob).filter(|_| self.stage != Stage::Hooks));
        if let Some(chain) = self.chain.filter(|_| self.stage == Stage::Hooks) {
            decision = decision.effect(Effect::Tell(Word::Cancel.to(chain)));
        }
        decision = decision.effect(Effect::SetTimer(CHECK, cx.now.after(CANCEL_WAIT)));
        decision.next = operation;
        decision
    }

    fn check(&self, cx: &Context<Facts>) -> Decision<Self> {
        let operation = self.clone();
        let decision = Decision::to(self.clone());
        if matches!(self.stage, Stage::Fresh | Stage::Over) {
            return decision;
        }
        // No agent could take the job, or report of it, while no manager was there.
        if cx.coming_back() {
            return decision.effect(Effect::SetTimer(CHECK, cx.back()));
        }
        if self.cancel_at.is_some_and(|at| at.after(CANCEL_WAIT) <= cx.now) {
            let text = "cancelled; the agent did not confirm the end";
            return operation.close(decision, TaskEnd::Cancelled, CANCELLED, None, text);
        }
        let (Some(job), Some(since), Some(step)) = (self.job, self.since, &self.step) else { return decision };
        let limit = since.after(DELIVERY + deadline(step) + SILENCE);
        let connected = cx.facts.seat.as_ref().is_some_and(|seat| seat.connected);
        match cx.facts.job_state {
            None => operation.fail(decision, JobState::Lost.name(), UNREACHABLE, "the host was removed"),
            Some(JobState::Queued) => {
                let decision = decision.effect(Effect::CancelJob(job));
                operation.fail(decision, UNDELIVERABLE, UNREACHABLE, "the agent does not take the job")
            }
            // While the agent is there, it is the one that counts the time.
            Some(_) if limit <= cx.now && !connected => {
                let why = "the agent has gone; nobody knows how the step ended";
                operation.fail(decision, JobState::Lost.name(), UNREACHABLE, why)
            }
            Some(_) => decision.effect(Effect::SetTimer(CHECK, limit.max(cx.now.after(DELIVERY)))),
        }
    }
}

fn occurrence(point: HookPoint, values: Vec<String>, cx: &Context<Facts>) -> Occurrence {
    Occurrence { id: cx.fresh_id(3), point, origin: Origin::Manager, at: cx.now, values }
}

impl Machine for Operation {
    const KIND: &'static str = "operation";
    type Command = Command;
    type Facts = Facts;
    type Write = ();

    fn decide(&self, input: Input<Command>, cx: &Context<Facts>) -> Result<Decision<Self>, Refusal> {
        Ok(match input {
            Input::Command(Command::Start(start)) => self.start(*start, cx)?,
            Input::Command(Command::Cancel) => self.cancel(cx),
            Input::Job(update) => self.job(update, cx),
            Input::Timer(_) => self.check(cx),
            Input::Message(body) => match serde_json::from_value(body["chain"].clone()) {
                Ok(verdict) => self.verdict(verdict, cx),
                Err(error) => {
                    return Err(Refusal::new(Class::Internal, format!("an operation is told nonsense: {error}")));
                }
            },
        })
    }
}

#[cfg(test)]
mod tests;
