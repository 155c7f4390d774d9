//! Whether there is room to begin, and what is missing if there is not (spec/maintenance.md §3.4, §3.5 G).

use std::collections::BTreeMap;

use crate::maintenance::host::FleetHost;
use crate::maintenance::instance::{Instance, Size};

use super::ledger::{Ledger, group_of};
use super::place::{Emptied, empty};
use super::{Room, World};

pub(super) fn room<'w>(world: &'w World<'w>, ledger: &Ledger<'w>, order: &[(&'w FleetHost, String)]) -> Room {
    let is_empty = |host: &FleetHost| ledger.residents(host.host).is_empty();
    let computes =
        || order.iter().map(|(host, _)| *host).filter(|host| world.computes.capacity.contains_key(&host.host));
    let spare: Vec<_> = computes().filter(|host| is_empty(host)).map(|host| host.host).collect();
    let busy: Vec<&FleetHost> = order.iter().map(|(host, _)| *host).filter(|host| !is_empty(host)).collect();
    if busy.is_empty() || !spare.is_empty() {
        return Room::Spare { empty: spare };
    }
    let mut least: Option<(usize, &FleetHost, Emptied)> = None;
    for host in busy {
        let emptied = empty(&mut ledger.clone(), world, host.host);
        if emptied.blockers.is_empty() {
            return Room::Scattered { first: host.host };
        }
        if least.as_ref().is_none_or(|(blockers, ..)| emptied.blockers.len() < *blockers) {
            least = Some((emptied.blockers.len(), host, emptied));
        }
    }
    let Some((_, host, emptied)) = least else { return Room::Spare { empty: Vec::new() } };
    missing(world, ledger, host, &emptied)
}

/// What has to go for the host that needs least.
fn missing<'w>(world: &'w World<'w>, ledger: &Ledger<'w>, host: &FleetHost, emptied: &Emptied) -> Room {
    let stuck =
        |instance: &&&Instance| emptied.blockers.iter().any(|blocker| blocker.instance.as_ref() == Some(&instance.id));
    let mut size = Size::default();
    let (mut taken, mut remove) = (BTreeMap::<&str, u32>::new(), Vec::new());
    for instance in ledger.residents(host.host).iter().filter(stuck) {
        size.vcpus += instance.size.vcpus;
        size.memory_mib += instance.size.memory_mib;
        size.disk_gib += instance.size.disk_gib;
        if may_be_removed(world, instance, &mut taken) {
            remove.push(instance.id.clone());
        }
    }
    Room::Missing { size, remove }
}

/// Whether the owner can be asked to remove an instance: it can make up for it, its group can bear it, and it is not the last.
fn may_be_removed<'w>(world: &World<'w>, instance: &Instance, taken: &mut BTreeMap<&'w str, u32>) -> bool {
    let mitigates = world.constraints.get(&instance.id).is_none_or(|constraint| constraint.resource_mitigation);
    let Some(group) = group_of(world, instance) else { return mitigates };
    let members = world
        .computes
        .instances
        .iter()
        .filter(|other| group_of(world, other).is_some_and(|theirs| theirs.group_id == group.group_id));
    let members = u32::try_from(members.count()).unwrap_or(u32::MAX);
    let taken = taken.entry(&group.group_id).or_default();
    let may = mitigates && group.resource_mitigation && *taken < group.max_impacted_members && *taken + 1 < members;
    *taken += u32::from(may);
    may
}
