//! In which order hosts come, and which go together.

use std::collections::BTreeMap;

use crate::maintenance::constraint::GroupConstraint;
use crate::maintenance::host::{FleetHost, Role};

use super::World;
use super::ledger::{Ledger, group_of};

/// Why a host comes when it comes. The order is the order of the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Controller,
    ManagerItself,
    Spare,
    Empty,
    Busy,
}

/// Hosts in their order, each with the reason in words.
pub(super) fn order<'w>(world: &'w World<'w>, ledger: &Ledger<'w>) -> Vec<(&'w FleetHost, String)> {
    let mut keyed: Vec<_> = world
        .todo
        .iter()
        .map(|host| {
            let turn = turn(world, ledger, host);
            let residents = ledger.residents(host.host);
            let memory: u64 = residents.iter().map(|instance| instance.size.memory_mib).sum();
            // Within equals, hosts of one failure domain stay together.
            let key = (turn, residents.len(), memory, domain(host), host.number);
            (key, host, why(turn, residents.len()))
        })
        .collect();
    keyed.sort_by(|a, b| a.0.cmp(&b.0));
    keyed.into_iter().map(|(_, host, why)| (host, why)).collect()
}

fn turn(world: &World<'_>, ledger: &Ledger<'_>, host: &FleetHost) -> Turn {
    if host.roles.contains(&Role::Controller) {
        if host.manager { Turn::ManagerItself } else { Turn::Controller }
    } else if world.policy.spare_hosts.contains(&host.name) {
        Turn::Spare
    } else if ledger.residents(host.host).is_empty() {
        Turn::Empty
    } else {
        Turn::Busy
    }
}

fn why(turn: Turn, instances: usize) -> String {
    match turn {
        Turn::Controller => "controllers come first, one at a time".into(),
        Turn::ManagerItself => "it runs the manager: the last of the controllers".into(),
        Turn::Spare => "the policy names it as a spare host".into(),
        Turn::Empty => "it has no instances".into(),
        Turn::Busy if instances == 1 => "1 instance has to move".into(),
        Turn::Busy => format!("{instances} instances have to move"),
    }
}

/// The failure domain of a host; a host with storage is one by itself where operators named none.
pub(super) fn domain(host: &FleetHost) -> Option<String> {
    host.zone.clone().or_else(|| host.cluster.as_ref().map(|_| host.name.clone()))
}

/// Gives each host, in order, the number of the wave in which it goes, and why it does not go with those before it, where it
/// begins another wave.
pub(super) fn waves<'w>(
    world: &'w World<'w>,
    ledger: &Ledger<'w>,
    order: &[(&'w FleetHost, String)],
) -> Vec<(u32, Option<String>)> {
    let mut wave = Wave::default();
    let mut number = 1;
    order
        .iter()
        .map(|(host, _)| {
            let next = Wave::of(world, ledger, host);
            let apart = wave.against(&next, world);
            if apart.is_some() {
                number += 1;
                wave = Wave::default();
            }
            wave.add(next);
            (number, apart)
        })
        .collect()
}

/// Hosts that go at the same time.
#[derive(Debug, Default)]
struct Wave<'w> {
    hosts: usize,
    controllers: bool,
    domains: BTreeMap<String, u32>,
    /// The failure domain at work in each storage cluster.
    clusters: BTreeMap<String, Option<String>>,
    /// Members of each group, and what the group needs.
    groups: BTreeMap<String, (u32, &'w GroupConstraint)>,
}

impl<'w> Wave<'w> {
    fn of(world: &'w World<'w>, ledger: &Ledger<'w>, host: &FleetHost) -> Self {
        let domain = domain(host);
        let mut wave = Self { hosts: 1, controllers: host.roles.contains(&Role::Controller), ..Self::default() };
        wave.clusters.extend(host.cluster.clone().map(|cluster| (cluster, domain.clone())));
        wave.domains.extend(domain.map(|domain| (domain, 1)));
        // Moves keep to it whatever the workflow is: two such hosts would wait for each other.
        for group in ledger.residents(host.host).iter().filter_map(|instance| group_of(world, instance)) {
            wave.groups.entry(group.group_id.clone()).or_insert((0, group)).0 += 1;
        }
        wave
    }

    /// Why another host cannot go at the same time; `None` if it can. What lies in the hosts is named before what was asked for,
    /// as more lanes would not help there.
    fn against(&self, next: &Self, world: &World<'_>) -> Option<String> {
        if self.hosts == 0 {
            return None;
        }
        if self.controllers || next.controllers {
            return Some("a controller goes alone".into());
        }
        // Never two failure domains of one storage cluster.
        let apart = |(cluster, domain): &(&String, &Option<String>)| {
            self.clusters.get(*cluster).is_some_and(|at| at != *domain)
        };
        if let Some((cluster, _)) = next.clusters.iter().find(apart) {
            return Some(format!("never two failure domains of the Ceph cluster {cluster} at once"));
        }
        let per_domain = world.policy.max_parallel_per_domain.max(1);
        let full = |domain: &&String| self.domains.get(*domain).copied().unwrap_or(0) >= per_domain;
        if let Some(domain) = next.domains.keys().find(full) {
            return Some(format!("at most {per_domain} of the failure domain {domain} at once"));
        }
        let strained = |(id, (members, group)): &(&String, &(u32, &GroupConstraint))| {
            self.groups.get(*id).is_some_and(|(there, _)| there + members > group.max_impacted_members)
        };
        if let Some((id, (_, group))) = next.groups.iter().find(strained) {
            let (most, name) = (group.max_impacted_members, group.group_name.as_ref().unwrap_or(id));
            let members = if most == 1 { "member" } else { "members" };
            return Some(format!("at most {most} {members} of the group {name} may be impacted at once"));
        }
        let lanes = world.policy.max_parallel_hosts;
        (lanes > 0 && self.hosts >= lanes as usize).then(|| match lanes {
            1 => "one host at a time is asked for".into(),
            lanes => format!("at most {lanes} hosts at a time are asked for"),
        })
    }

    fn add(&mut self, next: Self) {
        self.hosts += next.hosts;
        self.controllers |= next.controllers;
        for (domain, hosts) in next.domains {
            *self.domains.entry(domain).or_default() += hosts;
        }
        self.clusters.extend(next.clusters);
        for (group, (members, most)) in next.groups {
            self.groups.entry(group).or_insert((0, most)).0 += members;
        }
    }
}
