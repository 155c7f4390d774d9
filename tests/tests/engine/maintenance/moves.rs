//! Sessions over hosts with instances, which a compute side in memory moves.

use hostler_core::maintenance::instance::{MoveAction, Size};
use hostler_core::maintenance::spec::Leave;
use hostler_core::maintenance::state::State;
use hostler_manager::store::maintenance;
use hostler_tests::both::Bed;
use hostler_tests::on_both;

use super::crew::Crew;

on_both!(
    instances_leave_each_host_before_it_is_worked_on,
    a_move_that_is_refused_is_tried_again,
    a_session_that_is_deleted_leaves_no_move_open,
);

const ROOM: Size = Size { vcpus: 8, memory_mib: 16_384, disk_gib: 100 };

async fn filled(bed: Bed) -> (Crew, Vec<String>) {
    let crew = Crew::new(bed, 3).await;
    for host in &crew.hosts {
        crew.compute.add_host(*host, ROOM);
    }
    // The third host is empty.
    let ids = (0..4).map(|n| crew.instance(n, crew.hosts[n as usize % 2])).collect();
    (crew, ids)
}

async fn instances_leave_each_host_before_it_is_worked_on(bed: Bed) {
    let (mut crew, ids) = filled(bed).await;
    let id = crew.engine.session_create(crew.spec(&["dummy"]), "admin").await.unwrap();
    for _ in 0..10_000 {
        let before = crew.count("dummy");
        crew.step().await.unwrap();
        let after = crew.count("dummy");
        for (n, host) in crew.hosts.iter().enumerate() {
            let worked = after[n] > before[n];
            let full = ids.iter().any(|one| crew.compute.host_of(one) == Some(*host));
            assert!(!(worked && full), "host {n} was worked on with instances");
        }
        if crew.state(id).await.is_terminal() {
            break;
        }
    }
    assert_eq!(crew.state(id).await, State::MaintenanceDone, "{:?}", crew.rows(id).await);
    assert_eq!(crew.count("dummy"), [1, 1, 1]);
    for one in &ids {
        assert!((1..=2).contains(&crew.compute.performed(one)), "{one}: {}", crew.compute.performed(one));
    }
    crew.nothing_left().await;
    let mut connection = crew.engine.store.read().await.unwrap();
    let rows = maintenance::instance_rows(&mut connection, id, Some("tenant")).await.unwrap();
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row.action == Some(MoveAction::LiveMigrate)), "{rows:?}");
}

async fn a_move_that_is_refused_is_tried_again(bed: Bed) {
    let (mut crew, ids) = filled(bed).await;
    crew.compute.refuse(&ids[0], 2);
    let id = crew.engine.session_create(crew.spec(&["dummy"]), "admin").await.unwrap();
    assert_eq!(crew.finish(id).await, State::MaintenanceDone);
    assert!(crew.compute.performed(&ids[0]) >= 1);
    crew.nothing_left().await;
}

async fn a_session_that_is_deleted_leaves_no_move_open(bed: Bed) {
    let (mut crew, _) = filled(bed).await;
    crew.compute.hold(true);
    let id = crew.engine.session_create(crew.spec(&["dummy"]), "admin").await.unwrap();
    for _ in 0..1000 {
        crew.step().await.unwrap();
        if crew.compute.moving() > 0 {
            break;
        }
    }
    assert!(crew.compute.moving() > 0, "{:?}", crew.rows(id).await);
    crew.engine.session_delete(id, Leave::Exit, "admin").await.unwrap();
    for _ in 0..300 {
        if !crew.step().await.unwrap() {
            break;
        }
    }
    crew.compute.finish();
    for _ in 0..300 {
        if !crew.step().await.unwrap() {
            break;
        }
    }
    crew.nothing_left().await;
}
