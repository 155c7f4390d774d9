//! Targets: the hosts of a run, each with how it went there (spec/hooks.md §9, §11).

use hostler_common::id::{HostId, JobId};
use hostler_common::job::{JobState, Outcome};
use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The status code of a task that was cancelled.
pub const CANCELLED: i32 = -256;

/// The status code of a host that cannot be reached.
pub const UNREACHABLE: i32 = 255;

/// The status code of a script that took too long.
const TOO_LONG: i32 = 124;

/// The status code of a script that a host does not let run.
const NOT_ALLOWED: i32 = 126;

macro_rules! states {
    ($($(#[doc = $doc:literal])* $name:ident, $field:ident;)*) => {
        /// Where a target stands.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum TargetState { $($(#[doc = $doc])* $name,)* }

        impl TargetState {
            /// All states, in the order of their lives.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable name, as stored and shown.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($field),)* }
            }
        }

        /// How many targets of a run are in each state.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Counts { $($(#[doc = $doc])* pub $field: u32,)* }

        impl Counts {
            /// The count of a state.
            #[must_use]
            pub fn of(&self, state: TargetState) -> u32 {
                match state { $(TargetState::$name => self.$field,)* }
            }

            pub(super) fn of_mut(&mut self, state: TargetState) -> &mut u32 {
                match state { $(TargetState::$name => &mut self.$field,)* }
            }
        }
    };
}

states! {
    /// It was not begun.
    Pending, pending;
    /// Its job is on the way to the agent.
    Delivering, delivering;
    /// The agent started the script.
    Running, running;
    /// The script ended as it should.
    Ok, ok;
    /// The script ended otherwise.
    Failed, failed;
    /// The script was ended because it took too long.
    TimedOut, timed_out;
    /// The agent could not be reached in time.
    Undeliverable, undeliverable;
    /// Ended, or never begun, because somebody asked for that.
    Cancelled, cancelled;
    /// Never begun, because of how it went elsewhere.
    Skipped, skipped;
    /// The host does not allow it.
    Refused, refused;
    /// It was begun and nobody knows how it ended.
    Lost, lost;
}

impl TargetState {
    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.name() == name)
    }

    /// Whether nothing can come after it.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Delivering | Self::Running)
    }

    /// Whether it counts as a failure.
    #[must_use]
    pub fn is_error(self) -> bool {
        matches!(self, Self::Failed | Self::TimedOut | Self::Undeliverable | Self::Refused | Self::Lost)
    }

    /// What the end of a job makes of its target.
    #[must_use]
    pub fn of_job(state: JobState) -> Self {
        match state {
            JobState::Queued | JobState::Delivered => Self::Delivering,
            JobState::Running => Self::Running,
            JobState::Succeeded => Self::Ok,
            JobState::Failed => Self::Failed,
            JobState::Cancelled => Self::Cancelled,
            JobState::TimedOut => Self::TimedOut,
            JobState::Lost => Self::Lost,
            JobState::Refused => Self::Refused,
        }
    }
}

impl Counts {
    /// How many there are in all.
    #[must_use]
    pub fn total(&self) -> u32 {
        TargetState::ALL.iter().map(|state| self.of(*state)).sum()
    }

    /// How many have begun and not ended.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.delivering + self.running
    }

    /// How many have ended, or will never begin.
    #[must_use]
    pub fn ended(&self) -> u32 {
        self.total() - self.pending - self.open()
    }

    /// How many have failed.
    #[must_use]
    pub fn errors(&self) -> u32 {
        TargetState::ALL.iter().filter(|state| state.is_error()).map(|state| self.of(*state)).sum()
    }
}

/// Where a target's host is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The host's small number.
    pub number: i64,
    /// Its name.
    pub name: String,
    /// Whether its agent is connected.
    pub connected: bool,
    /// When its agent last said anything.
    pub seen_at: Option<Timestamp>,
    /// Whether its agent was cut off.
    pub revoked: bool,
}

/// A target that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its position.
    pub position: u32,
    /// Where.
    pub host: HostId,
    /// The job that it will be.
    pub job: JobId,
    /// What is known of the host; `None` if it is gone.
    pub seat: Option<Seat>,
}

/// A target that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Its position.
    pub position: u32,
    /// Its job.
    pub job: JobId,
    /// Where it stands.
    pub state: TargetState,
    /// When it was begun.
    pub begun_at: Timestamp,
    /// Where the job stands; `None` if it is gone, with its host.
    pub job_state: Option<JobState>,
    /// Whether the agent is connected.
    pub connected: bool,
}

/// A target, as results name it.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Its position.
    pub position: u32,
    /// The host.
    pub host: HostId,
    /// The host's small number; `None` if the host is gone.
    pub number: Option<i64>,
    /// The host's name.
    pub name: String,
    /// Where it stands.
    pub state: TargetState,
    /// The exit code of the script, if it ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended the script.
    pub signal: Option<i32>,
    /// When the script was started.
    pub started_at: Option<Timestamp>,
    /// When the target ended.
    pub finished_at: Option<Timestamp>,
    /// How many bytes the script wrote.
    pub output_bytes: u64,
    /// Whether some of them were not kept.
    pub truncated: bool,
    /// Why it is not `ok`, for people.
    pub error: Option<String>,
}

impl Summary {
    /// The status code that this target gives its task (spec/hooks.md §9); `None` if it is no failure.
    #[must_use]
    pub fn status_code(&self) -> Option<i32> {
        match self.state {
            TargetState::Ok | TargetState::Skipped => None,
            TargetState::Failed => Some(match (self.exit_code, self.signal) {
                (Some(code), _) if code != 0 => code,
                (_, Some(signal)) => 128_i32.saturating_add(signal),
                _ => 1,
            }),
            TargetState::TimedOut => Some(TOO_LONG),
            TargetState::Refused => Some(NOT_ALLOWED),
            TargetState::Undeliverable | TargetState::Lost | TargetState::Cancelled => Some(UNREACHABLE),
            TargetState::Pending | TargetState::Delivering | TargetState::Running => None,
        }
    }

    /// How it went, for people: `exited 3`.
    #[must_use]
    pub fn manner(&self) -> String {
        match (self.state, self.exit_code, self.signal) {
            (TargetState::Failed, Some(code), _) => format!("exited {code}"),
            (TargetState::Failed, None, Some(signal)) => format!("was ended by signal {signal}"),
            (TargetState::TimedOut, ..) => "took too long".into(),
            (TargetState::Undeliverable, ..) => "could not be reached".into(),
            (state, ..) => format!("ended as {}", state.name()),
        }
    }

    fn document(&self) -> Value {
        json!({
            "id": self.number,
            "name": self.name,
            "state": self.state.name(),
            "exitCode": self.exit_code,
            "signal": self.signal,
            "startedAt": self.started_at.map(Timestamp::rfc3339),
            "finishedAt": self.finished_at.map(Timestamp::rfc3339),
            "outputBytes": self.output_bytes,
            "truncated": self.truncated,
            "error": self.error,
        })
    }
}

/// The result document of a task (spec/hooks.md §9).
#[must_use]
pub fn result(targets: &[Summary]) -> Value {
    json!({ "servers": targets.iter().map(Summary::document).collect::<Vec<_>>() })
}

/// The first target that failed, in the order of positions.
#[must_use]
pub fn first_failure(targets: &[Summary]) -> Option<&Summary> {
    targets.iter().filter(|target| target.status_code().is_some()).min_by_key(|target| target.position)
}

/// Why a target is not `ok`, from how its job ended.
pub(super) fn error_of(state: TargetState, outcome: Option<&Outcome>) -> Option<String> {
    if state == TargetState::Ok {
        return None;
    }
    let reason = outcome.and_then(|outcome| outcome.reason.clone());
    reason.or_else(|| match outcome {
        Some(Outcome { exit_code: Some(code), .. }) => Some(format!("exited {code}")),
        Some(Outcome { signal: Some(signal), .. }) => Some(format!("ended by signal {signal}")),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn summary(position: u32, state: TargetState, exit_code: Option<i32>, signal: Option<i32>) -> Summary {
        Summary {
            position,
            host: HostId(Uuid::from_u128(1)),
            number: Some(1),
            name: "a".into(),
            state,
            exit_code,
            signal,
            started_at: None,
            finished_at: None,
            output_bytes: 0,
            truncated: false,
            error: None,
        }
    }

    #[test]
    fn status_codes_follow_the_table() {
        for (state, exit_code, signal, code) in [
            (TargetState::Ok, Some(0), None, None),
            (TargetState::Ok, Some(3), None, None),
            (TargetState::Failed, Some(3), None, Some(3)),
            (TargetState::Failed, Some(127), None, Some(127)),
            (TargetState::Failed, None, Some(9), Some(137)),
            (TargetState::Failed, None, None, Some(1)),
            (TargetState::TimedOut, None, Some(15), Some(124)),
            (TargetState::Undeliverable, None, None, Some(255)),
            (TargetState::Refused, None, None, Some(126)),
            (TargetState::Skipped, None, None, None),
        ] {
            assert_eq!(summary(0, state, exit_code, signal).status_code(), code, "{state:?}");
        }
        let targets = [
            summary(0, TargetState::Ok, Some(0), None),
            summary(2, TargetState::Failed, Some(9), None),
            summary(1, TargetState::Failed, Some(4), None),
        ];
        assert_eq!(first_failure(&targets).and_then(Summary::status_code), Some(4), "in the order of servers");
        assert_eq!(result(&targets)["servers"][1]["exitCode"], 9);
    }

    #[test]
    fn states_have_their_names() {
        for state in TargetState::ALL {
            assert_eq!(TargetState::from_name(state.name()), Some(*state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
    }
}
