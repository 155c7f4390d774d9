//! Events, and requests that are remembered by a key.

use hostler_common::id::EventNumber;
use hostler_core::machine::Event;
use hostler_manager::store::Store;
use hostler_manager::store::event::{event_insert, event_list, event_prune};
use hostler_manager::store::idempotency::{Entry, key_find, key_insert};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};
use serde_json::{Value, json};

use super::{UNICODE, at, long};

on_both!(
    events_come_back_in_their_order,
    numbers_are_gapless_and_in_the_order_of_commits,
    old_events_are_pruned_and_numbers_go_on,
    the_first_of_two_with_a_key_stays,
    old_keys_are_forgotten,
);

async fn add(store: &Store, seconds: i64, actor: Option<&'static str>, data: Value) -> EventNumber {
    let event = Event { kind: "test.event", subject: UNICODE.into(), data };
    commit!(store, tx => event_insert(tx, at(seconds), actor, &event).await).unwrap()
}

async fn events_come_back_in_their_order(bed: Bed) {
    let store = bed.open().await.unwrap();
    let big = json!({ "text": UNICODE, "nul": "\u{0}", "big": long(1 << 20), "null": null });
    assert_eq!(add(&store, 9, Some("admin"), big.clone()).await, EventNumber(1));
    for n in 2..=5 {
        assert_eq!(add(&store, 9 - n, None, json!({})).await, EventNumber(n));
    }
    let mut connection = store.read().await.unwrap();
    let all = event_list(&mut connection, EventNumber(0), 99).await.unwrap();
    assert_eq!(all.iter().map(|event| event.number.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!((all[0].at, all[0].kind.as_str(), all[0].subject.as_str()), (at(9), "test.event", UNICODE));
    assert_eq!((all[0].actor.as_deref(), all[1].actor.as_deref()), (Some("admin"), None));
    assert!(all[0].data == big);
    let page = event_list(&mut connection, EventNumber(2), 2).await.unwrap();
    assert_eq!(page.iter().map(|event| event.number.0).collect::<Vec<_>>(), [3, 4]);
    assert!(event_list(&mut connection, EventNumber(5), 2).await.unwrap().is_empty());
}

async fn numbers_are_gapless_and_in_the_order_of_commits(bed: Bed) {
    let store = bed.open().await.unwrap();
    let writers = (0..8).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut taken = Vec::new();
            for n in 0..25 {
                let event = Event { kind: "test.event", subject: format!("{writer}"), data: json!({}) };
                let done = commit!(store, tx => {
                    let number = event_insert(tx, at(0), None, &event).await?;
                    if n % 5 == 4 {
                        return Err(hostler_manager::store::Error::Moved);
                    }
                    Ok(number)
                });
                if let Ok(number) = done {
                    // Whoever follows events by number misses none: all smaller ones are to be seen now.
                    let mut connection = store.read().await.unwrap();
                    let all = event_list(&mut connection, EventNumber(0), 10_000).await.unwrap();
                    let seen = i64::try_from(all.len()).unwrap();
                    assert!(seen >= number.0, "{seen} events are there after {number} was committed");
                    taken.push(number.0);
                }
            }
            taken
        })
    });
    let mut all = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        let taken = writer.await.unwrap();
        assert!(taken.is_sorted());
        all.extend(taken);
    }
    all.sort_unstable();
    assert_eq!(all, (1..=160).collect::<Vec<_>>(), "refused transactions use no number");
}

async fn old_events_are_pruned_and_numbers_go_on(bed: Bed) {
    let store = bed.open().await.unwrap();
    for seconds in [1, 2, 3, 4] {
        add(&store, seconds, None, json!({})).await;
    }
    assert_eq!(commit!(store, tx => event_prune(tx, at(3), 99).await).unwrap(), 2);
    assert_eq!(commit!(store, tx => event_prune(tx, at(9), 99).await).unwrap(), 2);
    assert!(event_list(&mut store.read().await.unwrap(), EventNumber(0), 9).await.unwrap().is_empty());
    assert_eq!(add(&store, 5, None, json!({})).await, EventNumber(5));
}

fn entry(request: &str) -> Entry {
    Entry { request: request.into(), outcome: format!("outcome of {request}") }
}

async fn the_first_of_two_with_a_key_stays(bed: Bed) {
    let store = bed.open().await.unwrap();
    for request in ["first", "second"] {
        commit!(store, tx => key_insert(tx, "key", &entry(request), at(5), at(0)).await).unwrap();
    }
    let mut connection = store.read().await.unwrap();
    assert_eq!(key_find(&mut connection, "key", at(5)).await.unwrap(), Some(entry("first")));
    assert_eq!(key_find(&mut connection, "KEY", at(0)).await.unwrap(), None);
    assert_eq!(key_find(&mut connection, "key", at(6)).await.unwrap(), None, "it is from before");
}

async fn old_keys_are_forgotten(bed: Bed) {
    let store = bed.open().await.unwrap();
    commit!(store, tx => {
        key_insert(tx, "old", &entry("old"), at(1), at(0)).await?;
        key_insert(tx, "young", &entry("young"), at(3), at(0)).await?;
        key_insert(tx, "new", &entry("new"), at(4), at(2)).await
    })
    .unwrap();
    let mut connection = store.read().await.unwrap();
    assert_eq!(key_find(&mut connection, "old", at(0)).await.unwrap(), None);
    assert_eq!(key_find(&mut connection, "young", at(0)).await.unwrap(), Some(entry("young")));
    drop(connection);
    // A key whose time is over can be used again.
    commit!(store, tx => key_insert(tx, "young", &entry("again"), at(9), at(8)).await).unwrap();
    let found = key_find(&mut store.read().await.unwrap(), "young", at(8)).await.unwrap();
    assert_eq!(found, Some(entry("again")));
}
