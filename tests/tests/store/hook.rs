//! Hooks.

use std::collections::BTreeMap;

use hostler_common::hook::{HookPoint, OnFailure};
use hostler_common::id::{HookId, ScriptId};
use hostler_manager::store::hook::{
    Details, NewHook, hook_delete, hook_find, hook_insert, hook_list, hook_of_point, hook_update,
};
use hostler_manager::store::host::host_delete;
use hostler_manager::store::script::{Script, script_delete, script_update};
use hostler_manager::store::{Error, Store};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};

use super::script::{add as add_revision, revision, some_script};
use super::{UNICODE, at, host_id, some_host};

on_both!(
    a_hook_comes_back_as_it_was,
    a_hook_is_written_over,
    hooks_of_a_moment_are_in_their_order,
    a_hook_runs_what_it_is_pinned_to,
    hooks_go_with_their_script_and_forget_hosts,
);

fn new(script: ScriptId, point: HookPoint) -> NewHook {
    let map = |name: &str| BTreeMap::from([(name.to_owned(), UNICODE.to_owned())]);
    NewHook {
        script,
        revision: None,
        point,
        all_hosts: false,
        hosts: Vec::new(),
        enabled: true,
        order: 100,
        details: Details {
            on_failure: OnFailure::Warn,
            timeout_s: 77,
            run_as: Some("nobody".into()),
            env: map("A"),
            secrets: map("key"),
            max_parallel: Some(3),
            stdin_json: true,
            external: true,
            leave_children: true,
        },
    }
}

/// The script `name` with one revision.
async fn script(store: &Store, name: &'static str) -> ScriptId {
    let id = some_script(store, name).await;
    add_revision(store, revision(Some(id), 1, 7), "one".into()).await.unwrap();
    id
}

async fn add(store: &Store, new: NewHook) -> Result<HookId, Error> {
    commit!(store, tx => hook_insert(tx, &new, at(5)).await)
}

async fn a_hook_comes_back_as_it_was(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (script, one, two) = (script(&store, "a").await, some_host(&store, 1).await, some_host(&store, 2).await);
    let hook = NewHook { hosts: vec![two, one], order: -7, ..new(script, HookPoint::PreDaemonStart) };
    let id = add(&store, hook.clone()).await.unwrap();
    let mut connection = store.read().await.unwrap();
    let found = hook_find(&mut connection, id).await.unwrap().unwrap();
    assert_eq!((found.as_new(), found.created_at, found.pinned, found.hook.id), (hook.clone(), at(5), None, id));
    assert_eq!(found.hook.script, revision(Some(script), 1, 7).script);
    assert!(hook_find(&mut connection, HookId(9)).await.unwrap().is_none());
    drop(connection);
    let twice = add(&store, hook.clone()).await;
    assert!(matches!(twice, Err(Error::Exists(_))), "{twice:?}");
    let nowhere = add(&store, NewHook { hosts: vec![host_id(9)], point: HookPoint::OnAudit, ..hook }).await;
    assert!(nowhere.is_err(), "{nowhere:?}");
}

async fn a_hook_is_written_over(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (script, one, two) = (script(&store, "a").await, some_host(&store, 1).await, some_host(&store, 2).await);
    let first = NewHook { hosts: vec![one], ..new(script, HookPoint::PreDaemonStart) };
    let id = add(&store, first).await.unwrap();
    add(&store, new(script, HookPoint::OnAudit)).await.unwrap();
    let taken = new(script, HookPoint::OnAudit);
    let twice = commit!(store, tx => hook_update(tx, id, &taken).await);
    assert!(matches!(twice, Err(Error::Exists(_))), "{twice:?}");
    let mut next = new(script, HookPoint::PostDaemonStart);
    (next.all_hosts, next.hosts, next.enabled, next.revision) = (true, vec![two, one], false, Some(1));
    next.details = Details { run_as: None, env: BTreeMap::new(), max_parallel: None, ..next.details };
    let written = next.clone();
    commit!(store, tx => hook_update(tx, id, &written).await).unwrap();
    let found = hook_find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap();
    assert_eq!((found.as_new(), found.created_at), (next, at(5)));
}

async fn hooks_of_a_moment_are_in_their_order(bed: Bed) {
    let store = bed.open().await.unwrap();
    let host = some_host(&store, 1).await;
    for (name, order, enabled) in [("a", 5, true), ("b", 1, true), ("c", 1, true), ("d", 0, false)] {
        let script = script(&store, name).await;
        add(&store, NewHook { order, enabled, hosts: vec![host], ..new(script, HookPoint::OnAudit) }).await.unwrap();
    }
    add(&store, new(ScriptId(1), HookPoint::PostFormatDisk)).await.unwrap();
    let mut connection = store.read().await.unwrap();
    let found = hook_of_point(&mut connection, HookPoint::OnAudit).await.unwrap();
    assert_eq!(found.iter().map(|hook| hook.id.0).collect::<Vec<_>>(), [2, 3, 1]);
    assert!(found.iter().all(|hook| hook.hosts == [host]));
    assert!(hook_of_point(&mut connection, HookPoint::PreFormatDisk).await.unwrap().is_empty());
    let all = hook_list(&mut connection).await.unwrap();
    assert_eq!(all.iter().map(|stored| stored.hook.id.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!((all[3].hook.hosts.as_slice(), all[4].hook.hosts.as_slice()), (&[host][..], &[][..]));
}

async fn a_hook_runs_what_it_is_pinned_to(bed: Bed) {
    let store = bed.open().await.unwrap();
    let script = script(&store, "a").await;
    add_revision(&store, revision(Some(script), 2, 8), "two".into()).await.unwrap();
    let newer = Script { id: script, name: "a".into(), revision: 2, created_at: at(1) };
    commit!(store, tx => script_update(tx, &newer).await).unwrap();
    let pinned = NewHook { revision: Some(1), ..new(script, HookPoint::OnAudit) };
    add(&store, pinned).await.unwrap();
    add(&store, new(script, HookPoint::PreFormatDisk)).await.unwrap();
    let all = hook_list(&mut store.read().await.unwrap()).await.unwrap();
    let revisions: Vec<_> = all.iter().map(|stored| (stored.pinned, stored.hook.script.revision)).collect();
    assert_eq!(revisions, [(Some(1), 1), (None, 2)]);
}

async fn hooks_go_with_their_script_and_forget_hosts(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (one, two) = (script(&store, "a").await, script(&store, "b").await);
    let (host, other) = (some_host(&store, 1).await, some_host(&store, 2).await);
    let gone = add(&store, NewHook { hosts: vec![host], ..new(one, HookPoint::OnAudit) }).await.unwrap();
    let kept = add(&store, NewHook { hosts: vec![host, other], ..new(two, HookPoint::OnAudit) }).await.unwrap();
    let deleted = add(&store, new(two, HookPoint::PreFormatDisk)).await.unwrap();
    commit!(store, tx => script_delete(tx, one).await).unwrap();
    commit!(store, tx => host_delete(tx, host, at(9)).await).unwrap();
    assert!(commit!(store, tx => hook_delete(tx, deleted).await).unwrap());
    assert!(!commit!(store, tx => hook_delete(tx, deleted).await).unwrap());
    let mut connection = store.read().await.unwrap();
    assert!(hook_find(&mut connection, gone).await.unwrap().is_none());
    assert_eq!(hook_find(&mut connection, kept).await.unwrap().unwrap().hook.hosts, [other]);
}
