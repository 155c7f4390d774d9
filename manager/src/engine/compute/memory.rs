//! A compute side in memory: instances that exist by name only, and moves that end when they are told to. For rehearsals and
//! tests; it outlives the managers that use it, as a real one would.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use hostler_common::id::HostId;
use hostler_core::maintenance::instance::{Capacity, Computes, Instance, MoveAction, Size};
use hostler_core::maintenance::movement::{End, Failure, Retry};
use hostler_core::maintenance::word::{INTERRUPTION, MoveOrder};
use tokio::sync::Notify;
use uuid::Uuid;

use super::Compute;
use crate::store::{Connection, Result};

/// See the module.
#[derive(Debug, Default)]
pub struct Memory {
    world: Mutex<World>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct World {
    instances: BTreeMap<String, Instance>,
    capacity: BTreeMap<HostId, Capacity>,
    moves: BTreeMap<Uuid, Progress>,
    /// How often an instance was really moved.
    performed: BTreeMap<String, u32>,
    /// The interruption that a live migration of an instance would bring, in seconds.
    interruptions: BTreeMap<String, u32>,
    /// How many of the next moves of an instance are refused.
    refusals: BTreeMap<String, u32>,
    /// Whether moves wait until [`Memory::finish`] is called.
    held: bool,
}

#[derive(Clone, Debug)]
enum Progress {
    /// Under way.
    Moving(MoveOrder),
    /// Over.
    Ended(End),
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, World> {
        // It is whole after any panic: every critical section is one step.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A host that could take instances.
    pub fn add_host(&self, host: HostId, total: Size) {
        self.lock().capacity.insert(host, Capacity { total, offers: Vec::new() });
    }

    /// An instance, new or changed.
    pub fn put(&self, instance: Instance) {
        self.lock().instances.insert(instance.id.clone(), instance);
    }

    /// An instance is no more.
    pub fn remove(&self, instance: &str) {
        self.lock().instances.remove(instance);
    }

    /// Where an instance is.
    #[must_use]
    pub fn host_of(&self, instance: &str) -> Option<HostId> {
        self.lock().instances.get(instance).map(|instance| instance.host)
    }

    /// How often an instance was really moved.
    #[must_use]
    pub fn performed(&self, instance: &str) -> u32 {
        self.lock().performed.get(instance).copied().unwrap_or(0)
    }

    /// How many moves are under way.
    #[must_use]
    pub fn moving(&self) -> usize {
        self.lock().moves.values().filter(|progress| matches!(progress, Progress::Moving(_))).count()
    }

    /// The next so many moves of an instance are refused.
    pub fn refuse(&self, instance: &str, times: u32) {
        self.lock().refusals.insert(instance.to_owned(), times);
    }

    /// How long a live migration of an instance would interrupt it.
    pub fn interrupt(&self, instance: &str, seconds: u32) {
        self.lock().interruptions.insert(instance.to_owned(), seconds);
    }

    /// Whether moves wait until [`Memory::finish`] is called; else each ends as soon as it began.
    pub fn hold(&self, held: bool) {
        self.lock().held = held;
    }

    /// All moves that are under way end.
    pub fn finish(&self) {
        let mut world = self.lock();
        let open: Vec<Uuid> = world
            .moves
            .iter()
            .filter(|(_, progress)| matches!(progress, Progress::Moving(_)))
            .map(|(id, _)| *id)
            .collect();
        for id in open {
            world.end(id);
        }
        drop(world);
        self.ended.notify_waiters();
    }
}

impl World {
    /// A move comes to its end.
    fn end(&mut self, id: Uuid) {
        let Some(Progress::Moving(order)) = self.moves.get(&id).cloned() else { return };
        let end = self.try_move(&order).unwrap_or_else(|failure| {
            End::failed(self.instances.get(&order.instance).map(|instance| instance.host), failure)
        });
        self.moves.insert(id, Progress::Ended(end));
    }

    fn try_move(&mut self, order: &MoveOrder) -> std::result::Result<End, Failure> {
        let fail = |code: &str, text: &str, retry| Failure { code: code.into(), text: text.into(), retry };
        let Some(instance) = self.instances.get(&order.instance) else {
            return Err(fail("instance.gone", "there is no such instance", Retry::Never));
        };
        if instance.host != order.from {
            return Ok(End::moved(instance.host));
        }
        if let Some(left) = self.refusals.get_mut(&order.instance).filter(|left| **left > 0) {
            *left -= 1;
            return Err(fail("move.refused", "the destination refuses", Retry::Later));
        }
        if order.action == MoveAction::LiveMigrate {
            let needs = self.interruptions.get(&order.instance).copied().unwrap_or(0);
            if order.max_interruption.is_some_and(|most| needs > most) {
                return Err(fail(INTERRUPTION, "it would be interrupted for too long", Retry::Never));
            }
        }
        let size = instance.size;
        let found = match order.to {
            Some(to) => Some(to).filter(|to| self.fits(*to, size)),
            None => self.capacity.keys().copied().find(|to| *to != order.from && self.fits(*to, size)),
        };
        let Some(to) = found else { return Err(fail("move.refused", "there is no room", Retry::Later)) };
        if let Some(instance) = self.instances.get_mut(&order.instance) {
            instance.host = to;
        }
        *self.performed.entry(order.instance.clone()).or_default() += 1;
        Ok(End::moved(to))
    }

    fn fits(&self, host: HostId, size: Size) -> bool {
        let Some(capacity) = self.capacity.get(&host) else { return false };
        let used = self.instances.values().filter(|instance| instance.host == host).map(|instance| instance.size);
        let sum = used.fold(size, |sum, size| Size {
            vcpus: sum.vcpus + size.vcpus,
            memory_mib: sum.memory_mib + size.memory_mib,
            disk_gib: sum.disk_gib + size.disk_gib,
        });
        let total = capacity.total;
        sum.vcpus <= total.vcpus && sum.memory_mib <= total.memory_mib && sum.disk_gib <= total.disk_gib
    }
}

impl Compute for Memory {
    fn computes<'t>(&'t self, _: &'t mut Connection) -> BoxFuture<'t, Result<Computes>> {
        let world = self.lock();
        let computes =
            Computes { instances: world.instances.values().cloned().collect(), capacity: world.capacity.clone() };
        Box::pin(async { Ok(computes) })
    }

    fn begin<'t>(&'t self, id: Uuid, order: &'t MoveOrder) -> BoxFuture<'t, Result<()>> {
        let mut world = self.lock();
        world.moves.entry(id).or_insert_with(|| Progress::Moving(order.clone()));
        if !world.held {
            world.end(id);
        }
        Box::pin(async { Ok(()) })
    }

    fn abort(&self, id: Uuid) -> BoxFuture<'_, Result<()>> {
        let mut world = self.lock();
        let host = match world.moves.get(&id) {
            Some(Progress::Ended(_)) => return Box::pin(async { Ok(()) }),
            Some(Progress::Moving(order)) => world.instances.get(&order.instance).map(|instance| instance.host),
            None => None,
        };
        let failure = Failure { code: "move.aborted".into(), text: "it was ended".into(), retry: Retry::Never };
        world.moves.insert(id, Progress::Ended(End::failed(host, failure)));
        drop(world);
        self.ended.notify_waiters();
        Box::pin(async { Ok(()) })
    }

    fn outcome(&self, id: Uuid) -> BoxFuture<'_, Result<Option<End>>> {
        let end = match self.lock().moves.get(&id) {
            Some(Progress::Ended(end)) => Some(end.clone()),
            Some(Progress::Moving(_)) | None => None,
        };
        Box::pin(async { Ok(end) })
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.ended.notified())
    }
}
