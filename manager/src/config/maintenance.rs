//! Settings of maintenance (spec/maintenance.md).

use serde::Deserialize;

/// Maintenance sessions and their dialect.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Maintenance {
    /// How many sessions may be neither over nor deleted; 0 means any number.
    pub max_active_sessions: u32,
    /// How long deleted sessions are kept, in days.
    pub history_retention_days: u32,
    /// After how long without any progress a session tells of it, in seconds.
    pub stall_alert_s: u32,
    /// What links to this manager begin with; absent means the address that a client used.
    pub public_url: Option<String>,
    /// Whether what belongs to another project is answered like what does not exist.
    pub hide_foreign: bool,
    /// Whether every download needs a checksum.
    pub require_checksum: bool,
    /// Hosts that downloads may come from; empty means any.
    pub download_hosts: Vec<String>,
    /// The name of the host on which plug-ins of types `pre` and `post` run; absent means the one with the name of this
    /// machine, else the first with the role `management`.
    pub management_host: Option<String>,
}

impl Default for Maintenance {
    fn default() -> Self {
        Self {
            max_active_sessions: 20,
            history_retention_days: 400,
            stall_alert_s: 1800,
            public_url: None,
            hide_foreign: true,
            require_checksum: true,
            download_hosts: Vec::new(),
            management_host: None,
        }
    }
}
