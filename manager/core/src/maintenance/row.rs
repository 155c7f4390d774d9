//! Rows that decisions of sessions and stays write (spec/maintenance.md §5.7, §6.2).

use hostler_common::id::{HostId, JobId};
use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::host::{HostPhase, SessionHost};
use super::instance::SessionInstance;
use super::state::Reason;

/// What kind of thing a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "they are the words of spec/maintenance.md §5.7")]
pub enum StepKind {
    Plugin,
    Move,
    Disable,
    Enable,
    Flag,
    Gate,
    Notify,
    Reply,
    Wait,
    Reboot,
    Check,
    Storage,
    Download,
}

impl StepKind {
    /// The stable name, as stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plugin => "plugin",
            Self::Move => "move",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Flag => "flag",
            Self::Gate => "gate",
            Self::Notify => "notify",
            Self::Reply => "reply",
            Self::Wait => "wait",
            Self::Reboot => "reboot",
            Self::Check => "check",
            Self::Storage => "storage",
            Self::Download => "download",
        }
    }
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "they are the words of spec/maintenance.md §5.7")]
pub enum StepState {
    Pending,
    Running,
    Done,
    Failed,
    Skipped,
    Cancelled,
    Unknown,
}

impl StepState {
    /// The stable name, as stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Done => "DONE",
            Self::Failed => "FAILED",
            Self::Skipped => "SKIPPED",
            Self::Cancelled => "CANCELLED",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// A step that begins. Its number is the store's; `key` names it until its end, unique within the session.
#[derive(Clone, Debug, PartialEq)]
pub struct StepBegun {
    /// Names it: the same key again is the same row.
    pub key: Uuid,
    /// On which host.
    pub host: Option<HostId>,
    /// About which instance.
    pub instance: Option<String>,
    /// What kind of thing it is.
    pub kind: StepKind,
    /// What it is called: the name of the plug-in, the flag, the gate.
    pub name: String,
    /// Which attempt this is, counted from 1.
    pub attempt: u32,
    /// The job that does it.
    pub job: Option<JobId>,
    /// What it was given.
    pub input: Value,
}

/// A step that ended. One that was never said to begin begins and ends at once.
#[derive(Clone, Debug, PartialEq)]
pub struct StepEnded {
    /// Which.
    pub key: Uuid,
    /// How.
    pub state: StepState,
    /// What it left: results, the end of its output (at most 64 KiB).
    pub result: Value,
    /// Why it did not end as it should.
    pub error: Option<Reason>,
}

/// A row that a decision of a session or a stay writes.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "there are few at a time")]
pub enum Write {
    /// The session's own row: what lists show.
    Session {
        /// Its state.
        state: super::state::State,
        /// The state in which it failed.
        prev_state: Option<super::state::State>,
        /// Whether it is paused.
        paused: bool,
        /// Percent of hosts that are done.
        percent: u8,
        /// When it begins.
        maintenance_at: Timestamp,
        /// Whether it was deleted.
        deleted: bool,
    },
    /// A host, whole; made if it is not there.
    Host(Box<SessionHost>),
    /// A host is taken out of the session.
    HostGone(HostId),
    /// What a stay says of its host.
    Stay {
        /// Which.
        host: HostId,
        /// Where it stands.
        phase: HostPhase,
        /// Why it waits.
        reason: Option<Reason>,
        /// The plug-in that runs, or ran last, and where it stands.
        plugin: Option<(String, String)>,
    },
    /// A host is this session's alone: refused if it is another's.
    Lock(HostId),
    /// It is no longer.
    Unlock(HostId),
    /// The storage of that cluster is this stay's alone.
    LockStorage {
        /// The cluster.
        fsid: String,
        /// The host whose stay it is.
        host: HostId,
    },
    /// It is no longer; whoever waits is told.
    UnlockStorage {
        /// The cluster.
        fsid: String,
    },
    /// Whether instances may be scheduled on a host; with the reason why not.
    Service {
        /// Which.
        host: HostId,
        /// Why not; `None` puts it into service.
        disabled: Option<String>,
    },
    /// An instance, whole; made if it is not there.
    Instance(Box<SessionInstance>),
    /// An instance that is no more.
    InstanceGone(String),
    /// What a project was asked last and what it answered, for `detail`.
    Project {
        /// Which.
        project: String,
        /// `null`, `<S>`, `ACK_<S>`, `NACK_<S>`.
        state: Option<String>,
        /// Until when an answer counts.
        reply_at: Option<Timestamp>,
        /// Whether anybody listens for it.
        subscribed: bool,
    },
    /// A step begins.
    Begun(Box<StepBegun>),
    /// A step ended.
    Ended(Box<StepEnded>),
}
