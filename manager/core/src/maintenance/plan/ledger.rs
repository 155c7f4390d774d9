//! Who is where, and what is left: the bookkeeping of a simulation of moves.

use std::collections::{BTreeMap, BTreeSet};

use hostler_common::id::HostId;

use crate::maintenance::constraint::GroupConstraint;
use crate::maintenance::host::FleetHost;
use crate::maintenance::instance::{Capacity, Instance, Size};

use super::World;

/// How welcome a host is as a landing place. The order is the preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Welcome {
    /// It was maintained in this session: projects rely on what it offers now.
    Done,
    /// It is not of this session.
    Elsewhere,
    /// Its turn comes later: what lands there moves twice.
    Later,
}

/// One host of the simulation.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) host: HostId,
    pub(super) welcome: Welcome,
    /// Whether anything may land there.
    pub(super) open: bool,
    capacity: Capacity,
    used: Size,
    /// How many members of each group it has.
    members: BTreeMap<String, u32>,
}

/// How an instance fits somewhere: less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fit {
    welcome: Welcome,
    /// Whether it would take of the reserve.
    into_reserve: bool,
    /// Memory that is left afterwards: the tightest place is the best.
    left: u64,
}

impl Fit {
    pub(super) fn into_reserve(self) -> bool {
        self.into_reserve
    }

    pub(super) fn moves_twice(self) -> bool {
        self.welcome == Welcome::Later
    }
}

impl Place {
    fn free(&self) -> Size {
        Size {
            vcpus: self.capacity.total.vcpus.saturating_sub(self.used.vcpus),
            memory_mib: self.capacity.total.memory_mib.saturating_sub(self.used.memory_mib),
            disk_gib: self.capacity.total.disk_gib.saturating_sub(self.used.disk_gib),
        }
    }

    /// Whether an instance fits, by size and by what it needs.
    fn holds(&self, instance: &Instance) -> bool {
        let (free, size) = (self.free(), instance.size);
        size.vcpus <= free.vcpus
            && size.memory_mib <= free.memory_mib
            && size.disk_gib <= free.disk_gib
            && instance.needs.iter().all(|need| self.capacity.offers.contains(need))
    }

    /// Whether its group lets an instance come here.
    fn admits(&self, group: Option<&GroupConstraint>) -> bool {
        let Some(group) = group else { return true };
        let members = self.members.get(&group.group_id).copied().unwrap_or(0);
        !(group.anti_affinity_group && members > 0)
            && (group.max_instances_per_host == 0 || members < group.max_instances_per_host)
    }

    fn fit(&self, instance: &Instance, reserve: u8) -> Fit {
        let left = self.free().memory_mib.saturating_sub(instance.size.memory_mib);
        let kept = self.capacity.total.memory_mib.saturating_mul(u64::from(reserve)) / 100;
        Fit { welcome: self.welcome, into_reserve: left < kept, left }
    }
}

/// Why nothing takes an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No host offers what it needs.
    Needs,
    /// Its group does not let it go where there is room.
    Group,
    /// There is no room.
    Room,
}

/// All hosts of the simulation, and where each instance is in it.
#[derive(Clone, Debug)]
pub(super) struct Ledger<'w> {
    places: Vec<Place>,
    index: BTreeMap<HostId, usize>,
    residents: BTreeMap<HostId, Vec<&'w Instance>>,
    reserve: u8,
    world: &'w World<'w>,
}

impl<'w> Ledger<'w> {
    pub(super) fn new(world: &'w World<'w>) -> Self {
        let todo: BTreeSet<HostId> = world.todo.iter().map(|host| host.host).collect();
        let mut ledger = Self {
            places: Vec::new(),
            index: BTreeMap::new(),
            residents: BTreeMap::new(),
            reserve: world.policy.capacity_reserve,
            world,
        };
        for host in world.todo.iter().chain(world.others) {
            ledger.add(host, todo.contains(&host.host));
        }
        for instance in &world.computes.instances {
            ledger.settle(instance, instance.host);
        }
        ledger
    }

    fn add(&mut self, host: &FleetHost, todo: bool) {
        let Some(capacity) = self.world.computes.capacity.get(&host.host) else { return };
        let welcome = match (self.world.done.contains(&host.host), todo) {
            (true, _) => Welcome::Done,
            (false, true) => Welcome::Later,
            (false, false) => Welcome::Elsewhere,
        };
        // A host of this session that was fenced by it is in service for the simulation until its turn comes.
        let open = host.connected && (host.disabled.is_none() || todo);
        self.index.insert(host.host, self.places.len());
        self.places.push(Place {
            host: host.host,
            welcome,
            open,
            capacity: capacity.clone(),
            used: Size::default(),
            members: BTreeMap::new(),
        });
    }

    pub(super) fn group_of(&self, instance: &Instance) -> Option<&'w GroupConstraint> {
        group_of(self.world, instance)
    }

    /// Puts an instance somewhere.
    pub(super) fn settle(&mut self, instance: &'w Instance, at: HostId) {
        let group = self.group_of(instance);
        self.residents.entry(at).or_default().push(instance);
        let Some(place) = self.index.get(&at).and_then(|at| self.places.get_mut(*at)) else { return };
        place.used.vcpus += instance.size.vcpus;
        place.used.memory_mib += instance.size.memory_mib;
        place.used.disk_gib += instance.size.disk_gib;
        if let Some(group) = group {
            *place.members.entry(group.group_id.clone()).or_default() += 1;
        }
    }

    /// Takes all instances of a host away from it, the largest first.
    pub(super) fn lift(&mut self, host: HostId) -> Vec<&'w Instance> {
        let mut lifted = self.residents.remove(&host).unwrap_or_default();
        if let Some(place) = self.index.get(&host).and_then(|at| self.places.get_mut(*at)) {
            (place.used, place.members) = (Size::default(), BTreeMap::new());
            place.open = false;
        }
        lifted.sort_by(|a, b| (b.size.memory_mib, b.size.vcpus, &a.id).cmp(&(a.size.memory_mib, a.size.vcpus, &b.id)));
        lifted
    }

    /// A host is done: the best landing place from now on.
    pub(super) fn finish(&mut self, host: HostId, connected: bool) {
        if let Some(place) = self.index.get(&host).and_then(|at| self.places.get_mut(*at)) {
            (place.welcome, place.open) = (Welcome::Done, connected);
        }
    }

    pub(super) fn residents(&self, host: HostId) -> &[&'w Instance] {
        self.residents.get(&host).map_or(&[], Vec::as_slice)
    }

    /// Where an instance could go, the best first; at most `most` places.
    pub(super) fn candidates(&self, instance: &Instance, most: usize) -> Result<Vec<(Fit, HostId)>, Refused> {
        let group = self.group_of(instance);
        let mut found: Vec<(Fit, HostId)> = self
            .places
            .iter()
            .filter(|place| place.open && place.host != instance.host && place.holds(instance) && place.admits(group))
            .map(|place| (place.fit(instance, self.reserve), place.host))
            .collect();
        if found.is_empty() {
            return Err(self.refusal(instance));
        }
        found.sort_unstable();
        found.truncate(most);
        Ok(found)
    }

    fn refusal(&self, instance: &Instance) -> Refused {
        let open = || self.places.iter().filter(|place| place.open && place.host != instance.host);
        let offered = |place: &&Place| instance.needs.iter().all(|need| place.capacity.offers.contains(need));
        if open().next().is_some() && !open().any(|place| offered(&place)) {
            Refused::Needs
        } else if open().any(|place| place.holds(instance)) {
            Refused::Group
        } else {
            Refused::Room
        }
    }
}

/// The group of an instance with its rules, if it has any.
pub(super) fn group_of<'w>(world: &World<'w>, instance: &Instance) -> Option<&'w GroupConstraint> {
    let named = world.constraints.get(&instance.id).and_then(|constraint| constraint.group_id.as_ref());
    named.or(instance.group.as_ref()).and_then(|group| world.groups.get(group))
}
