//! The manager dies before each of its transactions in turn, and another one goes on; hosts and their agents die, too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use hostler_common::error::Class;
use hostler_common::id::{EventNumber, HostId, SessionId};
use hostler_core::maintenance::instance::{MoveAction, Size};
use hostler_core::maintenance::question::Reply;
use hostler_core::maintenance::state::State;
use hostler_manager::store::{Error, event, maintenance};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};

use super::crew::{Crew, Fuse};

on_both!(
    a_session_survives_the_end_of_its_manager_at_every_commit,
    an_instance_moves_once_however_often_managers_die,
    spec_9_09_killed_at_every_step_boundary_nothing_is_done_or_asked_twice,
);

/// A project that agrees to everything as soon as it hears of it, and remembers to what it agreed.
struct Tenant {
    heard: EventNumber,
    open: Vec<(Reply, Vec<(String, HostId)>)>,
    agreed: BTreeSet<(State, Vec<(String, HostId)>)>,
}

impl Default for Tenant {
    fn default() -> Self {
        Self { heard: EventNumber(0), open: Vec::new(), agreed: BTreeSet::new() }
    }
}

impl Tenant {
    fn new() -> Self {
        Self { heard: EventNumber(0), open: Vec::new(), agreed: BTreeSet::new() }
    }

    /// Hears, and answers; an error is one of the store.
    async fn act(&mut self, crew: &Crew, id: SessionId) -> Result<(), Error> {
        let mut connection = crew.engine.store.read().await?;
        for one in event::event_list(&mut connection, self.heard, 1000).await? {
            self.heard = one.number;
            let Some(state) = one.data["state"].as_str().and_then(State::from_name) else { continue };
            if one.kind != "maintenance.scheduled" || one.data["reply_at"].is_null() {
                continue;
            }
            let rows = maintenance::instance_rows(&mut connection, id, Some("tenant")).await?;
            let about = rows.into_iter().filter(|row| row.project_state.as_deref() == Some(state.name()));
            let about: Vec<(String, HostId)> = about.map(|row| (row.id, row.host)).collect();
            let actions: BTreeMap<String, MoveAction> = match one.data["allowed_actions"].as_array() {
                Some(allowed) if !allowed.is_empty() => {
                    about.iter().map(|(id, _)| (id.clone(), MoveAction::Migrate)).collect()
                }
                _ => BTreeMap::new(),
            };
            let asked = (state, about.clone());
            assert!(!self.agreed.contains(&asked), "{state:?} is asked again: {}", one.data);
            self.open.push((Reply { project: "tenant".into(), instance: None, state, ack: true, actions }, about));
        }
        drop(connection);
        while let Some((reply, about)) = self.open.first().cloned() {
            match crew.engine.session_reply(id, reply.clone(), "tenant").await {
                Ok(()) => _ = self.agreed.insert((reply.state, about)),
                // Too late: while managers die, time passes.
                Err(Error::Refused(Class::Conflict, _)) => {}
                Err(error) => return Err(error),
            }
            self.open.remove(0);
        }
        Ok(())
    }
}

/// Goes on with one manager after the other, each of which has so many transactions to live; returns how many died.
async fn with_short_lives(crew: &mut Crew, lives: i64, id: SessionId, tenant: &mut Tenant) -> u32 {
    let mut deaths = 0;
    loop {
        let fuse = Arc::new(Fuse(AtomicI64::new(lives)));
        crew.restart().await;
        crew.engine.store = crew.engine.store.clone().gated(Arc::clone(&fuse) as _);
        loop {
            let done = match crew.step().await {
                Ok(more) => tenant.act(crew, id).await.map(|()| more),
                error => error,
            };
            match done {
                Ok(true) if !crew.state(id).await.is_terminal() => {}
                Ok(_) => return deaths,
                Err(Error::Unavailable(_)) => break,
                Err(error) => panic!("{error}"),
            }
            if fuse.0.load(Ordering::SeqCst) <= 0 {
                break;
            }
        }
        deaths += 1;
        assert!(deaths < 5000, "it does not end: {:?}", crew.rows(id).await);
    }
}

async fn a_session_survives_the_end_of_its_manager_at_every_commit(bed: Bed) {
    for lives in [1, 2, 3, 5] {
        let Some(other) = Bed::new(bed.kind).await.unwrap() else { return };
        let mut crew = Crew::new(other, 2).await;
        let id = crew.engine.session_create(crew.spec(&["dummy", "reboot"]), "admin").await.unwrap();
        let deaths = with_short_lives(&mut crew, lives, id, &mut Tenant::new()).await;
        assert!(deaths > 1, "{deaths}");
        assert_eq!(crew.state(id).await, State::MaintenanceDone);
        assert_eq!(crew.count("dummy"), [1, 1], "{lives}");
        assert_eq!(crew.hosts.iter().map(|host| crew.boot_of(*host)).collect::<Vec<_>>(), ["boot-1", "boot-1"]);
        crew.restart().await;
        for _ in 0..20 {
            crew.step().await.unwrap();
        }
        crew.nothing_left().await;
    }
}

async fn an_instance_moves_once_however_often_managers_die(bed: Bed) {
    for lives in [1, 2, 4] {
        let Some(other) = Bed::new(bed.kind).await.unwrap() else { return };
        let mut crew = Crew::new(other, 2).await;
        for host in &crew.hosts {
            crew.compute.add_host(*host, Size { vcpus: 8, memory_mib: 16_384, disk_gib: 100 });
        }
        let instance = crew.instance(1, crew.hosts[0]);
        let spec = hostler_core::maintenance::spec::Spec { hosts: vec!["host-0001".into()], ..crew.spec(&["dummy"]) };
        let id = crew.engine.session_create(spec, "admin").await.unwrap();
        with_short_lives(&mut crew, lives, id, &mut Tenant::new()).await;
        assert_eq!(crew.state(id).await, State::MaintenanceDone, "{:?}", crew.rows(id).await);
        assert_eq!(crew.compute.performed(&instance), 1);
        assert_eq!(crew.compute.host_of(&instance), Some(crew.hosts[1]));
    }
}

const ROOM: Size = Size { vcpus: 8, memory_mib: 16_384, disk_gib: 100 };

async fn spec_9_09_killed_at_every_step_boundary_nothing_is_done_or_asked_twice(bed: Bed) {
    for lives in [1, 2, 3] {
        let Some(other) = Bed::new(bed.kind).await.unwrap() else { return };
        let mut crew = Crew::new(other, 3).await;
        for host in &crew.hosts {
            crew.compute.add_host(*host, ROOM);
        }
        // The third host is empty.
        let ids: Vec<String> = (0..3).map(|n| crew.instance(n, crew.hosts[n as usize % 2])).collect();
        commit!(crew.engine.store, tx => maintenance::listener_put(tx, "tenant", "test", None).await).unwrap();
        let mut tenant = Tenant::new();
        let id = crew.engine.session_create(crew.spec(&["dummy", "reboot"]), "admin").await.unwrap();
        let deaths = with_short_lives(&mut crew, lives, id, &mut tenant).await;
        assert!(deaths > 5, "{deaths}");
        assert_eq!(crew.state(id).await, State::MaintenanceDone, "{:?}", crew.rows(id).await);
        assert_eq!(crew.count("dummy"), [1, 1, 1], "{lives}");
        assert_eq!(crew.count("reboot"), [1, 1, 1], "{lives}");
        let asked: BTreeSet<State> = tenant.agreed.iter().map(|(state, _)| *state).collect();
        assert!(asked.contains(&State::Maintenance) && asked.contains(&State::PlannedMaintenance), "{asked:?}");
        for one in &ids {
            assert!((1..=2).contains(&crew.compute.performed(one)), "{one}: {}", crew.compute.performed(one));
        }
        crew.restart().await;
        for _ in 0..20 {
            crew.step().await.unwrap();
        }
        crew.nothing_left().await;
    }
}
