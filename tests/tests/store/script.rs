//! Scripts of the library, their revisions, and scripts that were given verbatim.

use hostler_common::id::{ScriptId, TaskId};
use hostler_common::script::{Digest, ScriptRef};
use hostler_core::run::{Origin, Spec};
use hostler_manager::store::script::{
    Revision, Script, contents_find, revision_find, revision_insert, revision_list, script_by_name, script_delete,
    script_find, script_insert, script_list, script_number, script_update, verbatim_find, verbatim_prune,
};
use hostler_manager::store::target::run_insert;
use hostler_manager::store::{Error, Store};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};

use super::{UNICODE, at, long};

on_both!(
    a_script_has_a_unique_name,
    revisions_are_kept_with_their_contents,
    a_script_takes_its_revisions_along,
    verbatim_scripts_are_known_by_their_bytes,
    verbatim_scripts_go_when_no_run_names_them,
);

/// Stores the script of that name at revision 1, without contents.
pub(super) async fn some_script(store: &Store, name: &'static str) -> ScriptId {
    commit!(store, tx => {
        let id = script_number(tx).await?;
        script_insert(tx, &Script { id, name: name.into(), revision: 1, created_at: at(1) }).await?;
        Ok(id)
    })
    .unwrap()
}

/// A revision whose digest has this byte everywhere.
pub(super) fn revision(id: Option<ScriptId>, number: u32, digest: u8) -> Revision {
    let script = ScriptRef {
        id,
        name: UNICODE.replace(['\n', '\u{1}'], ""),
        revision: number,
        digest: Digest([digest; 32]),
        signature: "5151".into(),
    };
    Revision { script, size: 77, author: UNICODE.into(), at: at(number.into()) }
}

pub(super) async fn add(store: &Store, revision: Revision, contents: String) -> Result<(), Error> {
    commit!(store, tx => revision_insert(tx, &revision, &contents).await)
}

async fn a_script_has_a_unique_name(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (one, two) = (some_script(&store, UNICODE).await, some_script(&store, "b").await);
    assert_eq!((one, two), (ScriptId(1), ScriptId(2)));
    let mut renamed = Script { id: two, name: UNICODE.into(), revision: 2, created_at: at(1) };
    let (taken, free) = (renamed.clone(), Script { name: "c".into(), ..renamed.clone() });
    let twice = commit!(store, tx => script_update(tx, &taken).await);
    assert!(matches!(twice, Err(Error::Exists(_))), "{twice:?}");
    renamed.name = "c".into();
    commit!(store, tx => script_update(tx, &free).await).unwrap();
    let mut connection = store.read().await.unwrap();
    assert_eq!(script_find(&mut connection, two).await.unwrap(), Some(renamed.clone()));
    assert_eq!(script_by_name(&mut connection, "c").await.unwrap(), Some(renamed));
    assert_eq!(script_by_name(&mut connection, "b").await.unwrap(), None);
    assert_eq!(script_find(&mut connection, ScriptId(9)).await.unwrap(), None);
    let names: Vec<String> = script_list(&mut connection).await.unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(names, [UNICODE, "c"]);
}

async fn revisions_are_kept_with_their_contents(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = some_script(&store, "a").await;
    let contents = format!("#!/bin/sh\n{}{}", UNICODE, long(1 << 18));
    for (number, digest, contents) in [(2, 8, "two".to_owned()), (1, 7, contents.clone())] {
        add(&store, revision(Some(id), number, digest), contents).await.unwrap();
    }
    let twice = add(&store, revision(Some(id), 2, 9), String::new()).await;
    assert!(matches!(twice, Err(Error::Exists(_))), "{twice:?}");
    let mut connection = store.read().await.unwrap();
    assert_eq!(revision_find(&mut connection, id, 1).await.unwrap(), Some(revision(Some(id), 1, 7)));
    assert_eq!(revision_find(&mut connection, id, 3).await.unwrap(), None);
    let all = revision_list(&mut connection, id).await.unwrap();
    assert_eq!(all, [revision(Some(id), 1, 7), revision(Some(id), 2, 8)]);
    assert!(contents_find(&mut connection, &Digest([7; 32])).await.unwrap() == Some(contents));
    assert_eq!(contents_find(&mut connection, &Digest([9; 32])).await.unwrap(), None);
}

async fn a_script_takes_its_revisions_along(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = some_script(&store, "a").await;
    add(&store, revision(Some(id), 1, 7), "a".into()).await.unwrap();
    assert!(commit!(store, tx => script_delete(tx, id).await).unwrap());
    assert!(!commit!(store, tx => script_delete(tx, id).await).unwrap());
    assert!(revision_list(&mut store.read().await.unwrap(), id).await.unwrap().is_empty());
    assert!(some_script(&store, "a").await > id, "numbers are not used again");
}

async fn verbatim_scripts_are_known_by_their_bytes(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = some_script(&store, "a").await;
    add(&store, revision(Some(id), 1, 7), "same".into()).await.unwrap();
    // One of the library is none, though it has the same bytes.
    assert_eq!(verbatim_find(&mut store.read().await.unwrap(), &Digest([7; 32])).await.unwrap(), None);
    add(&store, revision(None, 1, 7), "same".into()).await.unwrap();
    add(&store, revision(None, 1, 8), "other".into()).await.unwrap();
    let mut connection = store.read().await.unwrap();
    let found = verbatim_find(&mut connection, &Digest([7; 32])).await.unwrap();
    assert_eq!(found, Some(revision(None, 1, 7)));
    assert_eq!(contents_find(&mut connection, &Digest([8; 32])).await.unwrap().as_deref(), Some("other"));
}

async fn verbatim_scripts_go_when_no_run_names_them(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = some_script(&store, "a").await;
    add(&store, revision(Some(id), 1, 6), "library".into()).await.unwrap();
    for digest in [7, 8, 9, 10] {
        add(&store, revision(None, 1, digest), format!("{digest}")).await.unwrap();
    }
    let late = Revision { at: at(99), ..revision(None, 1, 11) };
    add(&store, late, "late".into()).await.unwrap();
    let named = revision(None, 1, 8).script;
    commit!(store, tx => {
        let spec = Spec::new("a", named, Vec::new(), Origin::Verbatim);
        run_insert(tx, TaskId(1), "s", &spec, &[]).await
    })
    .unwrap();
    for expected in [2, 1, 0] {
        assert_eq!(commit!(store, tx => verbatim_prune(tx, at(50), 2).await).unwrap(), expected);
    }
    let mut connection = store.read().await.unwrap();
    let mut left = Vec::new();
    for digest in 6..=11 {
        left.extend(contents_find(&mut connection, &Digest([digest; 32])).await.unwrap());
    }
    assert_eq!(left, ["library", "8", "late"]);
}
