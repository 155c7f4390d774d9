//! Instances as maintenance sees them, and how they move (spec/maintenance.md §3.2, §3.8).

use std::collections::BTreeMap;

use hostler_common::id::HostId;
use serde::{Deserialize, Serialize};

/// How an instance leaves a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MoveAction {
    /// Stopped, moved, started.
    Migrate,
    /// Moved while it runs.
    LiveMigrate,
    /// Its owner takes care.
    OwnAction,
    /// Stopped, and started when the host is back; by policy only.
    Stop,
}

impl MoveAction {
    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Migrate => "MIGRATE",
            Self::LiveMigrate => "LIVE_MIGRATE",
            Self::OwnAction => "OWN_ACTION",
            Self::Stop => "STOP",
        }
    }

    /// The action that a tenant names; `MIGRATION` and `LIVE_MIGRATION` are old words (§1.10).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "MIGRATE" | "MIGRATION" => Some(Self::Migrate),
            "LIVE_MIGRATE" | "LIVE_MIGRATION" => Some(Self::LiveMigrate),
            "OWN_ACTION" => Some(Self::OwnAction),
            _ => None,
        }
    }
}

/// Where an instance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "they are the compute dialect's words (vm_state)")]
pub enum InstanceState {
    Active,
    Building,
    Error,
    Paused,
    Rescued,
    Resized,
    ShelvedOffloaded,
    Stopped,
    Suspended,
}

/// What an instance takes of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Local disk in GiB.
    pub disk_gib: u64,
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its id, as its owner knows it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its owner's project.
    pub project: String,
    /// Where it runs.
    pub host: HostId,
    /// Where it stands.
    pub state: InstanceState,
    /// What it takes.
    pub size: Size,
    /// Whether it could be moved while it runs.
    pub can_live_migrate: bool,
    /// Features that a host must have for it (`numa`, `hugepages`, a PCI device class, …).
    pub needs: Vec<String>,
    /// Its server group in the compute dialect.
    pub group: Option<String>,
    /// Whether it is in use right now by an operation of somebody else.
    pub busy: bool,
}

/// What a host has for instances.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// All of it.
    pub total: Size,
    /// Features that instances may need.
    pub offers: Vec<String>,
}

/// What the compute side says: all instances and all hosts that could take one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Computes {
    /// Instances.
    pub instances: Vec<Instance>,
    /// Hosts that could take one, in service or not.
    pub capacity: BTreeMap<HostId, Capacity>,
}

/// How one instance of a session stands: one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInstance {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its owner's project.
    pub project: String,
    /// Where it was when its session last looked.
    pub host: HostId,
    /// Where it stands.
    pub state: InstanceState,
    /// What its owner was asked last, or `INSTANCE_ACTION_DONE`.
    pub project_state: Option<String>,
    /// How it leaves, or left.
    pub action: Option<MoveAction>,
    /// Whether that is done.
    pub action_done: bool,
    /// What people should know.
    pub details: Option<String>,
    /// Since when its service is impaired by us.
    pub impacted_from: Option<hostler_common::time::Timestamp>,
    /// When it counts as healthy again.
    pub recovered_at: Option<hostler_common::time::Timestamp>,
}
