//! Hosts of a session (spec/maintenance.md §3.1, §3.7).

use std::collections::BTreeSet;

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::state::Reason;

/// What a host is for. A host may be several of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Runs a control plane.
    Controller,
    /// Runs instances.
    Compute,
    /// Runs Ceph daemons.
    Storage,
    /// Anything else.
    Other,
}

impl Role {
    /// The role that an operator's word for it means.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "controller" | "management" => Self::Controller,
            "compute" => Self::Compute,
            "storage" => Self::Storage,
            _ => Self::Other,
        }
    }
}

/// The one word for what a host is, as the dialect shows it: the first of controller, compute and other that applies.
#[must_use]
pub fn shown_type(roles: &BTreeSet<Role>) -> &'static str {
    if roles.contains(&Role::Controller) {
        "controller"
    } else if roles.contains(&Role::Compute) {
        "compute"
    } else {
        "other"
    }
}

/// Where a host stands in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostPhase {
    /// Its turn has not come.
    Pending,
    /// It is checked whether it may be touched.
    Checking,
    /// A gate is closed.
    WaitingHealth,
    /// Another session works on the same storage.
    WaitingStorage,
    /// Somebody has to approve.
    WaitingApproval,
    /// Nothing new is scheduled on it; its instances are being moved away.
    Emptying,
    /// Its storage daemons are prepared and stopped.
    StorageEntry,
    /// Plug-ins run.
    Working,
    /// It boots.
    Rebooting,
    /// It is checked whether it is as it should be.
    Verifying,
    /// Its storage daemons come back.
    StorageExit,
    /// It rests before it counts as done.
    Soaking,
    /// What was changed of it is given back.
    Unwinding,
    /// It is done.
    Done,
    /// It was left out, or given back before its end.
    Skipped,
    /// It failed; it is as the failure left it.
    Failed,
    /// It is out of service because somebody wants it so.
    Held,
}

impl HostPhase {
    /// All phases.
    pub const ALL: [Self; 17] = [
        Self::Pending,
        Self::Checking,
        Self::WaitingHealth,
        Self::WaitingStorage,
        Self::WaitingApproval,
        Self::Emptying,
        Self::StorageEntry,
        Self::Working,
        Self::Rebooting,
        Self::Verifying,
        Self::StorageExit,
        Self::Soaking,
        Self::Unwinding,
        Self::Done,
        Self::Skipped,
        Self::Failed,
        Self::Held,
    ];

    /// The stable name, as stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Checking => "checking",
            Self::WaitingHealth => "waiting_health",
            Self::WaitingStorage => "waiting_storage",
            Self::WaitingApproval => "waiting_approval",
            Self::Emptying => "emptying",
            Self::StorageEntry => "storage_entry",
            Self::Working => "working",
            Self::Rebooting => "rebooting",
            Self::Verifying => "verifying",
            Self::StorageExit => "storage_exit",
            Self::Soaking => "soaking",
            Self::Unwinding => "unwinding",
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Held => "held",
        }
    }

    /// The phase of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.name() == name)
    }

    /// Whether its stay is at work, or waits for something.
    #[must_use]
    pub fn is_active(self) -> bool {
        !matches!(self, Self::Pending | Self::Done | Self::Skipped | Self::Failed | Self::Held)
    }
}

/// A host of a session: one row. The session writes `order_no`, `lane`, `domain` and, before a stay begins and after it ended,
/// `phase`, `maintained` and `reason`; in between the stay writes `phase`, `plugin` and `plugin_state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionHost {
    /// Which.
    pub host: HostId,
    /// Its name when the session was made.
    pub name: String,
    /// What it is for.
    pub roles: BTreeSet<Role>,
    /// Its place in the plan; those without come last, by name.
    pub order_no: Option<u32>,
    /// Its failure domain: the zone, or what CRUSH says.
    pub domain: Option<String>,
    /// Where it stands.
    pub phase: HostPhase,
    /// Whether it was worked on to the end.
    pub maintained: bool,
    /// Whether this session keeps new instances away from it.
    pub disabled: bool,
    /// Whether somebody else did before, and why: restored at the end.
    pub disabled_before: Option<String>,
    /// Why it is skipped, failed, held, or waits.
    pub reason: Option<Reason>,
    /// The plug-in that runs, or ran last.
    pub plugin: Option<String>,
    /// Where that stands.
    pub plugin_state: Option<String>,
    /// When its stay began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How often a stay of it was begun.
    pub attempts: u32,
}

/// What is known of a host of the fleet, for the choice of hosts and for placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetHost {
    /// Which.
    pub host: HostId,
    /// Its small number.
    pub number: i64,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub roles: BTreeSet<Role>,
    /// Its failure domain, as operators name it.
    pub zone: Option<String>,
    /// Labels of the operators.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Whether its agent is there.
    pub connected: bool,
    /// Why nothing new is scheduled on it; `None` means that it is in service.
    pub disabled: Option<String>,
    /// The session that works on it.
    pub locked_by: Option<uuid::Uuid>,
    /// The Ceph cluster that it reaches and has daemons of.
    pub cluster: Option<String>,
    /// Whether the manager runs on it.
    pub manager: bool,
}
