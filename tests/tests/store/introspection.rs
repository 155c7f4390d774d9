//! Records of introspections, their documents, and the search for a host by its addresses.

use hostler_common::id::HostId;
use hostler_core::introspection::Introspection;
use hostler_core::introspection::node::{Node, Port};
use hostler_core::introspection::state::State;
use hostler_manager::store::host::{AgentState, host_set_node, host_set_state};
use hostler_manager::store::introspection::{
    DataKind, data_etags, data_find, data_put, status_find, status_list, status_of_numbers, status_put,
};
use hostler_manager::store::lookup::lookup_candidates;
use hostler_manager::store::{Error, Store};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{UNICODE, at, host_id, long, some_host};

on_both!(
    a_record_is_written_over_the_one_before,
    pages_go_from_the_newest_to_the_oldest,
    records_of_a_page_of_hosts,
    documents_are_kept_by_kind,
    a_host_is_found_by_its_addresses,
    a_host_is_found_among_very_many_addresses,
    signs_of_patterns_in_addresses_are_plain,
);

fn run(host: HostId, state: State, started: i64) -> Introspection {
    Introspection { run: 1, state, started_at: at(started), ..Introspection::new(host) }
}

async fn put(store: &Store, machine: &Introspection) {
    let machine = machine.clone();
    commit!(store, tx => status_put(tx, &machine).await).unwrap();
}

async fn a_record_is_written_over_the_one_before(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = some_host(&store, 1).await;
    assert!(status_find(&mut store.read().await.unwrap(), id).await.unwrap().is_none());
    let failed = Introspection {
        finished_at: Some(at(2)),
        error: Some(format!("nul \u{0} {UNICODE}")),
        ..run(id, State::Error, 1)
    };
    put(&store, &failed).await;
    let status = status_find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap();
    assert_eq!((status.host, status.state, status.started_at), (id, State::Error, at(1)));
    assert_eq!(status.finished_at, Some(at(2)));
    assert!(status.error.unwrap().ends_with(UNICODE));
    for state in State::ALL {
        put(&store, &run(id, state, 3)).await;
        let status = status_find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap();
        assert_eq!((status.state, status.started_at), (state, at(3)));
        assert_eq!((status.finished_at, status.error), (None, None));
    }
    let nobody = run(host_id(9), State::Error, 1);
    let orphan = commit!(store, tx => status_put(tx, &nobody).await);
    assert!(matches!(orphan, Err(Error::Broken(_))), "a record needs a host: {orphan:?}");
}

async fn pages_go_from_the_newest_to_the_oldest(bed: Bed) {
    let store = bed.open().await.unwrap();
    // Three of them start at the same moment: then the host decides.
    let started = [(1, 30), (2, 10), (3, 20), (4, 20), (5, 20), (6, 5)];
    for (n, seconds) in started {
        let id = some_host(&store, n).await;
        let state = if n % 2 == 0 { State::Finished } else { State::Error };
        put(&store, &run(id, state, seconds)).await;
    }
    let expected = [1, 5, 4, 3, 2, 6].map(host_id);
    for size in 1..=7 {
        let (mut seen, mut position) = (Vec::new(), None);
        loop {
            let mut connection = store.read().await.unwrap();
            let page = status_list(&mut connection, position, &[], size).await.unwrap();
            let Some(last) = page.last() else { break };
            position = Some((last.started_at, last.host));
            seen.extend(page.iter().map(|status| status.host));
        }
        assert_eq!(seen, expected, "pages of {size}");
    }
    let mut connection = store.read().await.unwrap();
    let hosts = |page: Vec<hostler_manager::store::introspection::Status>| -> Vec<HostId> {
        page.into_iter().map(|status| status.host).collect()
    };
    let even = status_list(&mut connection, None, &[State::Finished], 9).await.unwrap();
    assert_eq!(hosts(even), [4, 2, 6].map(host_id));
    let both = [State::Finished, State::Error];
    assert_eq!(hosts(status_list(&mut connection, None, &both, 9).await.unwrap()), expected);
    assert!(status_list(&mut connection, None, &[State::Waiting], 9).await.unwrap().is_empty());
    let after = Some((at(20), host_id(4)));
    assert_eq!(hosts(status_list(&mut connection, after, &[State::Error], 9).await.unwrap()), [host_id(3)]);
}

async fn records_of_a_page_of_hosts(bed: Bed) {
    let store = bed.open().await.unwrap();
    for n in 1..=6 {
        let id = some_host(&store, n).await;
        if n != 4 {
            put(&store, &run(id, State::Waiting, 1)).await;
        }
    }
    let mut connection = store.read().await.unwrap();
    let found = status_of_numbers(&mut connection, 3, 5).await.unwrap();
    let mut hosts: Vec<_> = found.keys().copied().collect();
    hosts.sort();
    assert_eq!(hosts, [host_id(3), host_id(5)]);
    assert!(found.iter().all(|(host, status)| status.host == *host));
    assert!(status_of_numbers(&mut connection, 7, 99).await.unwrap().is_empty());
}

async fn documents_are_kept_by_kind(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = some_host(&store, 1).await;
    let raw = json!({ "text": UNICODE, "nul": "\u{0}", "z": 1, "a": { "big": long(1 << 20) } });
    let written = raw.clone();
    commit!(store, tx => {
        data_put(tx, id, DataKind::Unprocessed, &json!({ "old": true }), at(1)).await?;
        data_put(tx, id, DataKind::Unprocessed, &written, at(2)).await?;
        data_put(tx, id, DataKind::Processed, &json!({ "done": true }), at(3)).await
    })
    .unwrap();
    let mut connection = store.read().await.unwrap();
    let unprocessed = data_find(&mut connection, id, DataKind::Unprocessed).await.unwrap().unwrap();
    assert_eq!(unprocessed.text, serde_json::to_string(&raw).unwrap(), "byte for byte, with the order of the keys");
    assert_eq!(unprocessed.etag, hex::encode(Sha256::digest(raw.to_string())));
    assert_eq!(unprocessed.stored_at, at(2));
    let processed = data_find(&mut connection, id, DataKind::Processed).await.unwrap().unwrap();
    assert_eq!((processed.text.as_str(), processed.stored_at), ("{\"done\":true}", at(3)));
    assert!(data_find(&mut connection, host_id(2), DataKind::Processed).await.unwrap().is_none());
    let etags = data_etags(&mut connection).await.unwrap();
    assert_eq!(etags.into_iter().collect::<Vec<_>>(), [(id, processed.etag)], "those of processed documents");
}

async fn with_port(store: &Store, n: u128, address: &str) -> HostId {
    let id = some_host(store, n).await;
    let mut node = Node::new(id, format!("host-{n}"));
    node.ports.push(Port {
        address: address.into(),
        pxe_enabled: false,
        local_link_connection: serde_json::Map::new(),
        physical_network: None,
        extra: serde_json::Map::new(),
    });
    commit!(store, tx => host_set_node(tx, id, &node).await).unwrap();
    id
}

async fn found(store: &Store, addresses: &[&str], all: bool) -> Vec<HostId> {
    let addresses: Vec<String> = addresses.iter().map(|&text| text.to_owned()).collect();
    let mut connection = store.read().await.unwrap();
    let candidates = lookup_candidates(&mut connection, &addresses, all).await.unwrap();
    let mut hosts: Vec<HostId> = candidates.into_iter().map(|candidate| candidate.host).collect();
    hosts.sort();
    hosts
}

async fn a_host_is_found_by_its_addresses(bed: Bed) {
    let store = bed.open().await.unwrap();
    let ported = with_port(&store, 1, "52:54:00:aa:00:01").await;
    let reported = some_host(&store, 2).await;
    let revoked = with_port(&store, 3, "52:54:00:aa:00:03").await;
    commit!(store, tx => {
        data_put(tx, reported, DataKind::Processed, &json!({ "mac": "52:54:00:AA:00:02" }), at(0)).await?;
        data_put(tx, reported, DataKind::Unprocessed, &json!({ "mac": "52:54:00:aa:00:01" }), at(0)).await?;
        host_set_state(tx, revoked, AgentState::Revoked).await
    })
    .unwrap();
    assert_eq!(found(&store, &["52:54:00:AA:00:01"], true).await, [ported]);
    assert_eq!(found(&store, &["52:54:00:aa:00:02", "52:54:00:aa:00:01"], true).await, [ported, reported]);
    assert!(found(&store, &["52:54:00:aa:00:03"], true).await.is_empty());
    assert!(found(&store, &[], true).await.is_empty());
    for state in State::ALL {
        put(&store, &run(ported, state, 1)).await;
        let awaits = matches!(state, State::Starting | State::Waiting | State::Processing);
        let hosts = found(&store, &["52:54:00:aa:00:01", "52:54:00:aa:00:02"], false).await;
        assert_eq!(hosts, if awaits { vec![ported] } else { vec![] }, "{state}");
    }
}

async fn a_host_is_found_among_very_many_addresses(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = with_port(&store, 1, "52:54:00:aa:07:cf").await;
    let texts: Vec<String> = (0..2000).map(|n| format!("52:54:00:aa:{:02x}:{:02x}", n / 256, n % 256)).collect();
    let addresses: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert_eq!(found(&store, &addresses, true).await, [id]);
}

async fn signs_of_patterns_in_addresses_are_plain(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = with_port(&store, 1, "bmc_7.example.net").await;
    assert_eq!(found(&store, &["bmc_7.example.net"], true).await, [id]);
    assert!(found(&store, &["%7.example.net%host%"], true).await.is_empty());
    assert!(found(&store, &["nothing\\"], true).await.is_empty());
}
