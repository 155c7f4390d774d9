//! Settings of maintenance (spec/maintenance.md).

use hostler_core::maintenance::policy::Policy;
use hostler_core::policy::Role;
use reqwest::Url;
use serde::Deserialize;

use super::check::{Check, refuse};

/// Maintenance.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Maintenance {
    /// How many sessions may be under way at once; 0 means any number.
    pub max_active_sessions: u32,
    /// Whether what belongs to other projects seems not to be there, rather than to be forbidden.
    pub hide_foreign: bool,
    /// Roles of which one is needed, besides the right itself, to override gates, constraints and refusals and to have files
    /// downloaded.
    pub force_roles: Vec<String>,
    /// Where projects reach the interface, such as `https://fleet.example:12347`; links in what they are told begin with it.
    /// Absent means: links begin as the request did, and what is told without a request begins with the REST listener.
    pub public_url: Option<String>,
    /// Whether links in what projects are told carry the right to answer that one question.
    pub capability_links: bool,
    /// What sessions decide by where they do not say.
    pub policy: Policy,
    /// Files of sessions.
    pub downloads: Downloads,
}

impl Default for Maintenance {
    fn default() -> Self {
        Self {
            max_active_sessions: 20,
            hide_foreign: true,
            force_roles: vec![Role::Admin.name().into()],
            public_url: None,
            capability_links: false,
            policy: Policy::default(),
            downloads: Downloads::default(),
        }
    }
}

/// Files of sessions (§5.5).
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Downloads {
    /// Whether files may be fetched without TLS.
    pub allow_http: bool,
    /// Hosts from which files may be fetched; none means from all.
    pub hosts: Vec<String>,
    /// Whether every file needs a checksum.
    pub require_checksum: bool,
    /// How large a file may be, in bytes.
    pub max_bytes: u64,
}

impl Default for Downloads {
    fn default() -> Self {
        Self { allow_http: false, hosts: Vec::new(), require_checksum: true, max_bytes: 8 << 30 }
    }
}

/// Checks what the types do not.
pub(super) fn check(maintenance: &Maintenance) -> Check {
    if let Some(role) = maintenance.force_roles.iter().find(|role| Role::from_name(role).is_none()) {
        let known = Role::ALL.map(Role::name).join(", ");
        return refuse("maintenance.force_roles", format!("{role:?} is not a role; roles are {known}"));
    }
    let fits = |url: &String| {
        Url::parse(url).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.query().is_none()
                && url.fragment().is_none()
        })
    };
    if maintenance.public_url.as_ref().is_some_and(|url| !fits(url)) {
        let rule = "must be a URL such as \"https://fleet.example:12347\", without a query";
        return refuse("maintenance.public_url", rule);
    }
    if maintenance.downloads.max_bytes == 0 {
        return refuse("maintenance.downloads.max_bytes", "must be at least 1");
    }
    Ok(())
}
