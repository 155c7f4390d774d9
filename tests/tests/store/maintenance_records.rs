//! What others ask for around sessions of maintenance: constraints, groups, plug-ins, those who listen, URLs of gates.

use std::collections::BTreeSet;

use hostler_core::maintenance::constraint::{GroupConstraint, InstanceConstraint};
use hostler_core::maintenance::instance::MoveAction;
use hostler_core::maintenance::plugin::Manifest;
use hostler_core::maintenance::stay::UrlAnswer;
use hostler_manager::store::maintenance::{
    Plugin, constraint_all, constraint_delete, constraint_find, constraint_list, constraint_put, group_all,
    group_delete, group_find, group_list, group_put, listened, listener_delete, listener_prune, listener_put,
    listener_put_in, plugin_all, plugin_delete, plugin_find, plugin_list, plugin_put, plugins_with_scripts,
    url_answered, url_answers, url_due, url_prune, url_want,
};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};

use super::maintenance::session_id;
use super::script::{add, revision, some_script};
use super::{UNICODE, at};

on_both!(
    constraints_are_replaced_and_removed,
    groups_say_how_many_still_name_them,
    plugins_know_the_newest_revision_of_their_scripts,
    somebody_listens_in_one_session_or_in_all,
    urls_are_asked_while_somebody_waits,
);

fn constraint(id: &str, project: &str) -> InstanceConstraint {
    InstanceConstraint {
        instance_id: id.into(),
        project_id: project.into(),
        group_id: Some("g".into()),
        instance_name: Some(UNICODE.into()),
        max_interruption_time: 1,
        migration_type: MoveAction::OwnAction,
        resource_mitigation: true,
        lead_time: u32::MAX,
    }
}

fn group(id: &str, project: &str) -> GroupConstraint {
    GroupConstraint {
        group_id: id.into(),
        project_id: project.into(),
        group_name: Some(UNICODE.into()),
        anti_affinity_group: true,
        max_instances_per_host: 1,
        max_impacted_members: 2,
        recovery_time: 3,
        resource_mitigation: false,
    }
}

async fn constraints_are_replaced_and_removed(bed: Bed) {
    let store = bed.open().await.unwrap();
    commit!(store, tx => {
        for (id, project) in [("b", "p"), ("a", "q"), ("b", "q"), ("c", "r")] {
            constraint_put(tx, &constraint(id, project), at(1)).await?;
        }
        Ok(())
    })
    .unwrap();
    let mut connection = store.read().await.unwrap();
    assert_eq!(constraint_find(&mut connection, "b").await.unwrap(), Some(constraint("b", "q")));
    assert_eq!(constraint_find(&mut connection, "x").await.unwrap(), None);
    let of_q = constraint_list(&mut connection, Some("q")).await.unwrap();
    assert_eq!(of_q, [constraint("a", "q"), constraint("b", "q")]);
    assert_eq!(constraint_all(&mut connection).await.unwrap().len(), 3);
    drop(connection);
    assert!(commit!(store, tx => constraint_delete(tx, "a").await).unwrap());
    assert!(!commit!(store, tx => constraint_delete(tx, "a").await).unwrap());
    assert_eq!(constraint_list(&mut store.read().await.unwrap(), None).await.unwrap().len(), 2);
}

async fn groups_say_how_many_still_name_them(bed: Bed) {
    let store = bed.open().await.unwrap();
    commit!(store, tx => {
        group_put(tx, &group("g", "p"), at(1)).await?;
        group_put(tx, &group("g", "q"), at(2)).await?;
        group_put(tx, &group("h", "p"), at(2)).await?;
        constraint_put(tx, &constraint("a", "q"), at(1)).await
    })
    .unwrap();
    let mut connection = store.read().await.unwrap();
    assert_eq!(group_find(&mut connection, "g").await.unwrap(), Some(group("g", "q")));
    assert_eq!(group_list(&mut connection, Some("p")).await.unwrap(), [group("h", "p")]);
    assert_eq!(group_all(&mut connection).await.unwrap().len(), 2);
    drop(connection);
    assert_eq!(commit!(store, tx => group_delete(tx, "g").await).unwrap(), Some(1));
    assert_eq!(commit!(store, tx => group_delete(tx, "h").await).unwrap(), Some(0));
    assert_eq!(commit!(store, tx => group_delete(tx, "h").await).unwrap(), None);
}

async fn plugins_know_the_newest_revision_of_their_scripts(bed: Bed) {
    let store = bed.open().await.unwrap();
    let script = some_script(&store, "script").await;
    add(&store, revision(Some(script), 1, 7), "echo".into()).await.unwrap();
    let plugin = move |name: &str, script| {
        let manifest = Manifest { name: name.into(), description: UNICODE.into(), ..Manifest::default() };
        Plugin { name: name.into(), script, manifest, updated_at: at(3) }
    };
    commit!(store, tx => {
        plugin_put(tx, &plugin("b", script)).await?;
        plugin_put(tx, &plugin("a", hostler_common::id::ScriptId(999))).await?;
        plugin_put(tx, &plugin("a", hostler_common::id::ScriptId(998))).await
    })
    .unwrap();
    let mut connection = store.read().await.unwrap();
    let names: Vec<String> = plugin_list(&mut connection).await.unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(plugin_find(&mut connection, "b").await.unwrap(), Some(plugin("b", script)));
    assert_eq!(plugin_all(&mut connection).await.unwrap()["a"].description, UNICODE);
    let found = plugins_with_scripts(&mut connection).await.unwrap();
    assert_eq!(found["a"].1, None, "its script is gone");
    let known = found["b"].1.as_ref().unwrap();
    assert_eq!((known.id, known.revision), (Some(script), 1));
    drop(connection);
    assert!(commit!(store, tx => plugin_delete(tx, "a").await).unwrap());
    assert!(!commit!(store, tx => plugin_delete(tx, "a").await).unwrap());
}

async fn somebody_listens_in_one_session_or_in_all(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (one, two) = (session_id(1), session_id(2));
    commit!(store, tx => {
        listener_put(tx, "always", "webhook/1", None).await?;
        listener_put(tx, "both", "webhook/1", None).await?;
        listener_put(tx, "soon over", "events/", Some(at(5))).await?;
        listener_put(tx, "soon over", "events/", Some(at(10))).await?;
        listener_put_in(tx, "one", Some(one), "events/1", Some(at(100))).await
    })
    .unwrap();
    let now = async |session, second| listened(&mut store.read().await.unwrap(), session, at(second)).await.unwrap();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    assert_eq!(now(one, 9).await, names(&["always", "both", "soon over", "one"]));
    assert_eq!(now(two, 10).await, names(&["always", "both"]));
    commit!(store, tx => listener_delete(tx, "webhook/1").await).unwrap();
    assert_eq!(now(one, 10).await, names(&["one"]));
    assert_eq!(commit!(store, tx => listener_prune(tx, at(50), 9).await).unwrap(), 1);
    assert_eq!(now(one, 0).await, names(&["one"]));
}

async fn urls_are_asked_while_somebody_waits(bed: Bed) {
    let store = bed.open().await.unwrap();
    let urls = || vec!["https://a".to_owned(), "https://b".to_owned()];
    let (wanted, asked) = (urls(), UrlAnswer { at: at(20), status: Ok(200) });
    commit!(store, tx => {
        url_want(tx, &wanted, at(1)).await?;
        url_want(tx, &wanted[1..], at(10)).await?;
        url_answered(tx, "https://a", &asked, at(20)).await
    })
    .unwrap();
    let mut connection = store.read().await.unwrap();
    let answers = url_answers(&mut connection, &urls()).await.unwrap();
    assert_eq!(
        answers.into_iter().collect::<Vec<_>>(),
        [("https://a".into(), UrlAnswer { at: at(20), status: Ok(200) })]
    );
    assert!(url_answers(&mut connection, &[]).await.unwrap().is_empty());
    assert_eq!(url_due(&mut connection, at(0), at(15), 9).await.unwrap(), ["https://b"]);
    let both = ["https://b", "https://a"];
    assert_eq!(url_due(&mut connection, at(0), at(30), 9).await.unwrap(), both, "who waits longest comes first");
    assert_eq!(url_due(&mut connection, at(0), at(30), 1).await.unwrap(), both[..1]);
    assert!(url_due(&mut connection, at(10), at(30), 9).await.unwrap().is_empty(), "nobody wants them any more");
    drop(connection);
    let failed = UrlAnswer { at: at(30), status: Err(UNICODE.into()) };
    let written = failed.clone();
    commit!(store, tx => url_answered(tx, "https://b", &written, at(30)).await).unwrap();
    let answers = url_answers(&mut store.read().await.unwrap(), &urls()).await.unwrap();
    assert_eq!(answers["https://b"], failed);
    assert_eq!(commit!(store, tx => url_prune(tx, at(5), 9).await).unwrap(), 1);
    assert_eq!(url_answers(&mut store.read().await.unwrap(), &urls()).await.unwrap().len(), 1);
}
