//! Webhooks and the events that they gave up.

use hostler_common::id::{EventNumber, MachineId, WebhookId};
use hostler_core::machine::{Event, Machine as _};
use hostler_core::webhook::Webhook;
use hostler_manager::store::event::{event_before, event_find, event_insert, event_newest};
use hostler_manager::store::machine::machine_insert;
use hostler_manager::store::webhook::{
    DEAD_LETTERS_MAX, DeadLetter, dead_letter_count, dead_letter_delete, dead_letter_exists, dead_letter_list,
    dead_letter_prune, dead_letter_put, webhook_delete, webhook_find, webhook_list, webhook_number,
};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};
use serde_json::json;
use uuid::Uuid;

use super::{UNICODE, at};

on_both!(
    webhooks_are_listed_by_number_and_go_with_their_letters,
    dead_letters_are_kept_in_order_and_bounded,
    events_are_found
);

fn letter(event: i64, second: i64) -> DeadLetter {
    DeadLetter { event: EventNumber(event), at: at(second), attempts: 3, status: Some(503), reason: UNICODE.to_owned() }
}

async fn webhooks_are_listed_by_number_and_go_with_their_letters(bed: Bed) {
    let store = bed.open().await.unwrap();
    let mut made = Vec::new();
    for n in 0..11_u128 {
        let id = commit!(store, tx => webhook_number(tx).await).unwrap();
        let machine = Webhook::fresh(id);
        let subject = id.to_string();
        commit!(store, tx => {
            machine_insert(tx, MachineId(Uuid::from_u128(n)), Webhook::KIND, &subject, &machine, at(0)).await
        })
        .unwrap();
        made.push(id);
    }
    let first = made[0];
    commit!(store, tx => dead_letter_put(tx, first, &letter(1, 1)).await).unwrap();
    let mut connection = store.read().await.unwrap();
    let listed = webhook_list(&mut connection).await.unwrap();
    assert_eq!(listed.iter().map(|webhook| webhook.id).collect::<Vec<_>>(), made);
    assert_eq!(webhook_find(&mut connection, first).await.unwrap().map(|webhook| webhook.id), Some(first));
    drop(connection);
    commit!(store, tx => webhook_delete(tx, first).await).unwrap();
    let mut connection = store.read().await.unwrap();
    assert_eq!(webhook_list(&mut connection).await.unwrap().len(), 10);
    assert!(webhook_find(&mut connection, first).await.unwrap().is_none());
    assert_eq!(dead_letter_count(&mut connection, first).await.unwrap(), 0);
}

async fn dead_letters_are_kept_in_order_and_bounded(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (one, two) = (WebhookId(1), WebhookId(2));
    commit!(store, tx => {
        for event in 1..=DEAD_LETTERS_MAX + 2 {
            dead_letter_put(tx, one, &letter(event, event)).await?;
        }
        dead_letter_put(tx, two, &letter(5, 5)).await
    })
    .unwrap();
    let mut connection = store.read().await.unwrap();
    assert_eq!(dead_letter_count(&mut connection, one).await.unwrap(), DEAD_LETTERS_MAX);
    let listed = dead_letter_list(&mut connection, one, EventNumber(4), 2).await.unwrap();
    assert_eq!(listed, [letter(5, 5), letter(6, 6)]);
    assert!(!dead_letter_exists(&mut connection, one, EventNumber(2)).await.unwrap());
    assert!(dead_letter_exists(&mut connection, one, EventNumber(3)).await.unwrap());
    drop(connection);
    commit!(store, tx => dead_letter_delete(tx, one, EventNumber(3)).await).unwrap();
    assert_eq!(commit!(store, tx => dead_letter_prune(tx, at(8), 3).await).unwrap(), 3);
    let mut connection = store.read().await.unwrap();
    assert_eq!(dead_letter_list(&mut connection, one, EventNumber(0), 1).await.unwrap(), [letter(6, 6)]);
    assert_eq!(dead_letter_count(&mut connection, two).await.unwrap(), 0);
}

async fn events_are_found(bed: Bed) {
    let store = bed.open().await.unwrap();
    assert_eq!(event_newest(&mut store.read().await.unwrap()).await.unwrap(), EventNumber(0));
    let event = Event { kind: "host.deleted", subject: "x".into(), data: json!({ "a": UNICODE }) };
    let number = commit!(store, tx => event_insert(tx, at(1), Some("me"), &event).await).unwrap();
    let mut connection = store.read().await.unwrap();
    assert_eq!(event_newest(&mut connection).await.unwrap(), number);
    let found = event_find(&mut connection, number).await.unwrap().unwrap();
    assert_eq!((found.number, found.kind.as_str(), &found.data["a"]), (number, "host.deleted", &json!(UNICODE)));
    assert!(event_find(&mut connection, EventNumber(99)).await.unwrap().is_none());
    assert_eq!(event_before(&mut connection, at(1)).await.unwrap(), EventNumber(0));
    assert_eq!(event_before(&mut connection, at(2)).await.unwrap(), number);
}
