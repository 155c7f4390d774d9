//! The rows that decisions of sessions and stays write: many of a kind are one statement.

use std::collections::HashMap;

use hostler_common::id::{HostId, SessionId};
use hostler_core::maintenance::host::{FleetHost, SessionHost};
use hostler_core::maintenance::instance::SessionInstance;
use hostler_core::maintenance::row::{StepBegun, StepEnded, Write};
use hostler_core::maintenance::session::Facts;

use super::super::Turn;
use crate::store::maintenance::{
    ProjectRow, SessionChange, StayRow, StorageLock, host_put_all, host_remove, instance_put_all, instance_remove,
    lock_hosts, project_put_all, service_put_all, session_update, stay_put_all, step_put_all, storage_hurry,
    storage_lock, storage_unlock, unlock_hosts,
};
use crate::store::{Connection, Error, Result};

/// What is written of each thing once: of several writes about one, the last.
#[derive(Debug, Default)]
struct Sorted {
    session: Option<SessionChange>,
    hosts: Last<HostId, Option<SessionHost>>,
    stays: Vec<StayRow>,
    locks: Last<HostId, bool>,
    storage: Vec<(String, Option<HostId>)>,
    service: Last<HostId, Option<String>>,
    instances: Last<String, Option<SessionInstance>>,
    projects: Last<String, ProjectRow>,
    begun: Vec<StepBegun>,
    ended: Vec<StepEnded>,
}

/// Values by key, in the order in which the keys came first; the last value counts.
#[derive(Debug)]
struct Last<K, V> {
    places: HashMap<K, usize>,
    values: Vec<(K, V)>,
}

impl<K, V> Default for Last<K, V> {
    fn default() -> Self {
        Self { places: HashMap::new(), values: Vec::new() }
    }
}

impl<K: Clone + Eq + std::hash::Hash, V> Last<K, V> {
    fn put(&mut self, key: K, value: V) {
        match self.places.get(&key) {
            Some(place) => self.values[*place].1 = value,
            None => {
                self.places.insert(key.clone(), self.values.len());
                self.values.push((key, value));
            }
        }
    }
}

impl<K, V> Last<K, Option<V>> {
    /// Those that are there, and the keys of those that are gone.
    fn split(self) -> (Vec<V>, Vec<K>) {
        let (mut there, mut gone) = (Vec::new(), Vec::new());
        for (key, value) in self.values {
            match value {
                Some(value) => there.push(value),
                None => gone.push(key),
            }
        }
        (there, gone)
    }
}

fn sort(session: SessionId, writes: Vec<Write>) -> Sorted {
    let mut sorted = Sorted::default();
    for write in writes {
        match write {
            Write::Session { state, prev_state, paused, percent, maintenance_at, deleted } => {
                let change = SessionChange { state, prev_state, paused, percent, maintenance_at, deleted };
                sorted.session = Some(change);
            }
            Write::Host(host) => sorted.hosts.put(host.host, Some(*host)),
            Write::HostGone(host) => sorted.hosts.put(host, None),
            Write::Stay { host, phase, reason, plugin } => {
                sorted.stays.push(StayRow { session, host, phase, reason, plugin });
            }
            Write::Lock(host) => sorted.locks.put(host, true),
            Write::Unlock(host) => sorted.locks.put(host, false),
            Write::LockStorage { fsid, host } => sorted.storage.push((fsid, Some(host))),
            Write::UnlockStorage { fsid } => sorted.storage.push((fsid, None)),
            Write::Service { host, disabled } => sorted.service.put(host, disabled),
            Write::Instance(instance) => sorted.instances.put(instance.id.clone(), Some(*instance)),
            Write::InstanceGone(instance) => sorted.instances.put(instance, None),
            Write::Project { project, state, reply_at, subscribed } => {
                sorted.projects.put(project.clone(), ProjectRow { project, state, reply_at, subscribed });
            }
            Write::Begun(step) => sorted.begun.push(*step),
            Write::Ended(step) => sorted.ended.push(*step),
        }
    }
    sorted
}

/// Writes the rows of a decision of a session, or of the stay of a host in it.
pub(super) async fn write(
    turn: &Turn,
    tx: &mut Connection,
    session: SessionId,
    stay: Option<HostId>,
    writes: Vec<Write>,
) -> Result<()> {
    let sorted = sort(session, writes);
    if let Some(change) = sorted.session {
        session_update(tx, session, change, turn.now).await?;
    }
    let (hosts, gone) = sorted.hosts.split();
    host_put_all(tx, session, &hosts).await?;
    for host in gone {
        host_remove(tx, session, host).await?;
    }
    stay_put_all(tx, &sorted.stays).await?;
    locks(turn, tx, session, sorted.locks).await?;
    storage(turn, tx, session, stay, sorted.storage).await?;
    service_put_all(tx, &sorted.service.values, turn.now).await?;
    let (instances, gone) = sorted.instances.split();
    instance_put_all(tx, session, &instances).await?;
    for instance in gone {
        instance_remove(tx, session, &instance).await?;
    }
    let projects: Vec<ProjectRow> = sorted.projects.values.into_iter().map(|(_, row)| row).collect();
    project_put_all(tx, session, &projects).await?;
    step_put_all(tx, session, (&sorted.begun, &sorted.ended), turn.actor.as_deref(), turn.now).await
}

async fn locks(turn: &Turn, tx: &mut Connection, session: SessionId, locks: Last<HostId, bool>) -> Result<()> {
    let (taken, given): (Vec<_>, Vec<_>) = locks.values.into_iter().partition(|(_, lock)| *lock);
    let hosts = |locks: Vec<(HostId, bool)>| locks.into_iter().map(|(host, _)| host).collect::<Vec<_>>();
    lock_hosts(tx, session, &hosts(taken), turn.now).await?;
    unlock_hosts(tx, session, &hosts(given)).await
}

/// Storage is given back before it is taken: a stay that changes the cluster never has two.
async fn storage(
    turn: &Turn,
    tx: &mut Connection,
    session: SessionId,
    stay: Option<HostId>,
    changes: Vec<(String, Option<HostId>)>,
) -> Result<()> {
    for (fsid, _) in changes.iter().filter(|(_, host)| host.is_none()) {
        if storage_unlock(tx, fsid, session, stay).await? {
            storage_hurry(tx, turn.now).await?;
        }
    }
    for (fsid, host) in changes {
        let Some(host) = host else { continue };
        if stay.is_some_and(|own| own != host) {
            return Err(Error::Broken(format!("the stay of another host takes the storage of {fsid} for {host}")));
        }
        storage_lock(tx, &StorageLock { fsid, session, host }, turn.now).await?;
    }
    Ok(())
}

/// Brings what a session was read to know up to what it writes.
pub(super) fn absorb(facts: &mut Facts, writes: &[Write]) {
    for write in writes {
        match write {
            Write::Host(host) => match facts.rows.iter_mut().find(|row| row.host == host.host) {
                Some(row) => *row = (**host).clone(),
                None => facts.rows.push((**host).clone()),
            },
            Write::HostGone(host) => facts.rows.retain(|row| row.host != *host),
            Write::Service { host, disabled } => {
                of_fleet(facts, *host, |known| known.disabled.clone_from(disabled));
            }
            Write::Unlock(host) => of_fleet(facts, *host, |known| known.locked_by = None),
            Write::Instance(instance) => {
                if instance.impacted_from.is_some() {
                    facts.impacted.insert(instance.id.clone(), instance.recovered_at);
                }
                match facts.instances.iter_mut().find(|row| row.id == instance.id) {
                    Some(row) => *row = (**instance).clone(),
                    None => facts.instances.push((**instance).clone()),
                }
            }
            Write::InstanceGone(instance) => facts.instances.retain(|row| row.id != *instance),
            Write::Stay { host, phase, reason, plugin } => {
                if let Some(row) = facts.rows.iter_mut().find(|row| row.host == *host) {
                    (row.phase, row.reason) = (*phase, reason.clone());
                    if let Some((plugin, state)) = plugin {
                        (row.plugin, row.plugin_state) = (Some(plugin.clone()), Some(state.clone()));
                    }
                }
            }
            // A session takes hosts when it is asked to, never when it is told something by machines.
            Write::Lock(_)
            | Write::Session { .. }
            | Write::LockStorage { .. }
            | Write::UnlockStorage { .. }
            | Write::Project { .. }
            | Write::Begun(_)
            | Write::Ended(_) => {}
        }
    }
}

fn of_fleet(facts: &mut Facts, host: HostId, change: impl FnOnce(&mut FleetHost)) {
    if let Some(known) = facts.fleet.iter_mut().find(|known| known.host == host) {
        change(known);
    }
}
