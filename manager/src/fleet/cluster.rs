//! What agents that watch a Ceph cluster say of it (spec/hooks.md §7.5, §7.6): the machine of the cluster judges it, and the
//! latest is remembered for those who ask how a cluster is.

use std::collections::HashMap;
use std::sync::PoisonError;

use hostler_common::cluster::{ClusterState, Settings};
use hostler_common::id::HostId;
use hostler_core::cluster::Command;
use hostler_core::machine::Input;

use super::Fleet;
use crate::engine::ClusterDomain;
use crate::store;

/// How many clusters are remembered.
const CLUSTERS_MAX: usize = 256;

/// The latest state of each cluster, by its `fsid`, and whose view it is.
pub(super) type Clusters = HashMap<String, (HostId, ClusterState)>;

impl Fleet {
    /// Takes what the agent of a host sees of a cluster.
    ///
    /// # Errors
    /// See [`store::Error`]; the agent says it again.
    pub async fn cluster_state(&self, host: HostId, state: ClusterState) -> store::Result<()> {
        if !self.remember(host, &state) {
            tracing::warn!(%host, fsid = state.fsid, "too many clusters are watched; this one is not");
            return Ok(());
        }
        let fsid = state.fsid.clone();
        let report = Input::Command(Command::Report { host, state });
        self.engine.input::<ClusterDomain>(&fsid, report, None).await?;
        Ok(())
    }

    /// Hosts that reach that cluster came or went.
    ///
    /// # Errors
    /// See [`store::Error`].
    pub(super) async fn cluster_hosts(&self, fsid: &str) -> store::Result<()> {
        self.engine.input::<ClusterDomain>(fsid, Input::Command(Command::Hosts), None).await?;
        Ok(())
    }

    /// `false` if there are too many.
    fn remember(&self, host: HostId, state: &ClusterState) -> bool {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        let room = clusters.len() < CLUSTERS_MAX || clusters.contains_key(&state.fsid);
        if room {
            clusters.insert(state.fsid.clone(), (host, state.clone()));
        }
        room
    }

    /// Takes what a change of its settings left; the agent that watches the cluster says it again by and by.
    pub fn cluster_settings(&self, fsid: &str, settings: Settings) {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, state)) = clusters.get_mut(fsid) {
            state.settings = Some(settings);
        }
    }

    /// The latest state of all clusters, each with the host whose agent saw it.
    #[must_use]
    pub fn cluster_states(&self) -> Vec<(HostId, ClusterState)> {
        let clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.values().cloned().collect()
    }
}
