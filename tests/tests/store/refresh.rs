//! What refreshes keep: ages, changes, facts to compare by, held data; and the rows by which they give way.

use std::collections::BTreeMap;
use std::time::Duration;

use hostler_common::id::{InventoryId, JobId, MachineId};
use hostler_common::job::{JobSpec, JobState, Work};
use hostler_core::introspection::merge::Read;
use hostler_core::introspection::summary::Identity;
use hostler_manager::store::drift::{Kind, drift_list, drift_outliers, drift_values, fact_put};
use hostler_manager::store::held::{HeldInfo, held_delete, held_document, held_find, held_of_numbers, held_put};
use hostler_manager::store::host::{Greeting, Portrait, host_fetch, host_online, host_set_identity, host_set_portrait};
use hostler_manager::store::inventory::{
    Delta, NewInventory, delta_insert, delta_list, delta_prune, inventory_exists, inventory_insert, inventory_newest,
    inventory_renew,
};
use hostler_manager::store::job::{job_find, job_forget, job_insert, job_probes, job_update, job_yield};
use hostler_manager::store::join_token::{certificate_insert, certificate_prune, join_token_prune};
use hostler_manager::store::machine::{machine_insert, machine_missing, timer_hurry, timer_next, timer_set};
use hostler_manager::store::section::{section_list, section_of_numbers, section_put, section_retain};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};
use serde_json::json;
use uuid::Uuid;

use super::{UNICODE, at, some_host};

on_both!(
    ages_are_kept_by_section,
    held_data_wait_and_the_identity_is_what_was_accepted,
    the_newest_inventory_is_renewed_and_changes_are_kept,
    hosts_of_a_kind_are_compared,
    jobs_give_way_and_are_forgotten,
    ended_things_are_pruned_within_a_limit,
);

fn read(name: &str) -> Read {
    Read { name: name.into(), ttl_s: 600, status: "ok".into() }
}

async fn ages_are_kept_by_section(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = some_host(&store, 1).await;
    commit!(store, tx => section_put(tx, id, &[read("net"), read("cpu")], at(1)).await).unwrap();
    commit!(store, tx => section_put(tx, id, &[read("net")], at(2)).await).unwrap();
    let mut connection = store.read().await.unwrap();
    let marks = section_list(&mut connection, id).await.unwrap();
    let seen: Vec<_> = marks.iter().map(|mark| (mark.name.as_str(), mark.collected_at)).collect();
    assert_eq!(seen, [("cpu", at(1)), ("net", at(2))]);
    assert_eq!(section_of_numbers(&mut connection, 1, 1).await.unwrap()[&id], marks);
    assert!(section_of_numbers(&mut connection, 2, 9).await.unwrap().is_empty());
    commit!(store, tx => section_retain(tx, id, &["net".to_owned()]).await).unwrap();
    assert_eq!(section_list(&mut connection, id).await.unwrap().len(), 1);
}

async fn held_data_wait_and_the_identity_is_what_was_accepted(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = some_host(&store, 1).await;
    let identity = |serial: &str| Identity { system_uuid: None, serial: Some(serial.into()) };
    let info = HeldInfo { known: identity("a"), found: identity(UNICODE), held_at: at(3) };
    let (put, document) = (info.clone(), json!({ "z": UNICODE }));
    commit!(store, tx => held_put(tx, id, &put, &json!({})).await).unwrap();
    let (put, kept) = (info.clone(), document.clone());
    commit!(store, tx => held_put(tx, id, &put, &kept).await).unwrap();
    let mut connection = store.read().await.unwrap();
    assert_eq!(held_find(&mut connection, id).await.unwrap(), Some(info.clone()));
    assert_eq!(held_of_numbers(&mut connection, 1, 1).await.unwrap()[&id], info);
    assert_eq!(held_document(&mut connection, id).await.unwrap(), Some(document));
    assert!(commit!(store, tx => held_delete(tx, id).await).unwrap());
    assert!(!commit!(store, tx => held_delete(tx, id).await).unwrap());
    commit!(store, tx => host_set_identity(tx, id, &identity("b")).await).unwrap();
    assert_eq!(host_fetch(&mut connection, id).await.unwrap().identity, identity("b"));
}

async fn the_newest_inventory_is_renewed_and_changes_are_kept(bed: Bed) {
    let store = bed.open().await.unwrap();
    let host = some_host(&store, 1).await;
    let id = InventoryId(Uuid::from_u128(5));
    assert!(!inventory_exists(&mut store.read().await.unwrap(), host).await.unwrap());
    commit!(store, tx => {
        let new = NewInventory { id, host, hash: "h", sections: &json!({}), processed: "{}", unprocessed: "1" };
        inventory_insert(tx, &new, 3, at(0)).await?;
        inventory_renew(tx, id, &json!({ "cpu": "ok" }), "{\"a\":1}", "2").await
    })
    .unwrap();
    let mut connection = store.read().await.unwrap();
    assert!(inventory_exists(&mut connection, host).await.unwrap());
    let newest = inventory_newest(&mut connection, host).await.unwrap().unwrap();
    assert_eq!((newest.id, newest.hash.as_str()), (id, "h"));
    assert_eq!((newest.processed.as_str(), newest.unprocessed.as_str()), ("{\"a\":1}", "2"));
    for n in 1..=3 {
        let inventory = InventoryId(Uuid::from_u128(n));
        let at = at(i64::try_from(n).unwrap());
        let delta = Delta { inventory, at, severity: "info".into(), changes: json!([UNICODE]) };
        commit!(store, tx => delta_insert(tx, host, &delta).await).unwrap();
    }
    let list = delta_list(&mut connection, host, Some(InventoryId(Uuid::from_u128(3))), 9).await.unwrap();
    assert_eq!(list.iter().map(|delta| delta.at).collect::<Vec<_>>(), [at(2), at(1)]);
    assert_eq!(list[0].changes, json!([UNICODE]));
    assert_eq!(commit!(store, tx => delta_prune(tx, at(3), 1).await).unwrap(), 1);
    assert_eq!(commit!(store, tx => delta_prune(tx, at(3), 9).await).unwrap(), 1);
}

async fn hosts_of_a_kind_are_compared(bed: Bed) {
    let store = bed.open().await.unwrap();
    for (n, value) in [(1, "a"), (2, "a"), (3, "b")] {
        let id = some_host(&store, n).await;
        let portrait = Portrait { summary: json!({}), identity: Identity::default(), model: Some(UNICODE.into()) };
        commit!(store, tx => host_set_portrait(tx, id, &portrait).await).unwrap();
        let facts: BTreeMap<&'static str, String> = [("os.kernel", value.to_owned()), ("cpu.count", "4".into())].into();
        commit!(store, tx => fact_put(tx, id, &facts).await).unwrap();
    }
    let mut connection = store.read().await.unwrap();
    let names = ["cpu.count", "os.kernel"];
    let found = drift_list(&mut connection, Kind::Model, &names, None, 9).await.unwrap();
    assert_eq!((found.len(), found[0].fact.as_str(), found[0].hosts, found[0].values), (1, "os.kernel", 3, 2));
    let after = Some((found[0].kind.clone(), found[0].fact.clone()));
    assert!(drift_list(&mut connection, Kind::Model, &names, after, 9).await.unwrap().is_empty());
    assert!(drift_list(&mut connection, Kind::Roles, &names, None, 9).await.unwrap().is_empty(), "without roles");
    let values = drift_values(&mut connection, Kind::Model, &found[0], 9).await.unwrap();
    assert_eq!(values, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    let odd = drift_outliers(&mut connection, Kind::Model, &found[0], Some("a"), 9).await.unwrap();
    assert_eq!((odd.len(), odd[0].name.as_str(), odd[0].value.as_str()), (1, "host-3", "b"));
    assert_eq!(drift_outliers(&mut connection, Kind::Model, &found[0], None, 9).await.unwrap().len(), 3);
}

async fn jobs_give_way_and_are_forgotten(bed: Bed) {
    let store = bed.open().await.unwrap();
    let host = some_host(&store, 1).await;
    let (machine, job) = (MachineId(Uuid::from_u128(1)), JobId(Uuid::from_u128(2)));
    assert_eq!(machine_missing(&mut store.read().await.unwrap(), "refresh", 9).await.unwrap(), [host.to_string()]);
    let work = Work::Introspect { sections: Vec::new() };
    let spec = JobSpec { id: job, host, work, deadline: Duration::from_secs(1) };
    commit!(store, tx => {
        machine_insert(tx, machine, "refresh", &host.to_string(), &json!({}), at(0)).await?;
        timer_set(tx, machine, "when_online", at(500)).await?;
        job_insert(tx, machine, &spec, at(0)).await
    })
    .unwrap();
    assert!(machine_missing(&mut store.read().await.unwrap(), "refresh", 9).await.unwrap().is_empty());
    assert_eq!(commit!(store, tx => job_probes(tx).await).unwrap(), (0, 1), "the host is away");
    let hello = Greeting { version: "1".into(), boot_id: "b".into(), address: "x".into() };
    commit!(store, tx => host_online(tx, host, &hello, at(9)).await).unwrap();
    assert_eq!(timer_next(&mut store.read().await.unwrap(), 9).await.unwrap()[0].due_at, at(9));
    commit!(store, tx => timer_hurry(tx, &host.to_string(), "when_online", at(20)).await).unwrap();
    assert_eq!(timer_next(&mut store.read().await.unwrap(), 9).await.unwrap()[0].due_at, at(9), "never later");
    assert_eq!(commit!(store, tx => job_probes(tx).await).unwrap(), (1, 1));
    assert!(!commit!(store, tx => job_yield(tx, host, "other").await).unwrap());
    assert!(commit!(store, tx => job_yield(tx, host, "refresh").await).unwrap());
    assert!(job_find(&mut store.read().await.unwrap(), job).await.unwrap().unwrap().cancel);
    commit!(store, tx => job_forget(tx, job).await).unwrap();
    assert!(job_find(&mut store.read().await.unwrap(), job).await.unwrap().is_some(), "it has no outcome yet");
    commit!(store, tx => {
        job_update(tx, job, JobState::Queued, JobState::Cancelled, None, at(9)).await?;
        job_forget(tx, job).await
    })
    .unwrap();
    assert!(job_find(&mut store.read().await.unwrap(), job).await.unwrap().is_none());
}

async fn ended_things_are_pruned_within_a_limit(bed: Bed) {
    let store = bed.open().await.unwrap();
    let host = some_host(&store, 1).await;
    for serial in ["a", "b", "c"] {
        commit!(store, tx => certificate_insert(tx, serial, host, at(0), at(5)).await).unwrap();
    }
    assert_eq!(commit!(store, tx => certificate_prune(tx, at(5), 9).await).unwrap(), 0);
    assert_eq!(commit!(store, tx => certificate_prune(tx, at(6), 2).await).unwrap(), 2);
    assert_eq!(commit!(store, tx => certificate_prune(tx, at(6), 2).await).unwrap(), 1);
    assert_eq!(commit!(store, tx => join_token_prune(tx, at(6), 2).await).unwrap(), 0);
}
