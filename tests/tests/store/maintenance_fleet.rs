//! What sessions of maintenance know of the fleet, and what they have to themselves.

use std::collections::BTreeMap;

use hostler_common::id::{HostId, MachineId};
use hostler_core::machine::WHEN_ONLINE;
use hostler_core::maintenance::host::{HostPhase, Role, SessionHost};
use hostler_core::maintenance::instance::MoveAction;
use hostler_core::maintenance::stay::LOOK;
use hostler_core::maintenance::word::MoveOrder;
use hostler_manager::store::cluster::{Reach, reach_put};
use hostler_manager::store::host::{Greeting, host_insert, host_online};
use hostler_manager::store::machine::{machine_insert, timer_next, timer_set};
use hostler_manager::store::maintenance::{
    OrderState, Seat, StorageLock, ceph_hosts, fleet_all, host_put_all, lock_hosts, locks_of, management, order_abort,
    order_begun, order_end, order_open, order_put, seat_find, service_all, service_find, service_put_all, stay_hurry,
    storage_hurry, storage_lock, storage_lock_find, storage_unlock, unlock_hosts,
};
use hostler_manager::store::{Error, Store};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};
use uuid::Uuid;

use super::maintenance::{row, some_session};
use super::{at, host_id, some_host};

on_both!(
    hosts_are_seen_with_all_that_counts,
    a_host_is_in_one_session,
    the_storage_of_a_cluster_is_one_stays,
    scheduling_is_fenced_and_given_back,
    stays_are_hurried,
    orders_are_made_once_and_ended_once,
);

const FSID: &str = "0a1b2c3d-0000-4000-8000-000000000001";

async fn online(store: &Store, host: HostId) {
    let hello = Greeting { version: "1".into(), boot_id: "boot-1".into(), address: "192.0.2.1:1".into() };
    commit!(store, tx => host_online(tx, host, &hello, at(1)).await).unwrap();
}

async fn reaches(store: &Store, host: HostId) {
    let reach = Reach { fsid: Some(FSID.into()), degraded: false };
    commit!(store, tx => reach_put(tx, host, &reach).await).unwrap();
}

async fn hosts_are_seen_with_all_that_counts(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (one, two, three) = (some_host(&store, 1).await, some_host(&store, 2).await, host_id(3));
    let roles = vec!["compute".to_owned(), "management".to_owned()];
    commit!(store, tx => host_insert(tx, three, "Mgr", &roles, at(0)).await).unwrap();
    for host in [one, three] {
        online(&store, host).await;
        reaches(&store, host).await;
    }
    let session = some_session(&store, 1).await;
    commit!(store, tx => {
        lock_hosts(tx, session, &[one], at(1)).await?;
        service_put_all(tx, &[(two, Some("mine".into()))], at(1)).await
    })
    .unwrap();
    let mut connection = store.read().await.unwrap();
    let fleet = fleet_all(&mut connection, Some("mgr")).await.unwrap();
    assert_eq!(fleet.iter().map(|host| host.host).collect::<Vec<_>>(), [one, two, three]);
    assert_eq!((fleet[0].connected, fleet[0].locked_by), (true, Some(session.0)));
    assert_eq!((fleet[1].connected, fleet[1].disabled.as_deref()), (false, Some("mine")));
    assert_eq!((fleet[2].manager, fleet[2].cluster.as_deref()), (true, Some(FSID)));
    assert_eq!(fleet[2].roles, [Role::Compute, Role::Controller].into());
    let seat = seat_find(&mut connection, three).await.unwrap().unwrap();
    let want = Seat { connected: true, boot_id: Some("boot-1".into()), disabled: None, fsid: Some(FSID.into()) };
    assert_eq!(seat, want);
    assert_eq!(seat_find(&mut connection, host_id(9)).await.unwrap(), None);
    assert_eq!(ceph_hosts(&mut connection, FSID).await.unwrap(), [three, one], "those in no session first");
    assert_eq!(management(&mut connection, None).await.unwrap(), Some(three));
    assert_eq!(management(&mut connection, Some("HOST-1")).await.unwrap(), Some(one));
    assert_eq!(management(&mut connection, Some("host-2")).await.unwrap(), Some(three), "it is not there");
}

async fn a_host_is_in_one_session(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (one, two) = (some_session(&store, 1).await, some_session(&store, 2).await);
    let mut hosts = Vec::new();
    for n in 1..=3 {
        hosts.push(some_host(&store, n).await);
    }
    let (all, some) = (hosts.clone(), hosts[..2].to_vec());
    commit!(store, tx => lock_hosts(tx, one, &some, at(1)).await).unwrap();
    let again = hosts[..1].to_vec();
    commit!(store, tx => lock_hosts(tx, one, &again, at(2)).await).unwrap();
    let refused = commit!(store, tx => lock_hosts(tx, two, &all, at(3)).await).unwrap_err();
    assert!(
        matches!(&refused, Error::Refused(_, text) if text.contains("host-1") && text.contains("host-2")),
        "{refused:?}"
    );
    let locks = async || locks_of(&mut store.read().await.unwrap()).await.unwrap();
    assert_eq!(locks().await, BTreeMap::from([(hosts[0], one), (hosts[1], one)]), "nothing was taken");
    let (foreign, own) = (hosts.clone(), hosts[..1].to_vec());
    commit!(store, tx => unlock_hosts(tx, two, &foreign).await).unwrap();
    commit!(store, tx => unlock_hosts(tx, one, &own).await).unwrap();
    assert_eq!(locks().await, BTreeMap::from([(hosts[1], one)]));
}

async fn the_storage_of_a_cluster_is_one_stays(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (one, two) = (some_session(&store, 1).await, some_session(&store, 2).await);
    let lock = |session, n| StorageLock { fsid: FSID.into(), session, host: host_id(n) };
    let (mine, again) = (lock(one, 1), lock(one, 1));
    commit!(store, tx => storage_lock(tx, &mine, at(1)).await).unwrap();
    commit!(store, tx => storage_lock(tx, &again, at(2)).await).unwrap();
    for other in [lock(one, 2), lock(two, 1)] {
        let taken = commit!(store, tx => storage_lock(tx, &other, at(3)).await);
        assert!(matches!(taken, Err(Error::Moved)), "{taken:?}");
    }
    assert!(!commit!(store, tx => storage_unlock(tx, FSID, two, None).await).unwrap());
    assert!(!commit!(store, tx => storage_unlock(tx, FSID, one, Some(host_id(2))).await).unwrap());
    let found = storage_lock_find(&mut store.read().await.unwrap(), FSID).await.unwrap();
    assert_eq!(found, Some(lock(one, 1)));
    assert!(commit!(store, tx => storage_unlock(tx, FSID, one, Some(host_id(1))).await).unwrap());
    assert_eq!(storage_lock_find(&mut store.read().await.unwrap(), FSID).await.unwrap(), None);
}

async fn scheduling_is_fenced_and_given_back(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (one, two) = (some_host(&store, 1).await, some_host(&store, 2).await);
    commit!(store, tx => service_put_all(tx, &[(one, Some("a".into())), (two, Some("b".into()))], at(1)).await)
        .unwrap();
    commit!(store, tx => service_put_all(tx, &[(one, None)], at(2)).await).unwrap();
    let mut connection = store.read().await.unwrap();
    assert_eq!(service_find(&mut connection, one).await.unwrap(), None);
    assert_eq!(service_find(&mut connection, two).await.unwrap().as_deref(), Some("b"));
    let all = service_all(&mut connection).await.unwrap();
    assert_eq!(all, BTreeMap::from([(two, ("b".to_owned(), at(1)))]));
}

async fn stays_are_hurried(bed: Bed) {
    let store = bed.open().await.unwrap();
    let session = some_session(&store, 1).await;
    let (one, two) = (some_host(&store, 1).await, some_host(&store, 2).await);
    commit!(store, tx => {
        lock_hosts(tx, session, &[one, two], at(1)).await?;
        let waits = SessionHost { phase: HostPhase::WaitingStorage, ..row(two, None) };
        host_put_all(tx, session, &[row(one, None), waits]).await?;
        for (n, host) in [(1, one), (2, two)] {
            let machine = MachineId(Uuid::from_u128(n));
            machine_insert(tx, machine, "stay", &format!("{session}.{host}"), &(), at(0)).await?;
            timer_set(tx, machine, WHEN_ONLINE, at(900)).await?;
            timer_set(tx, machine, LOOK, at(900)).await?;
        }
        stay_hurry(tx, one, at(5)).await?;
        storage_hurry(tx, at(6)).await
    })
    .unwrap();
    let due = timer_next(&mut store.read().await.unwrap(), 2).await.unwrap();
    let due: Vec<_> = due.iter().map(|timer| (timer.machine.0, timer.name.as_str(), timer.due_at)).collect();
    assert_eq!(due, [(Uuid::from_u128(1), WHEN_ONLINE, at(5)), (Uuid::from_u128(2), LOOK, at(6))]);
}

async fn orders_are_made_once_and_ended_once(bed: Bed) {
    let store = bed.open().await.unwrap();
    let session = some_session(&store, 1).await;
    let order = |instance: &str| MoveOrder {
        session: session.0,
        instance: instance.into(),
        from: host_id(1),
        to: None,
        others: vec![host_id(2)],
        action: MoveAction::Migrate,
        max_interruption: Some(3),
        timeout: 9,
    };
    let (first, mover) = (Uuid::from_u128(1), Uuid::from_u128(9));
    let (a, b, c) = (order("a"), order("b"), order("c"));
    commit!(store, tx => {
        order_put(tx, first, mover, &a, at(1)).await?;
        order_put(tx, first, mover, &b, at(2)).await?;
        order_put(tx, Uuid::from_u128(2), mover, &c, at(3)).await?;
        order_begun(tx, first).await?;
        order_abort(tx, first).await
    })
    .unwrap();
    let open = async || order_open(&mut store.read().await.unwrap(), 9).await.unwrap();
    let found = open().await;
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].id, found[0].mover, &found[0].document), (first, mover, &order("a")));
    assert_eq!((found[0].state, found[0].abort), (OrderState::Begun, true));
    assert_eq!((found[1].state, found[1].abort), (OrderState::Ordered, false));
    assert!(commit!(store, tx => order_end(tx, first).await).unwrap());
    assert!(!commit!(store, tx => order_end(tx, first).await).unwrap());
    commit!(store, tx => order_begun(tx, first).await).unwrap();
    assert_eq!(open().await.len(), 1, "what ended does not begin again");
}
