//! Instances of the session, as the compute side says they are (spec/maintenance.md §3.2).

use std::collections::{BTreeMap, BTreeSet};

use hostler_common::id::HostId;

use super::Turn;
use crate::maintenance::constraint::GroupConstraint;
use crate::maintenance::instance::{Instance, InstanceState, SessionInstance};

/// Whether an instance takes part: one that was shelved away is on no host.
pub fn counts(instance: &Instance) -> bool {
    instance.state != InstanceState::ShelvedOffloaded
}

impl<'c> Turn<'c> {
    /// The instances that are on a host.
    pub(super) fn on_host(&self, host: HostId) -> impl Iterator<Item = &'c Instance> + use<'c> {
        self.facts().computes.instances.iter().filter(move |one| one.host == host && counts(one))
    }

    /// Takes over what the compute side says: new instances on hosts of the session, those that are gone, and where the others
    /// are. One that is new and has the name of one of the same project that is gone was made again, and takes its place.
    pub(super) fn refresh(&mut self) {
        let hosts: BTreeSet<HostId> = self.rows.iter().map(|row| row.host).collect();
        let there: BTreeMap<&str, &Instance> = self
            .facts()
            .computes
            .instances
            .iter()
            .filter(|one| counts(one))
            .map(|one| (one.id.as_str(), one))
            .collect();
        let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.instances).into_iter().partition(|(id, _)| there.contains_key(id.as_str()));
        self.instances = kept;
        let gone: BTreeMap<(&str, &str), &SessionInstance> =
            gone.values().map(|row| ((row.project.as_str(), row.name.as_str()), row)).collect();
        for one in there.into_values() {
            if let Some(row) = self.instances.get_mut(&one.id) {
                (row.host, row.state) = (one.host, one.state);
                row.name.clone_from(&one.name);
            } else if hosts.contains(&one.host) {
                let before = gone.get(&(one.project.as_str(), one.name.as_str())).filter(|_| !one.name.is_empty());
                self.instances.insert(one.id.clone(), new_row(one, before.copied()));
            }
        }
    }

    /// The group of an instance with its rules, if it has any.
    pub(super) fn group_of(&self, id: &str) -> Option<&'c GroupConstraint> {
        let facts = self.facts();
        let named = facts.constraints.get(id).and_then(|one| one.group_id.as_ref());
        let own = || facts.computes.instances.iter().find(|one| one.id == id).and_then(|one| one.group.as_ref());
        named.or_else(own).and_then(|group| facts.groups.get(group))
    }
}

fn new_row(one: &Instance, before: Option<&SessionInstance>) -> SessionInstance {
    SessionInstance {
        id: one.id.clone(),
        name: one.name.clone(),
        project: one.project.clone(),
        host: one.host,
        state: one.state,
        project_state: before.and_then(|row| row.project_state.clone()),
        action: before.and_then(|row| row.action),
        action_done: before.is_some_and(|row| row.action_done),
        details: before.map(|row| format!("made again in the place of {}", row.id)),
        impacted_from: before.and_then(|row| row.impacted_from),
        recovered_at: before.and_then(|row| row.recovered_at),
    }
}
