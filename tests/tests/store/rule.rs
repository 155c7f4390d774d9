//! Introspection rules.

use hostler_common::id::RuleId;
use hostler_core::introspection::rules::{Rule, parse};
use hostler_manager::store::rule::{rule_delete, rule_find, rule_insert, rule_list, rule_purge, rule_replace};
use hostler_manager::store::{Error, Store};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};
use serde_json::json;
use uuid::Uuid;

use super::{UNICODE, at, long};

on_both!(
    a_rule_comes_back_as_it_was,
    rules_keep_the_order_of_their_creation,
    a_replaced_rule_keeps_its_place,
    rules_are_removed_one_by_one_or_all,
);

fn rule(n: u128, description: &str) -> Rule {
    let body = json!({
        "description": description,
        "scope": "scope-ä",
        "conditions": [{ "op": "eq", "field": "data://inventory.cpu.count", "value": 4, "multiple": "all" }],
        "actions": [{ "action": "set-attribute", "path": "/extra/note", "value": { "text": UNICODE } }],
    });
    parse(&body).unwrap().with_id(RuleId(Uuid::from_u128(n)))
}

async fn add(store: &Store, n: u128) {
    commit!(store, tx => rule_insert(tx, &rule(n, "r"), at(0)).await).unwrap();
}

async fn order(store: &Store) -> Vec<u128> {
    let rules = rule_list(&mut store.read().await.unwrap()).await.unwrap();
    rules.iter().map(|rule| rule.id.0.as_u128()).collect()
}

async fn a_rule_comes_back_as_it_was(bed: Bed) {
    let store = bed.open().await.unwrap();
    let big = rule(1, &long(1 << 20));
    let written = big.clone();
    commit!(store, tx => rule_insert(tx, &written, at(0)).await).unwrap();
    let found = rule_find(&mut store.read().await.unwrap(), big.id).await.unwrap().unwrap();
    assert!(found.representation() == big.representation());
    assert!(rule_find(&mut store.read().await.unwrap(), RuleId(Uuid::from_u128(2))).await.unwrap().is_none());
    let twice = commit!(store, tx => rule_insert(tx, &big, at(0)).await);
    assert!(matches!(twice, Err(Error::Exists(_))), "{twice:?}");
}

async fn rules_keep_the_order_of_their_creation(bed: Bed) {
    let store = bed.open().await.unwrap();
    for n in [5, 3, 9, 1] {
        add(&store, n).await;
    }
    assert_eq!(order(&store).await, [5, 3, 9, 1]);
}

async fn a_replaced_rule_keeps_its_place(bed: Bed) {
    let store = bed.open().await.unwrap();
    for n in [5, 3, 9] {
        add(&store, n).await;
    }
    assert!(commit!(store, tx => rule_replace(tx, &rule(3, "new")).await).unwrap());
    assert!(!commit!(store, tx => rule_replace(tx, &rule(4, "new")).await).unwrap());
    assert_eq!(order(&store).await, [5, 3, 9]);
    let found = rule_find(&mut store.read().await.unwrap(), RuleId(Uuid::from_u128(3))).await.unwrap().unwrap();
    assert_eq!(found.description.as_deref(), Some("new"));
}

async fn rules_are_removed_one_by_one_or_all(bed: Bed) {
    let store = bed.open().await.unwrap();
    for n in 1..=4 {
        add(&store, n).await;
    }
    let id = RuleId(Uuid::from_u128(4));
    assert!(commit!(store, tx => rule_delete(tx, id).await).unwrap());
    assert!(!commit!(store, tx => rule_delete(tx, id).await).unwrap());
    // A new rule comes last, also after the last was removed.
    add(&store, 9).await;
    assert_eq!(order(&store).await, [1, 2, 3, 9]);
    assert_eq!(commit!(store, tx => rule_purge(tx).await).unwrap(), 4);
    assert_eq!(commit!(store, tx => rule_purge(tx).await).unwrap(), 0);
    assert!(order(&store).await.is_empty());
}
