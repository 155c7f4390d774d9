//! State machines: what every long-running thing of the product is (design §3).
//!
//! A machine takes an input and answers with a [`Decision`]: its next state and everything that must happen with it. The
//! engine writes all of it in one transaction and performs the effects from the committed rows, so a crash at any instant
//! loses nothing and repeats nothing.

use hostler_common::error::Class;
use hostler_common::id::{HostId, JobId};
use hostler_common::job::{JobSpec, JobUpdate};
use hostler_common::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// A timer of this name comes due early when the agent of the host that the machine is about connects.
pub const WHEN_ONLINE: &str = "when_online";

/// A moment before all others, for what always was.
pub const LONG_AGO: Timestamp = Timestamp::from_micros(i64::MIN);

/// A state machine. Its value is its state, stored as a JSON document; old documents must still load.
pub trait Machine: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The stable name of this kind of machine, as stored.
    const KIND: &'static str;
    /// What can be asked of it.
    type Command: Send + 'static;
    /// What it may know of the world, read in the same transaction in which its decision is written.
    type Facts: Send;
    /// Rows of its own domain that a decision changes, written in the same transaction.
    type Write: Send;

    /// Says what happens next; never performs it.
    ///
    /// # Errors
    /// A refusal changes nothing; its text is for the one who asked.
    fn decide(&self, input: Input<Self::Command>, cx: &Context<Self::Facts>) -> Result<Decision<Self>, Refusal>;
}

/// Something that happened to a machine.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and it lives for one decision")]
pub enum Input<C> {
    /// Somebody asks for something.
    Command(C),
    /// An agent reports of a job of this machine.
    Job(JobUpdate),
    /// A timer of this machine came due.
    Timer(String),
    /// Another machine tells it something; see [`Effect::Tell`].
    Message(Value),
}

/// What a decision is made from, besides the machine's state and the input.
#[derive(Debug)]
pub struct Context<F> {
    /// The current moment.
    pub now: Timestamp,
    /// Since when a manager is there; see [`crate::outage`].
    pub since: Timestamp,
    /// Who asked, for the audit trail; `None` where nobody did.
    pub actor: Option<String>,
    /// A fresh random number: what identifiers are made from.
    pub seed: u128,
    /// The facts of the domain.
    pub facts: F,
}

impl<F> Context<F> {
    /// The `n`-th fresh identifier of this decision: a UUID of version 7 made from the time and the seed.
    #[must_use]
    pub fn fresh_id(&self, n: u32) -> Uuid {
        let mixed = self.seed.wrapping_add(u128::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
        let bytes = mixed.to_be_bytes();
        let mut random = [0; 10];
        random.copy_from_slice(&bytes[..10]);
        let millis = u64::try_from(self.now.as_micros() / 1000).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    /// A fresh job identifier; `n` tells several of one decision apart.
    #[must_use]
    pub fn fresh_job(&self, n: u32) -> JobId {
        JobId(self.fresh_id(n))
    }
}

/// What happens next. All of it is written in one transaction, or nothing is.
#[derive(Clone, Debug)]
pub struct Decision<M: Machine> {
    /// The state after it.
    pub next: M,
    /// What the engine must do.
    pub effects: Vec<Effect>,
    /// Rows of the machine's domain.
    pub writes: Vec<M::Write>,
    /// Lines of the machine's history.
    pub steps: Vec<Step>,
    /// What the world is told.
    pub events: Vec<Event>,
}

impl<M: Machine> Decision<M> {
    /// A decision that only moves to `next`.
    #[must_use]
    pub fn to(next: M) -> Self {
        Self { next, effects: Vec::new(), writes: Vec::new(), steps: Vec::new(), events: Vec::new() }
    }

    /// Adds an effect.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }

    /// Adds a row of the domain.
    #[must_use]
    pub fn write(mut self, write: M::Write) -> Self {
        self.writes.push(write);
        self
    }

    /// Adds a line of history.
    #[must_use]
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Adds an event.
    #[must_use]
    pub fn event(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }
}

/// What a decision makes the engine do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Hand this job to its host, as soon as that is connected.
    RunJob(JobSpec),
    /// End that job: one that no agent has is dropped, one that an agent has is ended by it.
    CancelJob(JobId),
    /// Send an [`Input::Timer`] of that name at that moment. A machine has one timer of a name; this moves it.
    SetTimer(&'static str, Timestamp),
    /// Take that timer back.
    ClearTimer(&'static str),
    /// Change what watchers of the machine's task see.
    Task(TaskChange),
    /// Give another machine, or this one, an [`Input::Message`]: in the same transaction, after the rows of this decision.
    Tell(Message),
}

/// What a machine tells another.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The kind of machine.
    pub kind: String,
    /// Which of that kind.
    pub subject: String,
    /// What it is told.
    pub body: Value,
}

/// A change of the task by which people follow a machine (design §1).
#[derive(Clone, Debug, PartialEq)]
pub enum TaskChange {
    /// A new task begins; it replaces the one before as the machine's current one.
    Open {
        /// What kind of work, the stable name: `introspection`.
        kind: &'static str,
        /// A sentence for people.
        name: String,
        /// The host that it is about.
        host: Option<HostId>,
        /// How many parts the work has.
        total: u32,
    },
    /// What the work is about, for people: the name of a host or a cluster.
    About(String),
    /// Work began.
    Running,
    /// So many parts of it are done.
    Progress(u32),
    /// Somebody has to answer this before it goes on.
    Ask(Question),
    /// The question is answered; work goes on.
    Answered,
    /// What came of it, told together with the end.
    Result {
        /// 0, or what went wrong (spec/hooks.md §9).
        status_code: i32,
        /// The particulars, if they are not kept elsewhere.
        result: Option<Value>,
    },
    /// Somebody asked to cancel it.
    Cancelling,
    /// It ended.
    Close {
        /// How.
        end: TaskEnd,
        /// What people should read about the end.
        output: String,
    },
}

/// A question that a task asks (spec/hooks.md §9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Names this question; an answer to an older one does not count.
    pub token: Uuid,
    /// What is asked.
    pub message: String,
    /// The answers that are offered.
    pub options: Vec<String>,
    /// The answer that counts when nobody gives one in time.
    pub default: String,
    /// Whether it cannot wait.
    pub urgent: bool,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// When the default counts.
    pub expires_at: Timestamp,
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskEnd {
    /// As it should.
    Finished,
    /// Otherwise.
    Failed,
    /// Because somebody asked for that.
    Cancelled,
}

/// One line of a machine's history.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What was done or happened, a short stable phrase.
    pub what: String,
    /// On which host.
    pub host: Option<HostId>,
    /// How it went.
    pub outcome: StepOutcome,
    /// More, for people.
    pub detail: String,
}

impl Step {
    /// A step that went as it should.
    #[must_use]
    pub fn done(what: impl Into<String>, host: HostId, detail: impl Into<String>) -> Self {
        Self { what: what.into(), host: Some(host), outcome: StepOutcome::Done, detail: detail.into() }
    }

    /// A step that failed.
    #[must_use]
    pub fn failed(what: impl Into<String>, host: HostId, detail: impl Into<String>) -> Self {
        Self { what: what.into(), host: Some(host), outcome: StepOutcome::Failed, detail: detail.into() }
    }
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// As it should.
    Done,
    /// Otherwise.
    Failed,
    /// There was nothing to do.
    Skipped,
}

impl StepOutcome {
    /// The stable name, as stored.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// Something that the world is told: an immutable, numbered record (design §1).
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The stable name: `introspection.finished`.
    pub kind: &'static str,
    /// What it is about: mostly the identifier of a host.
    pub subject: String,
    /// The particulars, without secrets.
    pub data: Value,
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The class of the failure.
    pub class: Class,
    /// The text for the one who asked.
    pub message: String,
}

impl Refusal {
    /// A refusal of that class.
    #[must_use]
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_ids_differ_and_sort_by_time() {
        let cx =
            |micros| Context { now: Timestamp::from_micros(micros), since: LONG_AGO, actor: None, seed: 7, facts: () };
        let early = cx(1_000_000);
        let late = cx(2_000_000);
        assert_ne!(early.fresh_id(0), early.fresh_id(1));
        assert_eq!(early.fresh_id(0), early.fresh_id(0));
        assert!(early.fresh_id(0) < late.fresh_id(0));
        assert_eq!(early.fresh_id(0).get_version_num(), 7);
    }
}
