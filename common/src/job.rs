//! Jobs: what an agent can be asked to do, and what it tells of it (design §4).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{HostId, JobId};
use crate::script::ScriptRun;
use crate::step::Step;
use crate::time::Timestamp;

/// The largest output of an introspection that is kept, in bytes.
pub const DOCUMENT_MAX: usize = 16 << 20;

/// One piece of work on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Made by the manager, version 7; never run twice.
    pub id: JobId,
    /// Where.
    pub host: HostId,
    /// What.
    pub work: Work,
    /// How long the work itself may take before it is ended as `timed_out`.
    pub deadline: Duration,
}

/// What an agent can be asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    /// Read the facts of the host and answer with one document (spec/introspection.md §4, §6).
    Introspect {
        /// Names of the sections to read; empty means all.
        sections: Vec<String>,
    },
    /// Run a script (spec/hooks.md §10).
    Script(Box<ScriptRun>),
    /// Make one change (spec/hooks.md §7); the answer is a [`StepResult`](crate::step::StepResult) as output.
    Step(#[serde(with = "nested")] Box<Step>),
}

/// A step as a field of its own: beside the tag of [`Work`], fields of steps could have the tag's name.
mod nested {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::step::Step;

    #[derive(Serialize)]
    struct Written<'a> {
        step: &'a Step,
    }

    #[derive(Deserialize)]
    struct Read {
        step: Box<Step>,
    }

    #[allow(clippy::borrowed_box, reason = "serde gives what the field is")]
    pub(super) fn serialize<S: Serializer>(step: &Box<Step>, serializer: S) -> Result<S::Ok, S::Error> {
        Written { step }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<Step>, D::Error> {
        Read::deserialize(deserializer).map(|read| read.step)
    }
}

impl Work {
    /// The name by which `[allow] jobs` of the agent's configuration and every log line speak of it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Introspect { .. } => "introspect",
            Self::Script(_) => "script",
            Self::Step(_) => "step",
        }
    }

    /// Whether doing it again after an unknown outcome is harmless.
    #[must_use]
    pub fn idempotent(&self) -> bool {
        match self {
            Self::Introspect { .. } => true,
            Self::Script(_) => false,
            Self::Step(step) => step.idempotent(),
        }
    }
}

/// Where a job stands. The first three are open, the others final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Recorded by the manager; the agent has not acknowledged it.
    Queued,
    /// In the agent's journal.
    Delivered,
    /// The agent recorded that it starts it.
    Running,
    /// Ended as it should.
    Succeeded,
    /// Ended otherwise.
    Failed,
    /// Ended because somebody asked for that.
    Cancelled,
    /// Ended because its deadline passed.
    TimedOut,
    /// It was started and nobody can know how it ended.
    Lost,
    /// The host does not allow it, or it found before its beginning that it cannot be done: nothing was changed.
    Refused,
}

impl JobState {
    /// All states, in the order of their lives.
    pub const ALL: [Self; 9] = [
        Self::Queued,
        Self::Delivered,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::TimedOut,
        Self::Lost,
        Self::Refused,
    ];

    /// Whether nothing can come after it.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Delivered | Self::Running)
    }

    /// The stable name, as stored.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Delivered => "delivered",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Lost => "lost",
            Self::Refused => "refused",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// What an agent reports of a job. Reports of one job come in the order of [`JobState`]; each may come more than once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobUpdate {
    /// Which job.
    pub job: JobId,
    /// Where it stands.
    pub state: JobState,
    /// How it ended; present exactly when the state is final.
    pub outcome: Option<Outcome>,
}

/// How a job ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The exit code of its program, if one ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended its program.
    pub signal: Option<i32>,
    /// Why it is not `succeeded`, in words for people.
    pub reason: Option<String>,
    /// What the program wrote to its standard output.
    pub stdout: Captured,
    /// What the program wrote to its standard error.
    pub stderr: Captured,
    /// What a script wrote to both, in the order of its arrival; then `stdout` and `stderr` are empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<Merged>,
    /// What it used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// When it was started, by the agent's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended, by the agent's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// What a program used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Time from its start to its end, in microseconds of the monotonic clock.
    pub wall_us: u64,
    /// Processor time of all its processes, in microseconds.
    pub cpu_us: u64,
    /// The most memory that it had, in KiB.
    pub memory_max_kib: u64,
    /// Whether a process of it was killed because it had too much.
    pub out_of_memory: bool,
    /// Whether it left a core dump.
    pub core_dumped: bool,
}

/// One of the two streams of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The output of a script: both streams in the order of their arrival, beginning and end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// The bytes.
    pub bytes: Captured,
    /// Where the stream changes: from this offset of all that was written, bytes are of this stream. Offsets rise; only
    /// those of the kept bytes are there, and at most [`MARKS_MAX`].
    pub marks: Vec<(u64, Stream)>,
    /// How many bytes were read and thrown away because keeping them would have held the script up.
    pub dropped: u64,
}

/// The most changes of stream that are kept of one output.
pub const MARKS_MAX: usize = 8192;

/// Output of a program: its beginning and its end, byte-exact, and how much there was in all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// The first bytes.
    pub head: Vec<u8>,
    /// The last bytes, where not all of it fits into `head`.
    pub tail: Vec<u8>,
    /// The number of bytes that were written.
    pub total: u64,
}

impl Captured {
    /// Whether every byte is here.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.total == (self.head.len() + self.tail.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::{CephDaemon, UnitAction};

    #[test]
    fn steps_are_read_as_they_were_written_whatever_their_fields_are_called() {
        let daemon = CephDaemon { kind: "osd".into(), id: "1".into(), action: UnitAction::Start };
        for work in [Work::Step(Box::new(Step::CephDaemon(daemon))), Work::Step(Box::new(Step::CrushRead))] {
            let text = serde_json::to_string(&work).unwrap();
            assert_eq!(serde_json::from_str::<Work>(&text).unwrap(), work, "{text}");
            assert!(text.starts_with(r#"{"kind":"step","step":{"#), "{text}");
        }
    }
}
