//! What agents that watch a Ceph cluster say of it: the latest counts (spec/hooks.md §7.5, §7.6).

use std::collections::HashMap;
use std::sync::PoisonError;

use hostler_common::cluster::ClusterState;
use hostler_common::id::HostId;

use super::Fleet;

/// How many clusters are remembered.
const CLUSTERS_MAX: usize = 256;

/// The latest state of each cluster, by its `fsid`, and whose view it is.
pub(super) type Clusters = HashMap<String, (HostId, ClusterState)>;

impl Fleet {
    /// Takes what the agent of a host sees of a cluster.
    pub fn cluster_state(&self, host: HostId, state: ClusterState) {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        if clusters.len() < CLUSTERS_MAX || clusters.contains_key(&state.fsid) {
            clusters.insert(state.fsid.clone(), (host, state));
        } else {
            tracing::warn!(%host, fsid = state.fsid, "too many clusters are watched; this one is not");
        }
    }

    /// The latest state of all clusters, each with the host whose agent saw it.
    #[must_use]
    pub fn cluster_states(&self) -> Vec<(HostId, ClusterState)> {
        let clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.values().cloned().collect()
    }
}
