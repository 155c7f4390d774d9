//! Where a session stands (spec/maintenance.md §2.1).

use hostler_common::id::HostId;
use serde::{Deserialize, Serialize};

/// The states of a session. Nothing else is ever told in the field `state`; what is finer is in [`Phase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Announced: the projects are asked, then the start is awaited.
    Maintenance,
    /// There is no room: the projects are asked to shrink.
    ScaleIn,
    /// There is room, but scattered: one host is emptied to make the spare one.
    PrepareMaintenance,
    /// Hosts that are empty are worked on.
    StartMaintenance,
    /// A host is being emptied.
    PlannedMaintenance,
    /// All hosts are done: `post` plug-ins, and the projects may grow again.
    MaintenanceComplete,
    /// The end.
    MaintenanceDone,
    /// The end, until somebody lets it go on.
    MaintenanceFailed,
}

impl State {
    /// All states, in the order of their lives.
    pub const ALL: [Self; 8] = [
        Self::Maintenance,
        Self::ScaleIn,
        Self::PrepareMaintenance,
        Self::StartMaintenance,
        Self::PlannedMaintenance,
        Self::MaintenanceComplete,
        Self::MaintenanceDone,
        Self::MaintenanceFailed,
    ];

    /// The stable name, as stored and told.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Maintenance => "MAINTENANCE",
            Self::ScaleIn => "SCALE_IN",
            Self::PrepareMaintenance => "PREPARE_MAINTENANCE",
            Self::StartMaintenance => "START_MAINTENANCE",
            Self::PlannedMaintenance => "PLANNED_MAINTENANCE",
            Self::MaintenanceComplete => "MAINTENANCE_COMPLETE",
            Self::MaintenanceDone => "MAINTENANCE_DONE",
            Self::MaintenanceFailed => "MAINTENANCE_FAILED",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether a session rests there until somebody does something.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::MaintenanceDone | Self::MaintenanceFailed)
    }
}

/// What a session, or a host in it, is doing right now, for people. A phase that waits says so in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Projects have to answer.
    WaitingReplies,
    /// The start has not come.
    WaitingStart,
    /// It is outside the window.
    WaitingWindow,
    /// A gate is closed: the cluster is not healthy, or something else that is asked for does not hold.
    WaitingHealth,
    /// Somebody has to approve.
    WaitingApproval,
    /// Downloads are on the way.
    Fetching,
    /// Instances move, or hosts are worked on.
    Working,
    /// Steps in flight end; nothing new begins.
    Pausing,
    /// Nothing happens until somebody lets it go on.
    Paused,
    /// Everything that was changed is given back.
    Unwinding,
    /// It is over.
    Over,
}

/// Why a session stopped, a host failed or something waits. `code` is stable, `text` is for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The stable code: `step.timeout`, `capacity.insufficient`, `reply.nack`.
    pub code: String,
    /// The host concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// The name of that host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
    /// The plug-in concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// A sentence or two; where a program failed, the end of its output.
    pub text: String,
}

impl Reason {
    /// A reason about no host.
    #[must_use]
    pub fn new(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self { code: code.into(), host: None, host_name: None, plugin: None, text: text.into() }
    }

    /// The same, about that host.
    #[must_use]
    pub fn on(mut self, host: HostId, name: impl Into<String>) -> Self {
        (self.host, self.host_name) = (Some(host), Some(name.into()));
        self
    }
}
