//! What events say of their cause.

use std::net::IpAddr;

use hostler_common::id::EventNumber;
use hostler_core::machine::Event;
use hostler_manager::store::cause::{Cause, within};
use hostler_manager::store::event::{event_insert, event_list};
use hostler_manager::store::{Result, Store};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};
use serde_json::{Value, json};

use super::at;

on_both!(every_event_has_the_cause_of_its_own_transaction, an_event_that_knows_better_keeps_what_it_says);

async fn tell(store: &Store, n: i64, data: Value) -> Result<EventNumber> {
    let event = Event { kind: "test", subject: n.to_string(), data };
    commit!(store, tx => event_insert(tx, at(n), None, &event).await)
}

fn cause(n: i64) -> Cause {
    let from = (n % 3 != 0).then(|| IpAddr::from([192, 0, 2, u8::try_from(n).unwrap()]));
    Cause { from, request: Some(format!("request-{n}")) }
}

async fn every_event_has_the_cause_of_its_own_transaction(bed: Bed) {
    let store = bed.open().await.unwrap();
    let tasks = (0..40).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            match n % 2 {
                0 => within(cause(n), tell(&store, n, json!({ "own": n }))).await,
                _ => tell(&store, n, json!({ "own": n })).await,
            }
        })
    });
    for done in tasks.collect::<Vec<_>>() {
        done.await.unwrap().unwrap();
    }
    let told = event_list(&mut store.read().await.unwrap(), EventNumber(0), 100).await.unwrap();
    assert_eq!(told.len(), 40);
    for event in told {
        let n: i64 = event.subject.parse().unwrap();
        let mut wanted = json!({ "own": n });
        if n % 2 == 0 {
            wanted["request_id"] = json!(format!("request-{n}"));
            if n % 3 != 0 {
                wanted["from"] = json!(format!("192.0.2.{n}"));
            }
        }
        assert_eq!(event.data, wanted, "event of {n}");
    }
}

async fn an_event_that_knows_better_keeps_what_it_says(bed: Bed) {
    let store = bed.open().await.unwrap();
    for data in [json!({ "from": "here", "request_id": 5 }), Value::Null, json!(["a list"])] {
        within(cause(1), tell(&store, 1, data)).await.unwrap();
    }
    let told = event_list(&mut store.read().await.unwrap(), EventNumber(0), 100).await.unwrap();
    let told: Vec<_> = told.into_iter().map(|event| event.data).collect();
    let noted = json!({ "from": "192.0.2.1", "request_id": "request-1" });
    assert_eq!(told, [json!({ "from": "here", "request_id": 5 }), noted, json!(["a list"])]);
}
