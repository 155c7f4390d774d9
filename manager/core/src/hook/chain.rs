//! Chains: the hooks of one occurrence on one host, one after the other (spec/hooks.md §8).
//!
//! The machine makes all runs at once, so that there is a task for each, and lets them begin in their order. Where something
//! waits for them, the first failure that blocks is the end: the others are dropped and the one who waits is told why.

use std::time::Duration;

use hostler_common::error::Class;
use hostler_common::hook::{Occurrence, OnFailure};
use hostler_common::id::{HookId, HostId};
use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::machine::{Context, Decision, Effect, Input, Machine, Message, Refusal, TaskEnd};
use crate::run::command::{Report, Start as StartRun};
use crate::run::{self, Parent, Spec};

/// How long all hooks together may take that something waits for.
const TOGETHER_MAX: Duration = Duration::from_secs(900);

const DEADLINE: &str = "deadline";
const PACE: &str = "pace";

/// One hook of a chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// What runs.
    pub spec: Spec,
    /// What a failure means.
    pub on_failure: OnFailure,
    /// When it may begin at the earliest.
    pub not_before: Option<Timestamp>,
}

/// What a chain is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Begin.
    Start {
        /// The hooks in their order.
        links: Vec<Link>,
        /// Whether something waits for them.
        blocking: bool,
        /// Who is told of the end.
        parent: Option<Parent>,
    },
    /// Begin with the hooks of an occurrence, which are facts.
    Occur {
        /// What happened, or is about to.
        occurrence: Box<Occurrence>,
        /// The host that it is about; `None` means that it is about none.
        host: Option<HostId>,
        /// What changes, as JSON, where the hooks are told of it by a file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        change: Option<String>,
        /// Who is told of the end.
        parent: Option<Parent>,
    },
    /// A run has ended.
    Run(Report),
    /// End.
    Cancel,
}

/// How a chain ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What the parent calls the chain.
    pub tag: u32,
    /// Why what waits for it must not happen; `None` means that it may.
    pub veto: Option<String>,
    /// Failures that do not keep anything from happening.
    pub warnings: Vec<String>,
}

/// A hook that has its run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// The run.
    pub run: Uuid,
    /// The hook.
    pub hook: HookId,
    /// The name of the script.
    pub script: String,
    on_failure: OnFailure,
    not_before: Option<Timestamp>,
    /// How it ended, where that was before its turn.
    early: Option<Report>,
}

/// A chain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Chain {
    /// Which; also its subject.
    pub id: Uuid,
    /// Its hooks.
    pub made: Vec<Made>,
    /// The one whose turn it is.
    pub at: u32,
    /// Whether something waits for them.
    pub blocking: bool,
    /// Whether it is over.
    pub over: bool,
    /// Why it is to end early.
    pub veto: Option<String>,
    warnings: Vec<String>,
    parent: Option<Parent>,
}

impl Chain {
    /// A chain without hooks.
    #[must_use]
    pub fn new(id: Uuid) -> Self {
        Self { id, ..Self::default() }
    }

    fn start(
        &self,
        links: Vec<Link>,
        blocking: bool,
        parent: Option<Parent>,
        cx: &Context<Vec<Link>>,
    ) -> Decision<Self> {
        let mut chain = Self { blocking, parent, ..Self::new(self.id) };
        let mut told = Vec::new();
        for (tag, link) in (0_u32..).zip(links) {
            let run = cx.fresh_id(tag);
            let Some(hook) = link.spec.hook().map(|hook| hook.hook) else { continue };
            chain.made.push(Made {
                run,
                hook,
                script: link.spec.script.name.clone(),
                on_failure: link.on_failure,
                not_before: link.not_before,
                early: None,
            });
            let parent = Parent { kind: Self::KIND.into(), subject: self.id.to_string(), tag };
            let start = StartRun { spec: link.spec, parent: Some(parent), held: true };
            told.push(Effect::Tell(run::Word::Start(Box::new(start)).to(run)));
        }
        let mut decision = Decision::to(self.clone());
        decision.effects = told;
        if blocking && !chain.made.is_empty() {
            decision = decision.effect(Effect::SetTimer(DEADLINE, cx.now.after(TOGETHER_MAX)));
        }
        chain.turn(decision, cx)
    }

    /// Lets the one begin whose turn it is, or ends.
    fn turn(mut self, mut decision: Decision<Self>, cx: &Context<Vec<Link>>) -> Decision<Self> {
        if let Some(report) = self.made.get_mut(self.at as usize).and_then(|made| made.early.take()) {
            return self.judge(decision, &report, cx);
        }
        match self.made.get(self.at as usize) {
            Some(made) => match made.not_before.filter(|at| *at > cx.now) {
                Some(at) => decision = decision.effect(Effect::SetTimer(PACE, at)),
                None => decision = decision.effect(Effect::Tell(run::Word::Begin.to(made.run))),
            },
            None => {
                self.over = true;
                decision = decision.effect(Effect::ClearTimer(DEADLINE)).effect(Effect::ClearTimer(PACE));
                if let Some(message) = self.verdict() {
                    decision = decision.effect(Effect::Tell(message));
                }
            }
        }
        decision.next = self;
        decision
    }

    fn verdict(&self) -> Option<Message> {
        let parent = self.parent.as_ref()?;
        let verdict = Verdict { tag: parent.tag, veto: self.veto.clone(), warnings: self.warnings.clone() };
        let body = json!({ "chain": verdict });
        Some(Message { kind: parent.kind.clone(), subject: parent.subject.clone(), body })
    }

    fn ended(&self, report: Report, cx: &Context<Vec<Link>>) -> Decision<Self> {
        let mut chain = self.clone();
        let decision = Decision::to(self.clone());
        if self.over || self.veto.is_some() && report.tag != self.at {
            return decision;
        }
        if report.tag != self.at {
            if let Some(made) = chain.made.get_mut(report.tag as usize).filter(|_| report.tag > self.at) {
                made.early = Some(report);
            }
            return Decision { next: chain, ..decision };
        }
        chain.judge(decision, &report, cx)
    }

    /// What the end of the hook means whose turn it is.
    fn judge(mut self, decision: Decision<Self>, report: &Report, cx: &Context<Vec<Link>>) -> Decision<Self> {
        let Some(made) = self.made.get(self.at as usize) else { return decision };
        if self.veto.is_some() {
            self.at = u32::MAX;
            return self.turn(decision, cx);
        }
        if report.end != TaskEnd::Finished {
            let text = manner(made, report);
            if self.blocking && made.on_failure == OnFailure::Block {
                return self.end_early(decision, text, true, cx);
            }
            if made.on_failure != OnFailure::Ignore {
                self.warnings.push(text);
            }
        }
        self.at += 1;
        self.turn(decision, cx)
    }

    /// Drops those that have not begun; the one that runs is ended too, unless it has ended already.
    fn end_early(
        mut self,
        mut decision: Decision<Self>,
        why: String,
        ended: bool,
        cx: &Context<Vec<Link>>,
    ) -> Decision<Self> {
        let current = self.at as usize;
        for made in self.made.iter().skip(current + 1) {
            decision = decision.effect(Effect::Tell(run::Word::Drop { reason: why.clone() }.to(made.run)));
        }
        self.veto = Some(why);
        match self.made.get(current).filter(|_| !ended) {
            Some(made) => {
                decision = decision.effect(Effect::Tell(run::Word::Cancel.to(made.run)));
                decision.next = self;
                decision
            }
            None => {
                self.at = u32::MAX;
                self.turn(decision, cx)
            }
        }
    }
}

/// `hook 7 (check.sh) on host-1 exited 3`.
fn manner(made: &Made, report: &Report) -> String {
    let what = format!("hook {} ({})", made.hook, made.script);
    match (&report.failure, report.end) {
        (Some((host, how)), _) => format!("{what} on {host} {how}"),
        (None, TaskEnd::Cancelled) => format!("{what} was cancelled"),
        (None, _) => format!("{what} found no host to run on"),
    }
}

impl Machine for Chain {
    const KIND: &'static str = "chain";
    type Command = Word;
    /// For [`Word::Occur`]: the hooks that are to run.
    type Facts = Vec<Link>;
    type Write = ();

    fn decide(&self, input: Input<Word>, cx: &Context<Vec<Link>>) -> Result<Decision<Self>, Refusal> {
        let word = match input {
            Input::Command(word) => word,
            Input::Message(body) => read(body)?,
            Input::Timer(name) if name == PACE && !self.over => {
                return Ok(self.clone().turn(Decision::to(self.clone()), cx));
            }
            // No manager was there to see how they went on, so they get their time once more.
            Input::Timer(name) if name == DEADLINE && !self.over && cx.coming_back() => {
                let again = Effect::SetTimer(DEADLINE, cx.now.after(TOGETHER_MAX));
                return Ok(Decision::to(self.clone()).effect(again));
            }
            Input::Timer(name) if name == DEADLINE && !self.over && self.veto.is_none() => {
                let why = format!("the hooks took longer than {} seconds", TOGETHER_MAX.as_secs());
                return Ok(self.clone().end_early(Decision::to(self.clone()), why, false, cx));
            }
            Input::Timer(_) | Input::Job(_) => return Ok(Decision::to(self.clone())),
        };
        Ok(match word {
            Word::Start { .. } | Word::Occur { .. } if !self.made.is_empty() || self.over => {
                return Err(Refusal::new(Class::Conflict, "the chain has begun already"));
            }
            Word::Start { links, blocking, parent } => self.start(links, blocking, parent, cx),
            Word::Occur { occurrence, parent, .. } => {
                self.start(cx.facts.clone(), occurrence.point.blocking(), parent, cx)
            }
            Word::Run(report) => self.ended(report, cx),
            Word::Cancel if self.over || self.veto.is_some() => Decision::to(self.clone()),
            Word::Cancel => self.clone().end_early(Decision::to(self.clone()), "cancelled".into(), false, cx),
        })
    }
}

fn read(body: Value) -> Result<Word, Refusal> {
    serde_json::from_value(body)
        .map_err(|error| Refusal::new(Class::Internal, format!("a chain is told nonsense: {error}")))
}

impl Word {
    /// The word as a message for the chain of that id.
    #[must_use]
    pub fn to(&self, chain: Uuid) -> Message {
        // A word is plain data: it always has a JSON form.
        let body = serde_json::to_value(self).unwrap_or(Value::Null);
        Message { kind: Chain::KIND.into(), subject: chain.to_string(), body }
    }
}

#[cfg(test)]
mod tests;
