//! The document of a stay.

use hostler_common::id::{HostId, JobId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where a stay stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing was asked of it yet.
    #[default]
    Fresh,
}

/// One host's time in a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stay {
    /// The session.
    pub session: Uuid,
    /// The host.
    pub host: HostId,
    /// Where it stands.
    pub stage: Stage,
}

impl Stay {
    /// A stay of which nothing was asked.
    #[must_use]
    pub fn new(session: Uuid, host: HostId) -> Self {
        Self { session, host, stage: Stage::Fresh }
    }

    /// The job that it waits for.
    #[must_use]
    pub fn job(&self) -> Option<JobId> {
        None
    }

    /// The Ceph cluster whose storage it has, or wants.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        None
    }

    /// Names of the scripts of the library that its agenda asks for.
    #[must_use]
    pub fn scripts(&self) -> Vec<&str> {
        Vec::new()
    }

    /// URLs whose answers it waits for right now.
    #[must_use]
    pub fn urls(&self) -> Vec<&str> {
        Vec::new()
    }
}
