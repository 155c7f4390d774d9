//! Settings of maintenance (spec/maintenance.md).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hostler_core::maintenance::policy::Policy;
use hostler_core::policy::Role;
use serde::Deserialize;

use super::check::{Check, refuse};

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
    /// Roles of which one is needed, besides the right itself, to override gates, constraints and refusals and to have files
    /// downloaded.
    pub force_roles: Vec<String>,
    /// Whether links in what projects are told carry the right to answer that one question.
    pub capability_links: bool,
    /// Whether every download needs a checksum.
    pub require_checksum: bool,
    /// Hosts that downloads may come from; empty means any.
    pub download_hosts: Vec<String>,
    /// Whether downloads may come without TLS.
    pub download_http: bool,
    /// How large a download may be, in bytes.
    pub download_max_bytes: u64,
    /// Ed25519 keys (32 bytes, base64) with one of which a download must be signed that says it is.
    pub download_keys: Vec<String>,
    /// The name of the host on which plug-ins of types `pre` and `post` run; absent means the one with the name of this
    /// machine, else the first with the role `management`.
    pub management_host: Option<String>,
    /// How many subscriptions to notifications there may be.
    pub subscriptions_max: u32,
    /// How many of them one project may have.
    pub subscriptions_per_project: u32,
    /// Networks (CIDR) that subscriptions may lead to although they are private.
    pub subscription_networks: Vec<String>,
    /// What sessions decide by where they do not say.
    pub policy: Policy,
}

impl Default for Maintenance {
    fn default() -> Self {
        Self {
            max_active_sessions: 20,
            history_retention_days: 400,
            stall_alert_s: 1800,
            public_url: None,
            hide_foreign: true,
            force_roles: vec![Role::Admin.name().into()],
            capability_links: false,
            require_checksum: true,
            download_hosts: Vec::new(),
            download_http: false,
            download_max_bytes: 8 << 30,
            download_keys: Vec::new(),
            management_host: None,
            subscriptions_max: 500,
            subscriptions_per_project: 10,
            subscription_networks: Vec::new(),
            policy: Policy::default(),
        }
    }
}

/// Checks what the types do not.
pub(super) fn check(maintenance: &Maintenance) -> Check {
    if let Some(role) = maintenance.force_roles.iter().find(|role| Role::from_name(role).is_none()) {
        let known = Role::ALL.map(Role::name).join(", ");
        return refuse("maintenance.force_roles", format!("{role:?} is not a role; roles are {known}"));
    }
    if maintenance.download_max_bytes == 0 {
        return refuse("maintenance.download_max_bytes", "must be at least 1");
    }
    let fits = |key: &&String| STANDARD.decode(key).is_ok_and(|key| key.len() == 32);
    if let Some(key) = maintenance.download_keys.iter().find(|key| !fits(key)) {
        return refuse("maintenance.download_keys", format!("{key:?} is not an Ed25519 key: 32 bytes in base64"));
    }
    Ok(())
}
