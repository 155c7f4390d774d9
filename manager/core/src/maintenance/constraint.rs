//! What owners of instances ask for, independent of any session (spec/maintenance.md §1.10, §1.11).

mod read;

use serde::{Deserialize, Serialize};

use super::instance::MoveAction;

pub use read::{ID_MAX, Wrong, id_fault, lenient_number, lenient_truth};

/// What an instance needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceConstraint {
    /// Which instance.
    pub instance_id: String,
    /// Its owner's project.
    pub project_id: String,
    /// Its group.
    #[serde(default)]
    pub group_id: Option<String>,
    /// Its name.
    #[serde(default)]
    pub instance_name: Option<String>,
    /// Longest acceptable interruption by a live migration, in seconds.
    pub max_interruption_time: u32,
    /// The preferred way to leave a host.
    pub migration_type: MoveAction,
    /// Whether its owner can make up for lost capacity.
    pub resource_mitigation: bool,
    /// Notice that it needs between the question and the action, in seconds.
    pub lead_time: u32,
}

/// What a group of instances needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupConstraint {
    /// Which group.
    pub group_id: String,
    /// Its owner's project.
    pub project_id: String,
    /// Its name.
    #[serde(default)]
    pub group_name: Option<String>,
    /// Whether its members must run on different hosts.
    pub anti_affinity_group: bool,
    /// How many members one host may have; 0 means any number.
    pub max_instances_per_host: u32,
    /// How many members may be impacted at once; 0 means that none may be touched.
    pub max_impacted_members: u32,
    /// How long after its move a member counts as impacted, in seconds.
    pub recovery_time: u32,
    /// Whether its owner can make up for lost capacity.
    pub resource_mitigation: bool,
}

/// The constraints of an instance without a record, where policy falls back to defaults (§3.5 H).
pub const DEFAULT_LEAD_TIME: u32 = 120;

/// See [`DEFAULT_LEAD_TIME`].
pub const DEFAULT_INTERRUPTION: u32 = 120;
