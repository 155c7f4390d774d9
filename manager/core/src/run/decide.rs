//! What follows from what happens to a run.

use std::collections::HashSet;
use std::time::Duration;

use hostler_common::error::Class;
use hostler_common::job::{JobSpec, JobState, JobUpdate, Work};
use hostler_common::script::{check_args, check_env};
use serde_json::json;

use super::command::{Adoption, Command, Facts, NewTarget, Report, Start, Word, Write};
use super::launch::{CHECK, LAUNCH};
use super::question::QUESTION;
use super::spec::{DEADLINE_MAX, HOSTS_MAX, Spec};
use super::state::{Canary, Phase, Run};
use super::target::{self, CANCELLED, Summary, TargetState, UNREACHABLE};
use crate::machine::{Context, Decision, Effect, Event, Input, Machine, Message, Refusal, TaskChange, TaskEnd};

/// How long an agent may take to take a job.
const DELIVERY: Duration = Duration::from_secs(60);

/// How long one of several hosts may take to begin, before it is another one's turn.
const START: Duration = Duration::from_secs(30);

/// The timer at which the end of a cancelled run is not awaited any longer.
const CANCEL_END: &str = "cancel_end";

/// How long the end of a cancelled run is awaited.
const CANCEL_WAIT: Duration = Duration::from_secs(60);

fn check(spec: &Spec) -> Result<(), Refusal> {
    let invalid = |text: String| Err(Refusal::new(Class::Invalid, text));
    if spec.hosts.len() > HOSTS_MAX {
        return invalid(format!("a run has at most {HOSTS_MAX} hosts"));
    }
    let mut seen = HashSet::new();
    if !spec.hosts.iter().all(|host| seen.insert(host)) {
        return invalid("a host is named twice".into());
    }
    if spec.hosts.is_empty() && spec.hook().is_none() {
        return invalid("no host is named".into());
    }
    if spec.deadline.is_zero() || spec.deadline > DEADLINE_MAX {
        return invalid("a script may take from one second to 48 hours".into());
    }
    check_args(&spec.args).map_err(|fault| Refusal::new(Class::Invalid, fault.to_string()))?;
    check_env(&spec.env).map_err(|fault| Refusal::new(Class::Invalid, fault.to_string()))
}

impl Run {
    /// The run and its task, with all targets pending.
    fn open(&self, spec: &Spec) -> Result<Decision<Self>, Refusal> {
        if self.phase != Phase::Fresh {
            return Err(Refusal::new(Class::Conflict, "the run has begun already"));
        }
        check(spec)?;
        let total = u32::try_from(spec.hosts.len()).unwrap_or(u32::MAX);
        let hook = spec.hook();
        let mut run = self.clone();
        run.phase = Phase::Active;
        run.counts.pending = total;
        run.any_one = hook.is_some_and(|hook| hook.any_one);
        run.blocking = hook.is_some_and(|hook| hook.blocking);
        run.hook = hook.is_some();
        run.at_once = if run.any_one { 1 } else { spec.max_concurrency.at_once(total) };
        run.errors_max = spec.max_errors.filter(|_| !run.any_one).map(|quota| quota.errors(total));
        run.deadline = spec.deadline;
        run.patience = if run.any_one { START } else { DELIVERY };
        run.canary = if spec.canary == 0 { Canary::None } else { Canary::After(spec.canary) };
        if total == 0 {
            run.note = "no selected server is connected".into();
        }
        let open = TaskChange::Open {
            kind: if run.hook { "hook" } else { "script" },
            name: spec.name.clone(),
            host: spec.hosts.first().filter(|_| total == 1).copied(),
            total,
        };
        let started = Event {
            kind: "run.started",
            subject: self.id.to_string(),
            data: json!({
                "name": spec.name, "script": spec.script.name, "revision": spec.script.revision,
                "digest": spec.script.digest, "hosts": total, "hook": hook.map(|hook| hook.hook),
            }),
        };
        Ok(Decision::to(run).effect(Effect::Task(open)).event(started))
    }

    fn start(&self, start: Start, cx: &Context<Facts>) -> Result<Decision<Self>, Refusal> {
        let mut decision = self.open(&start.spec)?;
        decision.next.parent = start.parent;
        let targets = (0..)
            .zip(&start.spec.hosts)
            .map(|(position, host)| NewTarget { position, host: *host, job: cx.fresh_job(position) })
            .collect();
        decision = decision.write(Write::Begin(Box::new(start.spec), targets));
        if start.held {
            decision.next.phase = Phase::Held;
            return Ok(decision);
        }
        Ok(decision.effect(Effect::Tell(Word::Begin.to(self.id))))
    }

    fn adopt(&self, adoption: Adoption, cx: &Context<Facts>) -> Result<Decision<Self>, Refusal> {
        let Adoption { spec, job } = adoption;
        let &[host] = spec.hosts.as_slice() else {
            return Err(Refusal::new(Class::Invalid, "an agent runs its scripts on its own host"));
        };
        let mut decision = self.open(&spec)?;
        let run = &mut decision.next;
        run.move_one(TargetState::Pending, TargetState::Running);
        run.begun = true;
        let script = ScriptOf(&spec).run();
        let known = JobSpec { id: job, host, work: Work::Script(Box::new(script)), deadline: spec.deadline };
        let check_at = cx.now.after(run.patience + run.deadline);
        run.check_at = Some(check_at);
        Ok(decision
            .write(Write::Begin(Box::new(spec), vec![NewTarget { position: 0, host, job }]))
            .write(Write::Adopt(Box::new(known)))
            .write(Write::Running(0))
            .effect(Effect::Task(TaskChange::Running))
            .effect(Effect::SetTimer(CHECK, check_at)))
    }

    fn word(&self, word: Word, cx: &Context<Facts>) -> Decision<Self> {
        let mut run = self.clone();
        match (word, self.phase) {
            (Word::Begin, Phase::Held | Phase::Active) => {
                run.phase = Phase::Active;
                run.advance(Decision::to(self.clone()), cx)
            }
            (Word::GoOn, Phase::Active) => run.advance(Decision::to(self.clone()), cx),
            (Word::Drop { reason }, Phase::Held) => {
                run.phase = Phase::Dropped;
                let decision = run.drop_rest(Decision::to(self.clone()), TargetState::Skipped, &reason);
                run.note = reason;
                run.advance(decision, cx)
            }
            (Word::Cancel, _) => self.cancel(cx),
            (Word::Conclude, Phase::Active | Phase::Cancelling | Phase::Dropped)
                if self.counts.pending == 0 && self.counts.open() == 0 =>
            {
                self.conclude(cx)
            }
            _ => Decision::to(run),
        }
    }

    fn cancel(&self, cx: &Context<Facts>) -> Decision<Self> {
        let mut run = self.clone();
        if !matches!(self.phase, Phase::Held | Phase::Active) {
            return Decision::to(run);
        }
        run.phase = Phase::Cancelling;
        run.canary = Canary::None;
        let mut decision = Decision::to(self.clone()).effect(Effect::Task(TaskChange::Cancelling));
        if matches!(self.canary, Canary::Asked(_)) {
            decision = decision.effect(Effect::Task(TaskChange::Answered)).effect(Effect::ClearTimer(QUESTION));
        }
        decision = run.drop_rest(decision, TargetState::Cancelled, "cancelled before it began");
        decision.effects.extend(cx.facts.begun.iter().map(|begun| Effect::CancelJob(begun.job)));
        if run.counts.open() > 0 {
            decision = decision.effect(Effect::SetTimer(CANCEL_END, cx.now.after(CANCEL_WAIT)));
        }
        run.advance(decision, cx)
    }

    /// The agents that did not confirm the end of a cancelled run are named in the result.
    fn cancel_end(&self, cx: &Context<Facts>) -> Decision<Self> {
        let mut run = self.clone();
        let mut decision = Decision::to(self.clone());
        if cx.coming_back() {
            return decision.effect(Effect::SetTimer(CANCEL_END, cx.back()));
        }
        if self.phase == Phase::Cancelling {
            for begun in &cx.facts.begun {
                run.move_one(begun.state, TargetState::Lost);
                let error = "the agent did not confirm the end of the script".to_owned();
                let (position, state) = (begun.position, TargetState::Lost);
                decision = decision.write(Write::Ended { position, state, outcome: None, error: Some(error) });
            }
        }
        run.advance(decision, cx)
    }

    fn job(&self, update: JobUpdate, cx: &Context<Facts>) -> Decision<Self> {
        let mut run = self.clone();
        let decision = Decision::to(self.clone());
        let Some((position, state)) = cx.facts.target else { return decision };
        if state.is_final() {
            return match update.outcome {
                Some(outcome) if update.state != JobState::Cancelled => {
                    decision.write(Write::Late(position, Box::new(outcome)))
                }
                _ => decision,
            };
        }
        match update.state {
            JobState::Queued | JobState::Delivered => decision,
            JobState::Running => run.running(decision, position, state, cx),
            ended => {
                let mut becomes = TargetState::of_job(ended);
                // One of several hosts that was told in time not to begin: it is another one's turn.
                if becomes == TargetState::Cancelled && run.any_one && run.phase == Phase::Active {
                    becomes = TargetState::Undeliverable;
                }
                run.move_one(state, becomes);
                let error = target::error_of(becomes, update.outcome.as_ref());
                let outcome = update.outcome.map(Box::new);
                let write = Write::Ended { position, state: becomes, outcome, error };
                let progress = Effect::Task(TaskChange::Progress(run.counts.ended()));
                run.advance(decision.write(write).effect(progress), cx)
            }
        }
    }

    fn running(
        mut self,
        decision: Decision<Self>,
        position: u32,
        state: TargetState,
        cx: &Context<Facts>,
    ) -> Decision<Self> {
        if state == TargetState::Running {
            return decision;
        }
        self.move_one(state, TargetState::Running);
        let mut decision = decision.write(Write::Running(position));
        if !self.begun {
            self.begun = true;
            decision = decision.effect(Effect::Task(TaskChange::Running));
        }
        self.advance(decision, cx)
    }

    fn conclude(&self, cx: &Context<Facts>) -> Decision<Self> {
        let mut run = self.clone();
        run.phase = Phase::Over;
        run.check_at = None;
        let (end, status_code) = self.verdict(&cx.facts.all);
        let failure = target::first_failure(&cx.facts.all);
        let result = TaskChange::Result { status_code, result: Some(target::result(&cx.facts.all)) };
        let counts = &self.counts;
        let finished = Event {
            kind: "run.finished",
            subject: self.id.to_string(),
            data: json!({ "task": cx.facts.task, "end": end, "status_code": status_code, "counts": counts }),
        };
        let mut decision = Decision::to(run);
        for name in [CHECK, LAUNCH, CANCEL_END, QUESTION] {
            decision = decision.effect(Effect::ClearTimer(name));
        }
        decision = decision
            .effect(Effect::Task(TaskChange::Progress(counts.ended() - counts.skipped)))
            .effect(Effect::Task(result))
            .effect(Effect::Task(TaskChange::Close { end, output: self.note_at_end() }))
            .event(finished);
        match &self.parent {
            Some(parent) => {
                let failure = failure.map(|first| (first.name.clone(), first.manner()));
                let report = Report { tag: parent.tag, end, status_code, failure };
                let body = json!({ "run": report });
                let message = Message { kind: parent.kind.clone(), subject: parent.subject.clone(), body };
                decision.effect(Effect::Tell(message))
            }
            None => decision,
        }
    }

    fn verdict(&self, all: &[Summary]) -> (TaskEnd, i32) {
        let counts = &self.counts;
        let stopped_early = counts.cancelled > 0 || counts.lost > 0;
        if self.phase == Phase::Dropped || (self.phase == Phase::Cancelling && stopped_early) {
            return (TaskEnd::Cancelled, CANCELLED);
        }
        let good = if self.any_one { counts.ok == 1 } else { counts.ok == self.total() && counts.ok > 0 };
        if good {
            return (TaskEnd::Finished, 0);
        }
        // Where one host is enough, those that were away before the one that began do not count.
        let began =
            |one: &&Summary| matches!(one.state, TargetState::Failed | TargetState::TimedOut | TargetState::Lost);
        let decisive = all.iter().find(began).filter(|_| self.any_one).or_else(|| target::first_failure(all));
        let code = decisive.and_then(Summary::status_code);
        (TaskEnd::Failed, code.unwrap_or(UNREACHABLE))
    }

    fn note_at_end(&self) -> String {
        let counts = &self.counts;
        match () {
            () if !self.note.is_empty() => self.note.clone(),
            () if self.stopped => {
                format!(
                    "stopped after {} of {} hosts failed, {} skipped",
                    counts.errors(),
                    self.total(),
                    counts.skipped
                )
            }
            () => String::new(),
        }
    }

    fn timer(&self, name: &str, cx: &Context<Facts>) -> Decision<Self> {
        match (name, self.phase) {
            (CHECK, Phase::Active | Phase::Cancelling) => self.clone().check(Decision::to(self.clone()), cx),
            (LAUNCH, Phase::Active) => self.clone().advance(Decision::to(self.clone()), cx),
            (QUESTION, Phase::Active) => self.unanswered(cx),
            (CANCEL_END, Phase::Cancelling) => self.cancel_end(cx),
            _ => Decision::to(self.clone()),
        }
    }
}

/// The script of a spec as it stands, for a job that an agent made itself.
struct ScriptOf<'a>(&'a Spec);

impl ScriptOf<'_> {
    fn run(&self) -> hostler_common::script::ScriptRun {
        let spec = self.0;
        hostler_common::script::ScriptRun {
            args: spec.args.clone(),
            env: spec.env.clone(),
            secrets: spec.secrets.clone(),
            run_as: spec.run_as.clone(),
            limits: spec.limits,
            leave_children: spec.leave_children,
            success_codes: spec.success_codes.clone(),
            blocking: spec.hook().is_some_and(|hook| hook.blocking),
            ..hostler_common::script::ScriptRun::new(spec.script.clone())
        }
    }
}

impl Machine for Run {
    const KIND: &'static str = "run";
    type Command = Command;
    type Facts = Facts;
    type Write = Write;

    fn decide(&self, input: Input<Command>, cx: &Context<Facts>) -> Result<Decision<Self>, Refusal> {
        let decision = match input {
            Input::Command(Command::Start(start)) => self.start(*start, cx)?,
            Input::Command(Command::Adopt(adoption)) => self.adopt(*adoption, cx)?,
            Input::Command(Command::Cancel) => self.cancel(cx),
            Input::Command(Command::Answer { token, response }) => self.answer(token, &response, cx)?,
            Input::Job(update) => self.job(update, cx),
            Input::Timer(name) => self.timer(&name, cx),
            Input::Message(body) => match serde_json::from_value(body) {
                Ok(Word::Start(start)) => self.start(*start, cx)?,
                Ok(word) => self.word(word, cx),
                Err(error) => return Err(Refusal::new(Class::Internal, format!("a run is told nonsense: {error}"))),
            },
        };
        debug_assert!(self.phase.may_become(decision.next.phase));
        Ok(decision)
    }
}

#[cfg(test)]
mod tests;
