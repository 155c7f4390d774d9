//! The manager dies before each of its transactions in turn, and another one goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use hostler_core::maintenance::instance::Size;
use hostler_core::maintenance::state::State;
use hostler_manager::store::Error;
use hostler_tests::both::Bed;
use hostler_tests::on_both;

use super::crew::{Crew, Fuse};

on_both!(a_session_survives_the_end_of_its_manager_at_every_commit, an_instance_moves_once_however_often_managers_die);

/// Goes on with one manager after the other, each of which has so many transactions to live; returns how many died.
async fn with_short_lives(crew: &mut Crew, lives: i64, id: hostler_common::id::SessionId) -> u32 {
    let mut deaths = 0;
    loop {
        let fuse = Arc::new(Fuse(AtomicI64::new(lives)));
        crew.restart().await;
        crew.engine.store = crew.engine.store.clone().gated(Arc::clone(&fuse) as _);
        loop {
            match crew.step().await {
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
        let deaths = with_short_lives(&mut crew, lives, id).await;
        assert!(deaths > 2, "{deaths}");
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
        with_short_lives(&mut crew, lives, id).await;
        assert_eq!(crew.state(id).await, State::MaintenanceDone, "{:?}", crew.rows(id).await);
        assert_eq!(crew.compute.performed(&instance), 1);
        assert_eq!(crew.compute.host_of(&instance), Some(crew.hosts[1]));
    }
}
