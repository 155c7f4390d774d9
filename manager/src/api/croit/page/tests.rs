//! Tests of pages over rows in memory.

use serde_json::{Value, json};

use super::{Columns, Kind, Plan, Row, column};

const COLUMNS: Columns = &[
    column("id", Kind::Number),
    column("name", Kind::Text),
    column("at", Kind::Date),
    column("on", Kind::Flag),
    column("ids", Kind::List),
];

fn rows() -> Vec<Row> {
    let all = json!([
        {"id": 2, "name": "beta", "at": "2026-01-02T03:04:05Z", "on": true, "ids": [1, 2]},
        {"id": 10, "name": "Alpha", "at": "2026-01-02T05:04:05+02:00", "on": false, "ids": []},
        {"id": 9, "name": null, "at": null, "on": false, "ids": [3]},
    ]);
    serde_json::from_value(all).unwrap()
}

fn ids(pagination: Value) -> Vec<i64> {
    let plan = Plan::read(COLUMNS, Some(&pagination.to_string())).unwrap();
    plan.page(rows()).data.iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

fn found(condition: Value) -> Vec<i64> {
    ids(json!({ "where": condition }))
}

#[test]
fn numbers_and_moments_compare_as_such() {
    assert_eq!(found(json!({"id": {"_gt": "2"}})), [10, 9]);
    assert_eq!(found(json!({"id": {"_gte": "2", "_lt": 10}})), [2, 9]);
    assert_eq!(found(json!({"at": {"_gt": "2026-01-02T03:04:04Z"}})), [2, 10]);
    assert_eq!(found(json!({"at": {"_eq": "2026-01-02T03:04:05.000Z"}})), [2, 10], "the same moment in another zone");
    assert_eq!(found(json!({"on": {"_eq": "true"}})), [2]);
    assert_eq!(ids(json!({"sortBy": [{"column": "id", "order": "DESC"}]})), [10, 9, 2]);
    assert_eq!(ids(json!({"sortBy": [["on", "ASC"], ["id", "ASC"]]})), [9, 10, 2]);
    assert_eq!(ids(json!({"sortBy": [{"column": "name"}]})), [9, 10, 2], "nothing comes first");
}

#[test]
fn conditions_combine() {
    assert_eq!(found(json!({})), [2, 10, 9]);
    assert_eq!(found(json!([])), [2, 10, 9]);
    assert_eq!(found(json!([{"id": {"_gt": "2"}}, {"id": {"_lt": "10"}}])), [9]);
    assert_eq!(found(json!({"_or": [{"id": {"_eq": "2"}}, {"id": {"_eq": "9"}}]})), [2, 9]);
    assert_eq!(found(json!({"_not": {"id": {"_eq": "2"}}})), [10, 9]);
    assert_eq!(found(json!({"_and": [{"on": {"_eq": "false"}}], "id": {"_neq": "9"}})), [10]);
    assert_eq!(found(json!({"_search": "ALPHA"})), [10]);
    assert_eq!(found(json!({"_or": []})), [0_i64; 0]);
}

#[test]
fn texts_and_lists() {
    assert_eq!(found(json!({"name": {"_contains": "lph"}})), [10]);
    assert_eq!(found(json!({"name": {"_regex": "^(b|A)"}})), [2, 10]);
    assert_eq!(found(json!({"name": {"_in": "[\"beta\",\"x\"]"}})), [2]);
    assert_eq!(found(json!({"name": {"_in": "x, beta"}})), [2]);
    assert_eq!(found(json!({"name": {"_in": "the Alphabet"}})), [10], "part of the text");
    assert_eq!(found(json!({"name": {"_nin": ["beta"]}})), [10, 9]);
    assert_eq!(found(json!({"id": {"_in": "2,9"}})), [2, 9]);
    assert_eq!(found(json!({"ids": {"_contains": "3"}})), [9]);
    assert_eq!(found(json!({"name": {"_neq": "beta"}})), [10, 9]);
}

#[test]
fn pages_are_cut_after_the_filter() {
    let plan = Plan::read(COLUMNS, Some(r#"{"after":1,"limit":1,"where":{"id":{"_lt":"10"}},"sortBy":[]}"#)).unwrap();
    let page = plan.page(rows());
    assert_eq!((page.total, page.after, page.limit, page.data.len()), (2, 1, Some(1), 1));
    assert_eq!(page.data[0]["id"], 9);
    let all = Plan::read(COLUMNS, None).unwrap().page(rows());
    assert_eq!((all.total, all.limit, all.data.len()), (3, None, 3));
}

#[test]
fn what_is_wrong_is_refused() {
    for bad in [
        json!([]),
        json!({"after": -1}),
        json!({"limit": "x"}),
        json!({"where": {"other": {"_eq": "1"}}}),
        json!({"where": {"id": {"_like": "1"}}}),
        json!({"where": {"id": {"_eq": "x"}}}),
        json!({"where": {"at": {"_gt": "yesterday"}}}),
        json!({"where": {"name": {"_regex": "("}}}),
        json!({"where": {"name": {"_regex": "(((a{100}){100}){100})"}}}),
        json!({"where": {"_and": {}}}),
        json!({"where": "x"}),
        json!({"sortBy": [{"column": "other"}]}),
        json!({"sortBy": [{"column": "id", "order": "UP"}]}),
        json!({"where": {"_or": vec![json!({"id": {"_eq": "1"}}); 300]}}),
    ] {
        let error = Plan::read(COLUMNS, Some(&bad.to_string())).unwrap_err();
        assert_eq!(error.status(), 400, "{bad}");
    }
    assert!(Plan::read(COLUMNS, Some("{")).is_err());
}
