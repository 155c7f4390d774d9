//! The audit trail.

use hostler_manager::store::Store;
use hostler_manager::store::audit::{Entry, audit_find, audit_insert, audit_list, audit_prune};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};

use super::{UNICODE, at, long};

on_both!(an_entry_comes_back_as_it_was, entries_are_listed_newest_first, old_entries_go_in_batches);

fn entry(second: i64) -> Entry {
    Entry {
        id: 0,
        at: at(second),
        category: "events".into(),
        operation: "Run a script on servers.".into(),
        username: UNICODE.into(),
        ip: Some("2001:db8::1".into()),
        method: "POST".into(),
        status: 599,
        endpoint: "/api/events".into(),
        query_params: "a=1".into(),
        body: Some(long(1 << 16)),
        request_id: "req-1".into(),
        from_hook: true,
    }
}

async fn add(store: &Store, entry: Entry) -> i64 {
    commit!(store, tx => audit_insert(tx, &entry).await).unwrap()
}

async fn an_entry_comes_back_as_it_was(bed: Bed) {
    let store = bed.open().await.unwrap();
    let bare = Entry { ip: None, body: None, from_hook: false, username: String::new(), ..entry(2) };
    for (number, entry) in [(1, entry(1)), (2, bare)] {
        assert_eq!(add(&store, entry.clone()).await, number);
        let found = audit_find(&mut store.read().await.unwrap(), number).await.unwrap();
        assert_eq!(found, Some(Entry { id: number, ..entry }));
    }
    assert_eq!(audit_find(&mut store.read().await.unwrap(), 3).await.unwrap(), None);
    // A caller may say anything.
    let id = add(&store, Entry { endpoint: "/a\0b".into(), query_params: "\0".into(), ..entry(3) }).await;
    let found = audit_find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap();
    assert_eq!(found.endpoint.replace('\u{fffd}', "\0"), "/a\0b");
}

async fn entries_are_listed_newest_first(bed: Bed) {
    let store = bed.open().await.unwrap();
    for second in 1..=5 {
        add(&store, entry(second)).await;
    }
    let mut connection = store.read().await.unwrap();
    for (offset, limit, expected) in [(0, 9, vec![5, 4, 3, 2, 1]), (1, 2, vec![4, 3]), (5, 9, vec![]), (0, 0, vec![])] {
        let found = audit_list(&mut connection, offset, limit).await.unwrap();
        assert_eq!(found.iter().map(|entry| entry.id).collect::<Vec<_>>(), expected);
    }
}

async fn old_entries_go_in_batches(bed: Bed) {
    let store = bed.open().await.unwrap();
    for second in [5, 1, 3, 2, 4] {
        add(&store, entry(second)).await;
    }
    for expected in [2, 1, 0] {
        assert_eq!(commit!(store, tx => audit_prune(tx, at(4), 2).await).unwrap(), expected);
    }
    let left = audit_list(&mut store.read().await.unwrap(), 0, 9).await.unwrap();
    assert_eq!(left.iter().map(|entry| entry.at).collect::<Vec<_>>(), [at(4), at(5)]);
}
