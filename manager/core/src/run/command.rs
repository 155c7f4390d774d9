//! What can be asked of a run, what it may know, and what it writes.

use std::time::Duration;

use hostler_common::id::{HostId, JobId, TaskId};
use hostler_common::job::{JobSpec, Outcome};
use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::spec::{Parent, Spec};
use super::target::{Begun, Summary, TargetState, Waiting};
use crate::machine::{Message, TaskEnd};

/// What can be asked of a run.
#[derive(Clone, Debug)]
pub enum Command {
    /// Begin.
    Start(Box<Start>),
    /// Take over a script that an agent already runs.
    Adopt(Box<Adoption>),
    /// End.
    Cancel,
    /// Go on, or not.
    Answer {
        /// Names the question.
        token: Uuid,
        /// One of the answers that it offers.
        response: String,
    },
}

/// How a run begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// What is to be done.
    pub spec: Spec,
    /// Who is told of the end.
    pub parent: Option<Parent>,
    /// Whether it waits for [`Word::Begin`] of that machine.
    pub held: bool,
}

/// A script that an agent runs by itself.
#[derive(Clone, Debug)]
pub struct Adoption {
    /// As if it had been asked for; it has one host.
    pub spec: Spec,
    /// The job that the agent made.
    pub job: JobId,
}

/// What machines tell a run, and what it tells itself for after its rows are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum Word {
    /// Begin the run itself.
    Start(Box<Start>),
    /// Begin the first targets.
    Begin,
    /// Go on with the next targets: those before could not even be begun.
    GoOn,
    /// Everything has ended: say how.
    Conclude,
    /// Do not begin at all.
    Drop {
        /// Why, for people.
        reason: String,
    },
    /// End.
    Cancel,
}

/// What a run tells its parent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What the parent calls the run.
    pub tag: u32,
    /// How it ended.
    pub end: TaskEnd,
    /// The status code of its task.
    pub status_code: i32,
    /// What went wrong first: the name of the host, and how.
    pub failure: Option<(String, String)>,
}

impl Word {
    /// The word as a message for the run of that id.
    #[must_use]
    pub fn to(&self, run: Uuid) -> Message {
        // A word is plain data: it always has a JSON form.
        let body = serde_json::to_value(self).unwrap_or(Value::Null);
        Message { kind: "run".into(), subject: run.to_string(), body }
    }
}

/// What a decision may know.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The task of the run, once there is one.
    pub task: Option<TaskId>,
    /// What is to be done; there where targets may begin.
    pub spec: Option<Spec>,
    /// The next targets that wait, as many as [`super::Run::wants`] says or all.
    pub waiting: Vec<Waiting>,
    /// The target that the job of the input belongs to.
    pub target: Option<(u32, TargetState)>,
    /// The targets that have begun and not ended; for a timer and for a cancel.
    pub begun: Vec<Begun>,
    /// All targets; for the conclusion.
    pub all: Vec<Summary>,
    /// How many scripts may begin before the manager's own limit is reached.
    pub room: u32,
}

/// A new target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewTarget {
    /// Its position.
    pub position: u32,
    /// Where.
    pub host: HostId,
    /// The job that it will be.
    pub job: JobId,
}

/// What becomes of rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// The run and its targets, all pending.
    Begin(Box<Spec>, Vec<NewTarget>),
    /// A job that an agent made, running.
    Adopt(Box<JobSpec>),
    /// Targets from the first to the last position become `delivering`.
    Launched(u32, u32),
    /// A target becomes `running`.
    Running(u32),
    /// A target ends.
    Ended {
        /// Which.
        position: u32,
        /// How.
        state: TargetState,
        /// What its job left.
        outcome: Option<Box<Outcome>>,
        /// Why it is not `ok`.
        error: Option<String>,
    },
    /// What came of a target that had been given up: kept with it, the state stays.
    Late(u32, Box<Outcome>),
    /// All targets from this position on end without having begun.
    Rest(u32, TargetState, String),
}

/// How long an answer to a question is awaited.
pub const ANSWER: Duration = Duration::from_secs(24 * 3600);

/// When a target is given up, counted from its beginning.
#[must_use]
pub(super) fn due(begun: &Begun, patience: Duration, deadline: Duration) -> Timestamp {
    match begun.state {
        TargetState::Running => begun.begun_at.after(patience + deadline + LOST_AFTER),
        _ => begun.begun_at.after(patience),
    }
}

/// How long after its deadline a running script may be silent before it counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(120);
