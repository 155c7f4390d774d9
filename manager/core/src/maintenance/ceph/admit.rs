//! Whether a host's storage may be worked on at all, by what it is rather than by how the cluster does (spec/maintenance.md §8.1,
//! §8.5).

use hostler_common::step::maintenance::CephHost;

use super::super::policy::Storage;

/// Why a host is not worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Never, as things are: the stable code and a sentence.
    No(&'static str, String),
    /// Not now.
    Later(&'static str, String),
}

/// Whether it may be.
///
/// # Errors
/// Why not.
pub fn admit(host: &CephHost, policy: &Storage) -> Result<(), Refused> {
    if host.fsid.is_empty() {
        return Err(Refused::No("ceph.unreadable", "the host does not say which cluster it belongs to".into()));
    }
    if let Some(mismatch) = &host.mismatch
        && !policy.confirm_hostname_mismatch
    {
        return Err(Refused::No("crush.hostname_mismatch", mismatch.clone()));
    }
    if !host.daemons.osds.is_empty() && host.bucket.is_none() {
        return Err(Refused::No("crush.no_bucket", "the host has OSDs, but no bucket in CRUSH".into()));
    }
    if !host.tight_pools.is_empty() && !policy.keep_daemons && !host.daemons.osds.is_empty() {
        let text = format!(
            "pools {} need all their copies to be written to: they would stop while this host is away",
            host.tight_pools.join(", ")
        );
        return Err(Refused::No("ceph.tight_pools", text));
    }
    if host.upgrading {
        return Err(Refused::Later("ceph.upgrading", "the cluster is being upgraded by its orchestrator".into()));
    }
    Ok(())
}
