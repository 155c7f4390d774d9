//! Ceph clusters, as the manager follows them: who watches a cluster, what became of its health, who changed its CRUSH map,
//! whether its options were changed (spec/hooks.md §7.5-§7.7).
//!
//! One machine per cluster, its subject the cluster's `fsid`. Agents report what they see; this decides what of it is worth
//! telling, and writes that as occurrences of hook points. Nothing here asks a cluster anything.

mod command;
mod crush;
mod decide;
mod elect;
mod health;
mod options;
mod state;

pub use command::{Candidate, Command, CrushMove, Facts, Settings, Write};
pub use crush::Crush;
pub use decide::{HEALTH, SILENT};
pub use elect::{SILENCE, Watch, elect};
pub use health::{Direction, Rank, Tracker, Transition, View, Weight};
pub use options::Options;
pub use state::Cluster;
