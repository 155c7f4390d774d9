//! Ceph clusters: who reaches them, who watches them.

use hostler_manager::store::cluster::{
    Reach, cluster_candidates, reach_find, reach_of_numbers, reach_put, watched_by, watcher_put,
};
use hostler_manager::store::host::{Greeting, host_delete, host_offline, host_online};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};

use super::{at, some_host};

on_both!(candidates_are_connected_and_reach_the_cluster, a_cluster_has_one_watcher_and_it_goes_with_its_host);

fn reach(fsid: &str) -> Reach {
    Reach { fsid: Some(fsid.to_owned()), degraded: true }
}

async fn candidates_are_connected_and_reach_the_cluster(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (one, two, three) = (some_host(&store, 1).await, some_host(&store, 2).await, some_host(&store, 3).await);
    let hello = Greeting { version: "1".into(), boot_id: "b".into(), address: "192.0.2.1".into() };
    for host in [one, two, three] {
        let hello = hello.clone();
        commit!(store, tx => host_online(tx, host, &hello, at(1)).await).unwrap();
    }
    commit!(store, tx => reach_put(tx, one, &reach("a")).await).unwrap();
    commit!(store, tx => reach_put(tx, one, &reach("b")).await).unwrap();
    commit!(store, tx => reach_put(tx, two, &reach("b")).await).unwrap();
    commit!(store, tx => reach_put(tx, three, &Reach::default()).await).unwrap();
    let mut connection = store.read().await.unwrap();
    assert_eq!(reach_find(&mut connection, one).await.unwrap(), reach("b"));
    assert_eq!(reach_find(&mut connection, three).await.unwrap(), Reach::default());
    let reaches = reach_of_numbers(&mut connection, 2, 3).await.unwrap();
    assert_eq!(reaches, [(two, reach("b")), (three, Reach::default())].into());
    assert_eq!(cluster_candidates(&mut connection, "a").await.unwrap(), []);
    let found = cluster_candidates(&mut connection, "b").await.unwrap();
    assert_eq!(found.iter().map(|candidate| candidate.host).collect::<Vec<_>>(), [one, two]);
    drop(connection);
    commit!(store, tx => host_offline(tx, one, at(1), at(2)).await).unwrap();
    let found = cluster_candidates(&mut store.read().await.unwrap(), "b").await.unwrap();
    assert_eq!(found.iter().map(|candidate| candidate.host).collect::<Vec<_>>(), [two]);
}

async fn a_cluster_has_one_watcher_and_it_goes_with_its_host(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (one, two) = (some_host(&store, 1).await, some_host(&store, 2).await);
    commit!(store, tx => watcher_put(tx, "b", Some(one)).await).unwrap();
    commit!(store, tx => watcher_put(tx, "a", Some(one)).await).unwrap();
    assert_eq!(watched_by(&mut store.read().await.unwrap(), one).await.unwrap(), ["a", "b"]);
    commit!(store, tx => watcher_put(tx, "b", Some(two)).await).unwrap();
    assert_eq!(watched_by(&mut store.read().await.unwrap(), one).await.unwrap(), ["a"]);
    commit!(store, tx => watcher_put(tx, "a", None).await).unwrap();
    assert_eq!(watched_by(&mut store.read().await.unwrap(), one).await.unwrap(), [""; 0]);
    commit!(store, tx => host_delete(tx, two, at(2)).await).unwrap();
    assert_eq!(watched_by(&mut store.read().await.unwrap(), two).await.unwrap(), [""; 0]);
}
