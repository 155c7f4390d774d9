//! What can be told to the machine of a cluster, what it may know, and what it writes.

use std::collections::BTreeSet;

use hostler_common::cluster::ClusterState;
use hostler_common::hook::Occurrence;
use hostler_common::id::HostId;
use uuid::Uuid;

/// What can be told to the machine of a cluster.
#[derive(Clone, Debug)]
pub enum Command {
    /// A host that watches says what it sees. Only the chosen host counts.
    Report {
        /// Which host.
        host: HostId,
        /// What it sees.
        state: ClusterState,
    },
    /// Hosts came, went, or now say otherwise whether they reach the cluster: [`Facts::candidates`] changed.
    Hosts,
    /// An operation of ours is about to change the CRUSH map: moves of its version are not judged until it has ended.
    CrushBegun {
        /// Which.
        operation: Uuid,
    },
    /// That operation ended. `None` means that it changed nothing, as far as anybody knows.
    CrushEnded {
        /// Which.
        operation: Uuid,
        /// The versions before and after, and the hash after.
        change: Option<CrushMove>,
    },
}

/// A change of the CRUSH map that was ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrushMove {
    /// The version before.
    pub from: u64,
    /// The version after.
    pub to: u64,
    /// The hash after, as [`ClusterState::crush_hash`]; `None` means that it is not known.
    pub hash: Option<String>,
}

/// What the machine of a cluster may know of the world.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Hosts that are connected and say that they reach this cluster.
    pub candidates: Vec<Candidate>,
    /// What is configured.
    pub settings: Settings,
}

/// A host that could watch a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its small number; the lowest is chosen first.
    pub number: i64,
    /// Which.
    pub host: HostId,
}

/// What is configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Codes of health checks that count for nothing.
    pub ignored: BTreeSet<String>,
}

/// Rows that a decision writes besides the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Something that hooks may be bound to happened.
    Occurrence(Occurrence),
    /// That host is to watch the cluster from now on, and no other; `None` means that there is none that could.
    Watcher(Option<HostId>),
}
