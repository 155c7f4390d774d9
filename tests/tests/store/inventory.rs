//! The history of inventories.

use hostler_common::id::{HostId, InventoryId};
use hostler_manager::store::inventory::{NewInventory, inventory_documents, inventory_insert, inventory_list};
use hostler_manager::store::{Error, Store};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};
use serde_json::json;
use uuid::Uuid;

use super::{UNICODE, at, host_id, long, some_host};

on_both!(an_inventory_comes_back_as_it_was, a_history_is_listed_from_the_newest, the_oldest_go_when_there_are_too_many,);

fn inventory_id(n: i64) -> InventoryId {
    let millis = u64::try_from(at(n).as_micros() / 1000).unwrap();
    InventoryId(uuid::Builder::from_unix_timestamp_millis(millis, &[7; 10]).into_uuid())
}

async fn add(store: &Store, host: HostId, n: i64, keep: u32) -> hostler_manager::store::Result<()> {
    commit!(store, tx => {
        let new = NewInventory {
            id: inventory_id(n),
            host,
            hash: &format!("hash-{n}"),
            sections: &json!({ "cpu": "ok", "disks": UNICODE }),
            processed: &format!("{{\"n\":{n}}}"),
            unprocessed: UNICODE,
        };
        inventory_insert(tx, &new, keep, at(n)).await
    })
}

async fn numbers(store: &Store, host: HostId, before: Option<i64>, limit: u32) -> Vec<String> {
    let mut connection = store.read().await.unwrap();
    let found = inventory_list(&mut connection, host, before.map(inventory_id), limit).await.unwrap();
    found.into_iter().map(|info| info.hash.replace("hash-", "")).collect()
}

async fn an_inventory_comes_back_as_it_was(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = some_host(&store, 1).await;
    add(&store, id, 3, 5).await.unwrap();
    let mut connection = store.read().await.unwrap();
    let info = inventory_list(&mut connection, id, None, 9).await.unwrap().remove(0);
    assert_eq!((info.id, info.host, info.collected_at), (inventory_id(3), id, at(3)));
    assert_eq!((info.hash.as_str(), info.size), ("hash-3", 7));
    assert_eq!(info.sections, json!({ "cpu": "ok", "disks": UNICODE }));
    let documents = inventory_documents(&mut connection, id, inventory_id(3)).await.unwrap();
    assert_eq!(documents, Some(("{\"n\":3}".to_owned(), UNICODE.to_owned())));
    assert_eq!(inventory_documents(&mut connection, host_id(2), inventory_id(3)).await.unwrap(), None);
    assert_eq!(inventory_documents(&mut connection, id, inventory_id(4)).await.unwrap(), None);
    drop(connection);
    let twice = add(&store, id, 3, 5).await;
    assert!(matches!(twice, Err(Error::Exists(_))), "{twice:?}");
    let big = long(1 << 20);
    let text = big.clone();
    commit!(store, tx => {
        let id = InventoryId(Uuid::from_u128(5));
        let host = host_id(1);
        let new = NewInventory { id, host, hash: "h", sections: &json!({}), processed: &text, unprocessed: &text };
        inventory_insert(tx, &new, 9, at(9)).await
    })
    .unwrap();
    let mut connection = store.read().await.unwrap();
    let kept = inventory_documents(&mut connection, id, InventoryId(Uuid::from_u128(5))).await.unwrap().unwrap();
    assert!(kept.0 == big && kept.1 == big);
}

async fn a_history_is_listed_from_the_newest(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (id, other) = (some_host(&store, 1).await, some_host(&store, 2).await);
    for n in [4, 1, 5, 2, 3] {
        add(&store, id, n, 9).await.unwrap();
    }
    add(&store, other, 9, 9).await.unwrap();
    assert_eq!(numbers(&store, id, None, 9).await, ["5", "4", "3", "2", "1"]);
    assert_eq!(numbers(&store, id, None, 2).await, ["5", "4"]);
    assert_eq!(numbers(&store, id, Some(4), 2).await, ["3", "2"]);
    assert!(numbers(&store, id, Some(1), 2).await.is_empty());
    assert!(numbers(&store, host_id(7), None, 2).await.is_empty());
}

async fn the_oldest_go_when_there_are_too_many(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (id, other) = (some_host(&store, 1).await, some_host(&store, 2).await);
    add(&store, other, 1, 3).await.unwrap();
    for n in 2..=8 {
        add(&store, id, n, 3).await.unwrap();
    }
    assert_eq!(numbers(&store, id, None, 9).await, ["8", "7", "6"]);
    assert_eq!(numbers(&store, other, None, 9).await, ["1"], "what another host has does not count");
    add(&store, id, 9, 1).await.unwrap();
    assert_eq!(numbers(&store, id, None, 9).await, ["9"]);
}
