//! Plans: in which order hosts come, where their instances go, how many hosts may go at once, and what is in the way
//! (spec/maintenance.md §3.4, §3.5, §8.5). Pure arithmetic over what is known at the moment; a plan is made anew for every
//! decision, and is what a dry run answers with.

use std::collections::{BTreeMap, BTreeSet};

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use serde::Serialize;

use super::constraint::{GroupConstraint, InstanceConstraint};
use super::host::FleetHost;
use super::instance::{Computes, MoveAction, Size};
use super::policy::Policy;
use super::spec::Workflow;

/// What a plan is made from.
#[derive(Clone, Debug)]
pub struct World<'w> {
    /// The hosts of the session that are not done yet.
    pub todo: &'w [FleetHost],
    /// Those that are done: preferred landing places.
    pub done: &'w BTreeSet<HostId>,
    /// All other hosts in service: further landing places.
    pub others: &'w [FleetHost],
    /// Instances and capacity.
    pub computes: &'w Computes,
    /// What instances need, by instance.
    pub constraints: &'w BTreeMap<String, InstanceConstraint>,
    /// What groups need, by group.
    pub groups: &'w BTreeMap<String, GroupConstraint>,
    /// Members of groups that are impacted now, whatever the cause, with the moment at which they recover, if that is known.
    pub impacted: &'w BTreeMap<String, Option<Timestamp>>,
    /// How the session goes about instances.
    pub workflow: Workflow,
    /// How it decides.
    pub policy: &'w Policy,
}

/// Whether there is room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Room {
    /// These hosts of the session are empty, or it has no instances at all.
    Spare {
        /// Empty hosts.
        empty: Vec<HostId>,
    },
    /// There is room for the instances of one host, and none is empty: this one is emptied first.
    Scattered {
        /// Which.
        first: HostId,
    },
    /// There is not.
    Missing {
        /// What is missing for the host that needs least.
        size: Size,
        /// Instances whose removal would make the room, within their groups' budgets.
        remove: Vec<String>,
    },
}

/// Something that is in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Blocker {
    /// The stable code: `capacity.insufficient`, `group.untouchable`, `affinity`, `needs`, `host.offline`.
    pub code: &'static str,
    /// The instance concerned.
    pub instance: Option<String>,
    /// A sentence for people.
    pub text: String,
}

/// Where one instance goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Landing {
    /// Which instance.
    pub instance: String,
    /// How.
    pub action: MoveAction,
    /// Where to.
    pub to: HostId,
    /// Where else it could go.
    pub others: Vec<HostId>,
}

/// The plan of one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// Which.
    pub host: HostId,
    /// Its name.
    pub name: String,
    /// Its place, from 1.
    pub order: u32,
    /// Which hosts go at the same time: those with the same number.
    pub wave: u32,
    /// Its failure domain.
    pub domain: Option<String>,
    /// Why it comes where it comes, in words.
    pub why: String,
    /// Where its instances go.
    pub landings: Vec<Landing>,
    /// What is in the way.
    pub blockers: Vec<Blocker>,
    /// Whether its turn means a reboot, for people: `reboot`, `maintenance`, `none`.
    pub impact: &'static str,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Hosts in their order.
    pub hosts: Vec<Planned>,
    /// Whether there is room to begin.
    pub room: Room,
    /// How many hosts go at once at most.
    pub lanes: u32,
    /// What people should know.
    pub warnings: Vec<String>,
}
