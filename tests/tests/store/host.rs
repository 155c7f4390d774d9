//! Hosts.

use hostler_common::error::Class;
use hostler_core::introspection::Introspection;
use hostler_core::introspection::node::Node;
use hostler_core::introspection::summary::Identity;
use hostler_core::machine::{Event, TaskEnd};
use hostler_manager::store::host::{
    AgentState, Description, Greeting, Portrait, host_all_offline, host_by_name, host_by_number, host_counts,
    host_delete, host_describe, host_fetch, host_find, host_insert, host_list, host_numbers, host_offline, host_online,
    host_set_certificate, host_set_node, host_set_portrait, host_set_state,
};
use hostler_manager::store::introspection::{DataKind, data_find, data_put, status_find, status_put};
use hostler_manager::store::inventory::{NewInventory, inventory_insert, inventory_list};
use hostler_manager::store::job::{job_find, job_insert};
use hostler_manager::store::join_token::{certificate_find, certificate_insert};
use hostler_manager::store::machine::{machine_insert, machine_subject, timer_next, timer_set};
use hostler_manager::store::task::{NewTask, TaskState, task_close, task_find, task_insert};
use hostler_manager::store::{Error, event};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};
use serde_json::json;

use super::job::spec;
use super::machine::machine_id;
use super::{UNICODE, at, host_id, some_host};

on_both!(
    a_new_host_has_its_defaults,
    names_and_ids_are_taken_once,
    what_operators_say_replaces_only_what_is_given,
    an_agent_comes_and_goes,
    a_revoked_host_does_not_come_online,
    lists_are_pages_in_the_order_of_numbers,
    documents_come_back_as_they_were,
    deleting_takes_everything_but_history,
    deleting_ends_what_is_open,
    what_is_not_there_is_none,
    all_are_named_by_number,
);

fn hello(version: &str) -> Greeting {
    Greeting { version: version.into(), boot_id: "boot-1".into(), address: "192.0.2.7:4711".into() }
}

async fn a_new_host_has_its_defaults(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = host_id(1);
    commit!(store, tx => {
        host_insert(tx, id, "ceph-01", &["storage".into(), "compute".into()], at(3)).await
    })
    .unwrap();
    let host = host_fetch(&mut store.read().await.unwrap(), id).await.unwrap();
    assert_eq!((host.id, host.number, host.name.as_str()), (id, 1, "ceph-01"));
    assert_eq!(host.roles, ["storage", "compute"]);
    assert_eq!((host.labels, host.node), (json!({}), Node::new(id, "ceph-01")));
    assert_eq!((host.agent_state, host.created_at), (AgentState::Enrolled, at(3)));
    assert_eq!((host.description, host.zone, host.summary, host.identity.system_uuid), (None, None, None, None));
    assert_eq!((host.agent_version, host.agent_address, host.boot_id), (None, None, None));
    assert_eq!((host.certificate_serial, host.certificate_expires_at), (None, None));
    assert_eq!((host.connected_at, host.last_seen_at), (None, None));
}

async fn names_and_ids_are_taken_once(bed: Bed) {
    let store = bed.open().await.unwrap();
    some_host(&store, 1).await;
    let name = commit!(store, tx => host_insert(tx, host_id(2), "host-1", &[], at(0)).await);
    assert!(matches!(&name, Err(Error::Exists(_))), "{name:?}");
    let id = commit!(store, tx => host_insert(tx, host_id(1), "other", &[], at(0)).await);
    assert!(matches!(&id, Err(Error::Exists(_))), "{id:?}");
    assert_eq!(name.unwrap_err().class(), Class::Conflict);
    // Numbers are gapless: a refused host used none.
    some_host(&store, 3).await;
    let mut connection = store.read().await.unwrap();
    assert_eq!(host_fetch(&mut connection, host_id(3)).await.unwrap().number, 2);
    // Names differ in the case of their letters.
    drop(connection);
    commit!(store, tx => host_insert(tx, host_id(4), "HOST-1", &[], at(0)).await).unwrap();
}

async fn what_operators_say_replaces_only_what_is_given(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = some_host(&store, 1).await;
    let all = Description {
        description: Some(UNICODE.into()),
        labels: Some(json!({ "rack": UNICODE, "tier": "1" })),
        zone: Some("zone-ä".into()),
        roles: Some(vec!["controller".into()]),
    };
    commit!(store, tx => host_describe(tx, id, &all).await).unwrap();
    commit!(store, tx => host_describe(tx, id, &Description::default()).await).unwrap();
    let host = host_fetch(&mut store.read().await.unwrap(), id).await.unwrap();
    assert_eq!(host.description.as_deref(), Some(UNICODE));
    assert_eq!(host.labels, json!({ "rack": UNICODE, "tier": "1" }));
    assert_eq!((host.zone.as_deref(), host.roles), (Some("zone-ä"), vec!["controller".to_owned()]));
    let less = Description {
        description: Some(String::new()),
        labels: Some(json!({})),
        zone: Some(String::new()),
        roles: Some(Vec::new()),
    };
    commit!(store, tx => host_describe(tx, id, &less).await).unwrap();
    let host = host_fetch(&mut store.read().await.unwrap(), id).await.unwrap();
    assert_eq!((host.description, host.zone, host.labels), (None, None, json!({})));
    assert_eq!(host.roles, Vec::<String>::new());
}

async fn an_agent_comes_and_goes(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = some_host(&store, 1).await;
    commit!(store, tx => host_online(tx, id, &hello("1.2.3"), at(10)).await).unwrap();
    let host = host_fetch(&mut store.read().await.unwrap(), id).await.unwrap();
    assert_eq!(host.agent_state, AgentState::Online);
    assert_eq!((host.agent_version.as_deref(), host.boot_id.as_deref()), (Some("1.2.3"), Some("boot-1")));
    assert_eq!(host.agent_address.as_deref(), Some("192.0.2.7:4711"));
    assert_eq!((host.connected_at, host.last_seen_at), (Some(at(10)), Some(at(10))));
    // A second connection begins before the first is known to be gone: the end of the first changes nothing.
    commit!(store, tx => host_online(tx, id, &hello("1.2.4"), at(20)).await).unwrap();
    assert!(!commit!(store, tx => host_offline(tx, id, at(10), at(21)).await).unwrap());
    assert!(commit!(store, tx => host_offline(tx, id, at(20), at(25)).await).unwrap());
    assert!(!commit!(store, tx => host_offline(tx, id, at(20), at(30)).await).unwrap());
    let host = host_fetch(&mut store.read().await.unwrap(), id).await.unwrap();
    assert_eq!((host.agent_state, host.last_seen_at), (AgentState::Offline, Some(at(25))));
    commit!(store, tx => host_online(tx, id, &hello("1.2.4"), at(40)).await).unwrap();
    let enrolled = some_host(&store, 2).await;
    commit!(store, tx => host_all_offline(tx).await).unwrap();
    let mut connection = store.read().await.unwrap();
    assert_eq!(host_fetch(&mut connection, id).await.unwrap().agent_state, AgentState::Offline);
    assert_eq!(host_fetch(&mut connection, enrolled).await.unwrap().agent_state, AgentState::Enrolled);
}

async fn a_revoked_host_does_not_come_online(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = some_host(&store, 1).await;
    commit!(store, tx => host_set_certificate(tx, id, "0a0b", at(500)).await).unwrap();
    commit!(store, tx => host_set_state(tx, id, AgentState::Revoked).await).unwrap();
    commit!(store, tx => host_online(tx, id, &hello("1"), at(1)).await).unwrap();
    let host = host_fetch(&mut store.read().await.unwrap(), id).await.unwrap();
    assert_eq!((host.agent_state, host.connected_at), (AgentState::Revoked, None));
    assert_eq!((host.certificate_serial.as_deref(), host.certificate_expires_at), (Some("0a0b"), Some(at(500))));
}

async fn lists_are_pages_in_the_order_of_numbers(bed: Bed) {
    let store = bed.open().await.unwrap();
    for n in 1..=7 {
        some_host(&store, 100 - n).await;
    }
    for n in [98, 96, 94] {
        commit!(store, tx => host_online(tx, host_id(n), &hello("1"), at(1)).await).unwrap();
    }
    let mut connection = store.read().await.unwrap();
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let page = host_list(&mut connection, after, None, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 3);
        after = last.number;
        seen.extend(page.iter().map(|host| host.number));
    }
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
    let online = host_list(&mut connection, 2, Some(AgentState::Online), 10).await.unwrap();
    assert_eq!(online.iter().map(|host| host.number).collect::<Vec<_>>(), [4, 6]);
    assert_eq!(host_list(&mut connection, 0, None, 0).await.unwrap().len(), 0);
    let mut counts = host_counts(&mut connection).await.unwrap();
    counts.sort();
    assert_eq!(counts, [("enrolled".to_owned(), 4), ("online".to_owned(), 3)]);
    assert_eq!(host_by_number(&mut connection, 7).await.unwrap(), Some(host_id(93)));
    assert_eq!(host_by_number(&mut connection, 8).await.unwrap(), None);
    assert_eq!(host_by_name(&mut connection, "host-93").await.unwrap(), Some(host_id(93)));
    assert_eq!(host_by_name(&mut connection, "HOST-93").await.unwrap(), None);
}

async fn documents_come_back_as_they_were(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = some_host(&store, 1).await;
    let mut node = Node::new(id, "host-1");
    node.extra.insert("note".into(), json!({ "text": UNICODE, "nul": "a\u{0}b", "big": super::long(1 << 20) }));
    let written = node.clone();
    commit!(store, tx => host_set_node(tx, id, &written).await).unwrap();
    let figures = json!({ "cpus": 4, "none": null, "float": 1.5, "huge": u64::MAX, "text": UNICODE });
    let summary = figures.clone();
    commit!(store, tx => host_set_portrait(tx, id, &portrait(summary, Some("uuid-1"))).await).unwrap();
    // A later inventory without a system UUID leaves the known one.
    commit!(store, tx => host_set_portrait(tx, id, &portrait(json!({}), None)).await).unwrap();
    let host = host_fetch(&mut store.read().await.unwrap(), id).await.unwrap();
    assert_eq!(
        (host.node == node, host.summary, host.identity.system_uuid.as_deref()),
        (true, Some(json!({})), Some("uuid-1"))
    );
    commit!(store, tx => host_set_portrait(tx, id, &portrait(figures, None)).await).unwrap();
    let host = host_fetch(&mut store.read().await.unwrap(), id).await.unwrap();
    assert_eq!(host.summary.unwrap()["huge"], json!(u64::MAX));
}

fn portrait(summary: serde_json::Value, uuid: Option<&str>) -> Portrait {
    let identity = Identity { system_uuid: uuid.map(str::to_owned), serial: None };
    Portrait { summary, identity, model: None }
}

/// Gives the host everything that can hang on one.
async fn furnish(store: &hostler_manager::store::Store, n: u128) {
    let id = host_id(n);
    commit!(store, tx => {
        certificate_insert(tx, &format!("serial-{n}"), id, at(0), at(9)).await?;
        machine_insert(tx, machine_id(n), "introspection", &id.to_string(), &Introspection::new(id), at(0)).await?;
        timer_set(tx, machine_id(n), "deadline", at(5)).await?;
        job_insert(tx, machine_id(n), &spec(n, id), at(0)).await?;
        status_put(tx, &Introspection { run: 1, ..Introspection::new(id) }).await?;
        data_put(tx, id, DataKind::Processed, &json!({}), at(0)).await?;
        let new = NewInventory {
            id: hostler_common::id::InventoryId(uuid::Uuid::from_u128(n)),
            host: id,
            hash: "h",
            sections: &json!({}),
            processed: "{}",
            unprocessed: "{}",
        };
        inventory_insert(tx, &new, 5, at(0)).await?;
        let about = Event { kind: "test", subject: id.to_string(), data: json!({}) };
        event::event_insert(tx, at(0), None, &about).await
    })
    .unwrap();
}

async fn deleting_takes_everything_but_history(bed: Bed) {
    let store = bed.open().await.unwrap();
    for n in [1, 2] {
        some_host(&store, n).await;
        furnish(&store, n).await;
    }
    commit!(store, tx => host_delete(tx, host_id(1), at(1)).await).unwrap();
    let mut connection = store.read().await.unwrap();
    for (n, left) in [(1_u128, false), (2, true)] {
        let id = host_id(n);
        assert_eq!(host_find(&mut connection, id).await.unwrap().is_some(), left);
        assert_eq!(certificate_find(&mut connection, &format!("serial-{n}")).await.unwrap().is_some(), left);
        assert_eq!(machine_subject(&mut connection, machine_id(n)).await.unwrap().is_some(), left);
        assert_eq!(job_find(&mut connection, spec(n, id).id).await.unwrap().is_some(), left);
        assert_eq!(status_find(&mut connection, id).await.unwrap().is_some(), left);
        assert_eq!(data_find(&mut connection, id, DataKind::Processed).await.unwrap().is_some(), left);
        assert_eq!(inventory_list(&mut connection, id, None, 9).await.unwrap().len(), usize::from(left));
    }
    let timers = timer_next(&mut connection, 9).await.unwrap();
    assert_eq!(timers.iter().map(|timer| timer.machine).collect::<Vec<_>>(), [machine_id(2)]);
    let events = event::event_list(&mut connection, hostler_common::id::EventNumber(0), 9).await.unwrap();
    assert_eq!(events.len(), 2, "events are history and stay");
    drop(connection);
    // The name is free again; the number is not used again.
    commit!(store, tx => host_insert(tx, host_id(9), "host-1", &[], at(2)).await).unwrap();
    assert_eq!(host_fetch(&mut store.read().await.unwrap(), host_id(9)).await.unwrap().number, 3);
}

async fn deleting_ends_what_is_open(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (id, other) = (some_host(&store, 1).await, some_host(&store, 2).await);
    let tasks = commit!(store, tx => {
        let new = |host| NewTask {
            kind: "introspection", name: "a run", host: Some(host), machine: machine_id(1), started_by: "me", total: 1,
        };
        let (open, ended) = (task_insert(tx, &new(id), at(0)).await?, task_insert(tx, &new(id), at(0)).await?);
        task_close(tx, ended, TaskEnd::Finished, "fine", at(1)).await?;
        let foreign = task_insert(tx, &new(other), at(0)).await?;
        host_delete(tx, id, at(7)).await?;
        Ok([open, ended, foreign])
    })
    .unwrap();
    let mut connection = store.read().await.unwrap();
    let mut states = Vec::new();
    for task in tasks {
        let task = task_find(&mut connection, task).await.unwrap().unwrap();
        states.push((task.state, task.finished_at));
    }
    assert_eq!(
        states,
        [(TaskState::Canceled, Some(at(7))), (TaskState::Finished, Some(at(1))), (TaskState::Waiting, None)],
        "nothing works on the tasks of a host that is gone"
    );
}

async fn what_is_not_there_is_none(bed: Bed) {
    let store = bed.open().await.unwrap();
    let mut connection = store.read().await.unwrap();
    assert!(host_find(&mut connection, host_id(1)).await.unwrap().is_none());
    let missing = host_fetch(&mut connection, host_id(1)).await.unwrap_err();
    assert_eq!(missing.class(), Class::NotFound);
    assert_eq!(missing.to_string(), format!("Node {} was not found in Ironic", host_id(1)));
    assert_eq!(host_counts(&mut connection).await.unwrap(), []);
    drop(connection);
    commit!(store, tx => host_delete(tx, host_id(1), at(0)).await).unwrap();
    commit!(store, tx => host_set_state(tx, host_id(1), AgentState::Online).await).unwrap();
}

async fn all_are_named_by_number(bed: Bed) {
    let store = bed.open().await.unwrap();
    assert!(host_numbers(&mut store.read().await.unwrap()).await.unwrap().is_empty());
    for n in [7, 3, 5] {
        some_host(&store, n).await;
    }
    let (gone, expected) = (host_id(3), [(host_id(7), 1, "host-7".to_owned()), (host_id(5), 3, "host-5".to_owned())]);
    commit!(store, tx => host_delete(tx, gone, at(1)).await).unwrap();
    assert_eq!(host_numbers(&mut store.read().await.unwrap()).await.unwrap(), expected);
}
