//! What a decision of a session may know of the world.

use std::collections::{BTreeMap, BTreeSet};

use hostler_common::id::{HostId, TaskId};
use hostler_common::time::Timestamp;

use super::window::Zone;
use crate::maintenance::constraint::{GroupConstraint, InstanceConstraint};
use crate::maintenance::host::{FleetHost, SessionHost};
use crate::maintenance::instance::{Computes, SessionInstance};
use crate::maintenance::plugin::Manifest;
use crate::maintenance::state::Reason;

/// What a decision of a session may know of the world, read in the transaction in which the decision is written.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The session's hosts: all rows.
    pub rows: Vec<SessionHost>,
    /// All hosts of the fleet.
    pub fleet: Vec<FleetHost>,
    /// Instances and capacity, as the compute side says now.
    pub computes: Computes,
    /// The session's instances: all rows.
    pub instances: Vec<SessionInstance>,
    /// What instances need, by instance.
    pub constraints: BTreeMap<String, InstanceConstraint>,
    /// What groups need, by group.
    pub groups: BTreeMap<String, GroupConstraint>,
    /// Projects for which somebody listens (§4.6).
    pub subscribed: BTreeSet<String>,
    /// Every plug-in that there is, built in or an operator's, by name. Needed only where a session is created.
    pub plugins: BTreeMap<String, Manifest>,
    /// Members of groups that are impacted now, by whatever, and until when, if that is known.
    pub impacted: BTreeMap<String, Option<Timestamp>>,
    /// How many other sessions are not over.
    pub active_sessions: u32,
    /// How many sessions may be active at once; 0 means any number.
    pub max_sessions: u32,
    /// The task by which people follow the session.
    pub task: Option<TaskId>,
    /// The host on which the manager runs: where plug-ins of types `pre` and `post` run.
    pub management: Option<HostId>,
    /// Codes of the health checks that the Ceph clusters of the session's hosts show now.
    pub baseline: BTreeSet<String>,
    /// Where the session's downloads stand (§5.5).
    pub downloads: Fetched,
    /// After how long without any progress people are told; `None` means half an hour.
    pub stall_alert: Option<std::time::Duration>,
    /// The offsets of the time zone of the policy's window.
    pub zone: Zone,
}

/// Where the downloads of a session stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fetched {
    /// All are there and verified, or there are none.
    #[default]
    All,
    /// Some are still on their way.
    Pending,
    /// One cannot be had, or is not what it must be.
    Failed(Reason),
}
