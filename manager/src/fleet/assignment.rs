//! What agents are to do by themselves: the hooks of their hosts, and what they watch (design §5, spec/hooks.md §7, §8).
//!
//! An assignment is made from the rows each time that somebody says that it may have changed, and sent if it did.

use hostler_common::error::Class;
use hostler_common::hook::{AssignedHook, Assignment, LeaseFile, Place};
use hostler_common::id::HostId;
use hostler_core::hook::Hook;
use hostler_proto::v1;
use sha2::{Digest as _, Sha256};

use super::Fleet;
use crate::store::cluster::watched_by;
use crate::store::hook::hook_list;
use crate::store::{self, Error, host};

/// The role of hosts that stand for the manager: they watch leases, and run the hooks of the management node.
pub const MANAGEMENT: &str = "management";

/// What agents watch.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Where the persistent file system of a host is mounted.
    pub persistent_path: String,
    /// Lease files, watched on management nodes.
    pub lease_files: Vec<LeaseFile>,
    /// Whether renewals of leases count.
    pub lease_renewals: bool,
}

impl Default for Watch {
    fn default() -> Self {
        Self { persistent_path: "/persistent".into(), lease_files: Vec::new(), lease_renewals: false }
    }
}

impl Fleet {
    /// What the agent of a host is to do by itself, as it is sent.
    ///
    /// # Errors
    /// Class `NotFound` if there is no such host; see [`Error`].
    pub async fn assignment(&self, id: HostId) -> store::Result<v1::Assignment> {
        let mut connection = self.engine.store.read().await?;
        let Some(host) = host::host_find(&mut connection, id).await? else {
            return Err(Error::Refused(Class::NotFound, format!("there is no host {id}")));
        };
        let hooks = hook_list(&mut connection).await?;
        let clusters = watched_by(&mut connection, id).await?;
        drop(connection);
        let watch = &self.settings.watch;
        let manages = host.roles.iter().any(|role| role == MANAGEMENT);
        let assignment = Assignment {
            number: host.number,
            name: host.name,
            hooks: hooks.iter().filter_map(|stored| assigned(&stored.hook, id)).collect(),
            clusters,
            persistent_path: watch.persistent_path.clone(),
            lease_files: if manages { watch.lease_files.clone() } else { Vec::new() },
            lease_renewals: watch.lease_renewals,
        };
        let document = hostler_proto::write_document(&assignment);
        let revision = hex::encode(Sha256::digest(&document));
        let signature = (self.keys.sign)(&document);
        Ok(v1::Assignment { revision, document, signature })
    }
}

/// The hook as the agent of that host runs it; `None` if it does not.
fn assigned(hook: &Hook, host: HostId) -> Option<AssignedHook> {
    (hook.enabled && hook.point.place() == Place::Host && hook.covers(host)).then(|| hook.assigned())
}
