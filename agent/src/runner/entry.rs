//! Jobs of the agent as its runner knows them, and where they queue.

use hostler_common::id::JobId;
use hostler_common::job::{JobSpec, JobState, Work};
use serde::{Deserialize, Serialize};

/// How many jobs that are no scripts may wait for their turn.
const WAITING_MAX: usize = 256;

/// How many scripts for which something waits run at once (spec/hooks.md §10).
const BLOCKING_AT_ONCE: usize = 1;

/// How many other scripts run at once (spec/hooks.md §10).
const SCRIPTS_AT_ONCE: usize = 4;

/// How many scripts of either sort may wait for their turn (spec/hooks.md §10).
const SCRIPTS_WAITING_MAX: usize = 32;

/// Where a job stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// It waits for its turn.
    Accepted,
    /// It was started, or would have been if the agent had not died at that instant.
    Started,
    /// It ended.
    Ended {
        /// How; a final state.
        state: JobState,
        /// Why, where the program itself does not say.
        reason: Option<String>,
    },
    /// The manager has its outcome; only the id is remembered.
    Acknowledged,
}

impl Phase {
    pub(super) fn ended(state: JobState, reason: impl Into<String>) -> Self {
        Self::Ended { state, reason: Some(reason.into()) }
    }

    /// The state that the manager is told; `None` where it needs to hear nothing more.
    #[must_use]
    pub fn state(&self) -> Option<JobState> {
        match self {
            Self::Accepted => Some(JobState::Delivered),
            Self::Started => Some(JobState::Running),
            Self::Ended { state, .. } => Some(*state),
            Self::Acknowledged => None,
        }
    }
}

/// A job in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is.
    pub spec: JobSpec,
    /// Where it stands.
    #[serde(flatten)]
    pub phase: Phase,
    /// The job that has to end first, of those that the agent gave itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<After>,
    /// Whether everything that it needs is on this host. Found out anew by each agent.
    #[serde(skip)]
    pub ready: bool,
}

/// What a job waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    /// The job that has to end first.
    pub job: JobId,
    /// Whether it has to succeed; if it does not, this one is not run.
    pub needs_success: bool,
}

/// Whether a job can be run on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fitness {
    /// Everything that it needs is here.
    Ready,
    /// Something has to be fetched first.
    Wanting,
    /// It must not be run, for this reason.
    Refused(String),
}

/// Jobs that do not hold up those of other lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Everything but scripts.
    Work,
    /// Scripts for which something waits.
    Blocking,
    /// All other scripts.
    Scripts,
}

impl Lane {
    pub(super) const ALL: [Self; 3] = [Self::Blocking, Self::Scripts, Self::Work];

    pub(super) fn of(work: &Work) -> Self {
        match work {
            Work::Introspect { .. } | Work::Step(_) => Self::Work,
            Work::Script(run) if run.blocking => Self::Blocking,
            Work::Script(_) => Self::Scripts,
        }
    }

    pub(super) fn at_once(self, limits: &Limits) -> usize {
        match self {
            Self::Work => limits.at_once,
            Self::Blocking => BLOCKING_AT_ONCE,
            Self::Scripts => SCRIPTS_AT_ONCE,
        }
    }

    pub(super) fn waiting_max(self) -> usize {
        match self {
            Self::Work => WAITING_MAX,
            Self::Blocking | Self::Scripts => SCRIPTS_WAITING_MAX,
        }
    }
}

/// Whether steps that change the host are taken (spec/hooks.md §7.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Steps {
    /// They wait.
    #[default]
    Held,
    /// They are.
    Taken,
    /// They are refused: a script before the agent's start failed.
    Refused,
}

/// What was found of a job that had been started before the agent itself was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its program runs.
    Alive,
    /// Its program ended so.
    Ended(JobState),
    /// Nobody can know.
    Unknown,
}

/// What the host allows (design §5).
#[derive(Clone, Debug)]
pub struct Limits {
    /// Kinds of jobs.
    pub kinds: Vec<String>,
    /// How many jobs run at once.
    pub at_once: usize,
}
