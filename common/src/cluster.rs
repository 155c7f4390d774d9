//! What an agent that watches a Ceph cluster tells of it (spec/hooks.md §7.5, §7.6, §7.10, §7.11).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::step::{FullRatios, RecoverySpeed};

/// The state of a cluster, as one agent sees it. The latest counts; an agent sends one whenever something of it changed, and
/// at least every minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterState {
    /// The cluster's id.
    pub fsid: String,
    /// Its health; `None` means that no monitor answers.
    pub health: Option<Health>,
    /// The epoch of its OSD map; `None` means that it is not known.
    pub osd_epoch: Option<u64>,
    /// The version of its CRUSH map; `None` means that it is not known.
    pub crush_version: Option<u64>,
    /// SHA-256 of the CRUSH map as JSON without `choose_args`, hexadecimal: changes of those alone do not count.
    pub crush_hash: Option<String>,
    /// What operators have set; `None` means that it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// The latest changes of the options that the cluster keeps for its daemons, the newest first; `None` means that they are
    /// not known.
    #[serde(default)]
    pub config_log: Option<Vec<ConfigChange>>,
}

/// Settings of a cluster that operators change (spec/hooks.md §4.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How much of the OSDs' work may be recovery; `None` means that it was set by hand, to none of the known ones.
    pub recovery_speed: Option<RecoverySpeed>,
    /// Fill ratios of OSDs.
    pub full_ratios: FullRatios,
    /// Which release clients must have at least; empty if that was never said.
    pub min_compat_client: String,
    /// The file systems, by name.
    pub filesystems: BTreeMap<String, FilesystemSettings>,
}

/// Settings of a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesystemSettings {
    /// How many metadata servers are active.
    pub max_mds: u32,
    /// Whether standby ones follow the active ones.
    pub allow_standby_replay: bool,
}

/// A change of options that a cluster keeps for its daemons (spec/hooks.md §7.7).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// Rises with each change.
    pub version: u64,
    /// Which options, as the cluster writes them: whose, and its name, such as `osd.3/debug_osd`.
    pub options: Vec<String>,
}

/// The health of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `HEALTH_OK`, `HEALTH_WARN` or `HEALTH_ERR`.
    pub status: String,
    /// The checks, by code.
    pub checks: BTreeMap<String, Check>,
}

/// A health check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// `HEALTH_WARN` or `HEALTH_ERR`.
    pub severity: String,
    /// How many things it is about. Not always a count (spec/hooks.md §7.5).
    pub count: i64,
    /// One line for people.
    pub message: String,
    /// Whether an operator silenced it.
    pub muted: bool,
}
