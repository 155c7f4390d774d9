//! Plans: in which order hosts come, where their instances go, how many hosts may go at once, and what is in the way
//! (spec/maintenance.md §3.4, §3.5, §8.5). Pure arithmetic over what is known at the moment; a plan is made anew for every
//! decision, and is what a dry run answers with.

mod ledger;
mod order;
mod place;
mod room;

use std::collections::{BTreeMap, BTreeSet};

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use serde::Serialize;

use super::constraint::{GroupConstraint, InstanceConstraint};
use super::host::FleetHost;
use super::instance::{Computes, MoveAction, Size};
use super::policy::{Policy, Reboot};
use super::spec::Workflow;
use ledger::Ledger;

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
    /// Why it does not go with the hosts before it, where it begins another wave.
    pub apart: Option<String>,
    /// Its failure domain.
    pub domain: Option<String>,
    /// Why it comes where it comes, in words.
    pub why: String,
    /// Where its instances go.
    pub landings: Vec<Landing>,
    /// What is in the way.
    pub blockers: Vec<Blocker>,
    /// What its turn means, for people: `reboot`, `maybe_reboot` or `maintenance`.
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

/// Makes a plan: the moves of each host are simulated in the order of the hosts, each on what the ones before left.
#[must_use]
pub fn plan(world: &World<'_>) -> Plan {
    let mut ledger = Ledger::new(world);
    let order = order::order(world, &ledger);
    let room = room::room(world, &ledger, &order);
    let waves = order::waves(world, &ledger, &order);
    let (mut warnings, mut hosts, mut sizes) = (Vec::new(), Vec::new(), BTreeMap::<u32, u32>::new());
    for (place, ((host, why), (wave, apart))) in order.into_iter().zip(waves).enumerate() {
        *sizes.entry(wave).or_default() += 1;
        let mut emptied = place::empty(&mut ledger, world, host.host);
        ledger.finish(host.host, host.connected);
        if !host.connected {
            let text = format!("the agent of {} is not connected", host.name);
            emptied.blockers.push(Blocker { code: "host.offline", instance: None, text });
        }
        if emptied.into_reserve {
            warnings.push(format!(
                "to empty {}, capacity is taken of which {} % were to be left free",
                host.name, world.policy.capacity_reserve
            ));
        }
        if emptied.moves_twice {
            warnings.push(format!("instances of {} land on hosts whose turn comes later, and move twice", host.name));
        }
        if let Some(reason) = &host.disabled {
            warnings.push(format!("{} is out of service already and stays so: {reason}", host.name));
        }
        hosts.push(Planned {
            host: host.host,
            name: host.name.clone(),
            order: u32::try_from(place + 1).unwrap_or(u32::MAX),
            wave,
            apart,
            domain: order::domain(host),
            why,
            landings: emptied.landings,
            blockers: emptied.blockers,
            impact: match world.policy.reboot {
                Reboot::Always => "reboot",
                Reboot::IfRequired => "maybe_reboot",
                Reboot::Never => "maintenance",
            },
        });
    }
    Plan { hosts, room, lanes: sizes.into_values().max().unwrap_or(0), warnings }
}

/// Where the instances of a host go as things are.
///
/// # Errors
/// What is in the way.
pub fn place(world: &World<'_>, host: HostId) -> Result<Vec<Landing>, Vec<Blocker>> {
    let emptied = place::empty(&mut Ledger::new(world), world, host);
    if emptied.blockers.is_empty() { Ok(emptied.landings) } else { Err(emptied.blockers) }
}

/// Whether the group of an instance can bear that it is acted on now (spec/maintenance.md §3.5 A).
#[must_use]
pub fn may_act(world: &World<'_>, instance: &str) -> bool {
    let group = |id: &str| {
        let instance = world.computes.instances.iter().find(|known| known.id == id)?;
        ledger::group_of(world, instance)
    };
    let Some(own) = group(instance) else { return true };
    let others = world.impacted.keys().filter(|other| *other != instance);
    let impacted = others.filter(|other| group(other).is_some_and(|theirs| theirs.group_id == own.group_id)).count();
    impacted < own.max_impacted_members as usize
}

#[cfg(test)]
mod tests;
