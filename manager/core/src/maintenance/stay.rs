//! Stays: one host's time in a session (spec/maintenance.md §3.7).
//!
//! A stay works through an agenda that follows from what it was told and from what it found, one entry after the other; what is
//! done is never done again. What has to be given back is derived from marks: each is set before the job that changes
//! something is ordered and taken back after the change was undone, so a change of which nobody knows whether it was made counts
//! as made. Leaving is the same whether all went well or not: whatever is marked is given back, in its order.

mod activity;
mod agenda;
pub mod builtin;
mod decide;
mod doc;
mod draft;
mod job;
mod judge;
mod look;
mod params;
mod plugin;
mod reboot;
pub mod schema;
mod storage;
mod timers;
mod watch;

use std::collections::BTreeMap;

use hostler_common::id::HostId;
use hostler_common::job::JobState;
use hostler_common::script::ScriptRef;
use hostler_common::time::Timestamp;
use uuid::Uuid;

pub use activity::Activity;
pub use doc::{Ending, Mark, Marks, Stage, Stay};
pub use look::LOOK_EVERY;
pub use timers::LOOK;

use super::plugin::Manifest;

/// What a decision of a stay may know of the world.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Whether the agent of the host is connected.
    pub connected: bool,
    /// The id of the boot that the agent reported last.
    pub boot_id: Option<String>,
    /// Where the job of [`Stay::job`] stands; `None` if it is gone.
    pub job_state: Option<JobState>,
    /// Who has the storage of the cluster [`Stay::cluster`]: the cluster, and the session and the host of the stay that has it.
    pub storage_lock: Option<(String, Uuid, HostId)>,
    /// Connected hosts that reach the cluster [`Stay::cluster`], this one among them or not.
    pub ceph_hosts: Vec<HostId>,
    /// Why nothing new is scheduled on the host; `None` means that it is in service.
    pub service: Option<String>,
    /// Plug-ins of operators, with the scripts that they are.
    pub plugins: BTreeMap<String, (Manifest, Option<ScriptRef>)>,
    /// Scripts of the library, by name: those of [`Stay::scripts`].
    pub scripts: BTreeMap<String, ScriptRef>,
    /// The host on which the manager runs, where gates of kind `probe` are asked.
    pub management: Option<HostId>,
    /// What came last of the questions of [`Stay::urls`].
    pub urls: BTreeMap<String, UrlAnswer>,
}

/// What came of asking a server for a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlAnswer {
    /// When it was asked.
    pub at: Timestamp,
    /// 200 opens the gate. Another status code, or the text, keeps it closed; the text says for people why: there was no answer, or
    /// it holds what must not be.
    pub status: Result<u16, String>,
}

#[cfg(test)]
mod tests;
