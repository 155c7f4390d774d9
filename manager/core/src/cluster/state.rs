//! The record of a cluster.

use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::crush::Crush;
use super::elect::Watch;
use super::health::Tracker;
use super::options::Options;

/// The record of a cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// Which.
    pub fsid: String,
    /// Who watches it.
    pub watch: Watch,
    /// What of its health was told, and what is about to be.
    pub health: Tracker,
    /// Its CRUSH map.
    pub crush: Crush,
    /// The options that it keeps for its daemons.
    #[serde(default)]
    pub options: Options,
}

impl Cluster {
    /// A cluster that nobody has watched yet.
    #[must_use]
    pub fn new(fsid: impl Into<String>) -> Self {
        Self {
            fsid: fsid.into(),
            watch: Watch { host: None, heard_at: Timestamp::from_micros(0) },
            health: Tracker::default(),
            crush: Crush::default(),
            options: Options::default(),
        }
    }
}
