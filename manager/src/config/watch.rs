//! Settings of what agents watch, and of how that is judged.

use std::collections::BTreeSet;

use hostler_common::hook::{LeaseFile, LeaseFormat};
use serde::Deserialize;

/// What agents watch (spec/hooks.md §7).
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Watch {
    /// Where the persistent file system of a host is mounted.
    pub persistent_path: String,
    /// Files in which DHCP servers keep their leases, on hosts with the role `management`.
    pub leases: Vec<Leases>,
    /// Whether renewals of leases count.
    pub lease_renewals: bool,
    /// Codes of health checks of Ceph clusters that count for nothing.
    pub ignored_health_checks: BTreeSet<String>,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            persistent_path: "/persistent".into(),
            leases: Vec::new(),
            lease_renewals: false,
            ignored_health_checks: BTreeSet::new(),
        }
    }
}

/// A file in which a DHCP server keeps its leases.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leases {
    /// Where.
    pub path: String,
    /// `dnsmasq`, `kea` or `isc`.
    pub format: LeaseFormat,
}

impl From<&Leases> for LeaseFile {
    fn from(leases: &Leases) -> Self {
        Self { path: leases.path.clone(), format: leases.format }
    }
}
