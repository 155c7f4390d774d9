//! What the engine must know of Ceph clusters.

use futures::future::BoxFuture;
use hostler_core::cluster::{Cluster, Command, Facts, Write};
use hostler_core::machine::Input;

use super::Turn;
use super::run::Domain;
use crate::store::cluster::{cluster_candidates, watcher_put};
use crate::store::{Connection, Result};

/// A cluster; the subject is its `fsid`.
#[derive(Clone, Copy, Debug)]
pub struct ClusterDomain;

impl Domain for ClusterDomain {
    type Machine = Cluster;

    fn fresh(subject: &str) -> Result<Cluster> {
        Ok(Cluster::new(subject))
    }

    fn facts<'t>(
        turn: &'t Turn,
        tx: &'t mut Connection,
        machine: &'t Cluster,
        _: &'t Input<Command>,
    ) -> BoxFuture<'t, Result<Facts>> {
        Box::pin(async move {
            let candidates = cluster_candidates(tx, &machine.fsid).await?;
            Ok(Facts { candidates, settings: turn.settings.cluster.clone() })
        })
    }

    fn write<'t>(
        _: &'t Turn,
        tx: &'t mut Connection,
        next: &'t Cluster,
        writes: Vec<Write>,
    ) -> BoxFuture<'t, Result<()>> {
        Box::pin(async move {
            for write in writes {
                match write {
                    Write::Watcher(host) => watcher_put(tx, &next.fsid, host).await?,
                }
            }
            Ok(())
        })
    }

    fn reassigns(before: &Cluster, after: &Cluster) -> bool {
        before.watch.host != after.watch.host
    }
}
