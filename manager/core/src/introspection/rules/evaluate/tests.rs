use serde_json::{Value, json};

use super::*;
use crate::introspection::rules::parse;

fn node() -> Node {
    Node::new("6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3".parse().unwrap(), "ceph-07")
}

/// Rules with ids 1, 2, ... in that order.
fn rules(bodies: &[Value]) -> Vec<Rule> {
    let with_id = |(number, body): (usize, &Value)| {
        let id = format!("00000000-0000-0000-0000-{:012}", number + 1).parse().unwrap();
        parse(body).unwrap().with_id(id)
    };
    bodies.iter().enumerate().map(with_id).collect()
}

fn append(value: &str) -> Value {
    json!({"action": "extend-attribute", "path": "extra/log", "value": value})
}

#[test]
fn spec_8_7_action_order() {
    let rules = rules(&[
        json!({"actions": [append("1a"), append("1b")]}),
        json!({"conditions": [{"op": "eq", "field": "x", "value": 2}], "actions": [append("2")]}),
        json!({"conditions": [{"op": "eq", "field": "x", "value": 1}], "actions": [append("3a"), append("3b")]}),
    ]);
    let evaluation = run(&rules, &json!({"x": 1}), &node());
    assert_eq!(evaluation.outcome, Ok(()));
    assert_eq!(evaluation.node.extra["log"], json!(["1a", "1b", "3a", "3b"]));
    let applied: Vec<usize> = evaluation.report.iter().map(|entry| entry.actions_applied).collect();
    assert_eq!(applied, [2, 0, 2]);
    assert_eq!(evaluation.report[1].failing_condition, Some(Culprit { index: 0, text: "eq x".to_owned() }));
}

#[test]
fn spec_8_7_conditions_come_before_all_actions() {
    let rules = rules(&[
        json!({"actions": [{"action": "set-attribute", "path": "/extra/seen", "value": 1}]}),
        json!({"conditions": [{"op": "eq", "field": "node://extra.seen", "value": 1}], "actions": [append("reacted")]}),
    ]);
    let first = run(&rules, &json!({}), &node());
    assert_eq!(json!(first.node.extra), json!({"seen": 1}));
    assert!(!first.report[1].matched);
    // The next run sees what the first one did.
    assert_eq!(run(&rules, &json!({}), &first.node).node.extra["log"], json!(["reacted"]));
}

#[test]
fn spec_8_7_scope() {
    let bodies = [
        json!({"actions": [append("all")]}),
        json!({"scope": "", "actions": [append("empty")]}),
        json!({"scope": "gold", "actions": [append("gold")]}),
    ];
    let mut scoped = node();
    scoped.properties.insert("inspection_scope".to_owned(), json!("gold"));
    assert_eq!(run(&rules(&bodies), &json!({}), &scoped).node.extra["log"], json!(["all", "empty", "gold"]));
    for other in [json!(null), json!("Gold"), json!("golden"), json!(5)] {
        scoped.properties.insert("inspection_scope".to_owned(), other);
        let evaluation = run(&rules(&bodies), &json!({}), &scoped);
        assert_eq!(evaluation.node.extra["log"], json!(["all", "empty"]));
        assert!(!evaluation.report[2].in_scope && !evaluation.report[2].matched);
    }
}

#[test]
fn spec_8_7_failure_in_the_middle_takes_all_back() {
    let rules = rules(&[
        json!({"actions": [append("1")]}),
        json!({"description": "d", "actions": [append("2"), {"action": "fail", "message": "boom"}, append("never")]}),
        json!({"actions": [append("3")]}),
    ]);
    let before = node();
    let evaluation = run(&rules, &json!({}), &before);
    assert_eq!(evaluation.outcome, Err(Failure::new("boom")));
    assert_eq!(evaluation.node, before);
    assert!(evaluation.report.iter().all(|entry| entry.matched && entry.actions_applied == 0));
    assert_eq!(evaluation.report[1].failed_action, Some(Culprit { index: 1, text: "boom".to_owned() }));
    assert_eq!(evaluation.report[1].description.as_deref(), Some("d"));
    assert_eq!(evaluation.report[2].failed_action, None);
}

#[test]
fn all_conditions_of_a_rule_must_hold() {
    let two = |second| {
        json!({"conditions": [{"op": "eq", "field": "x", "value": 1},
                                             {"op": "eq", "field": "x", "value": second}], "actions": [append("a")]})
    };
    let evaluation = run(&rules(&[two(1), two(2)]), &json!({"x": 1}), &node());
    assert!(evaluation.report[0].matched);
    assert_eq!(evaluation.report[1].failing_condition, Some(Culprit { index: 1, text: "eq x".to_owned() }));
}

#[test]
fn rules_see_masked_secrets_and_both_ids() {
    let mut node = node();
    node.driver_info.insert("ipmi_password".to_owned(), json!("p"));
    let id = "6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3";
    let rules = rules(&[
        json!({"conditions": [{"op": "eq", "field": "node://driver_info.ipmi_password", "value": "p"}],
               "actions": [append("leak")]}),
        json!({"conditions": [{"op": "eq", "field": "node://uuid", "value": id}, {"op": "eq", "field": "node://id", "value": id}],
               "actions": [append("ids")]}),
    ]);
    let evaluation = run(&rules, &json!({}), &node);
    assert_eq!(evaluation.node.extra["log"], json!(["ids"]));
    assert_eq!(evaluation.node.driver_info["ipmi_password"], "p", "the mask is never written back");
}

#[test]
fn warnings_reach_the_report() {
    let rules = rules(&[json!({"conditions": [{"op": "ge", "field": "x", "value": 5}], "actions": [append("a")]})]);
    let evaluation = run(&rules, &json!({"x": "text"}), &node());
    assert_eq!(evaluation.report[0].warnings, ["ge x: 'text' of type str is not an integer"]);
    assert_eq!(evaluation.outcome, Ok(()));
}
