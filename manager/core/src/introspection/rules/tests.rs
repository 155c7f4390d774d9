use serde_json::{Value, json};

use super::*;

fn message(body: Value) -> String {
    parse(&body).expect_err("should be refused").message
}

fn with_condition(condition: Value) -> Value {
    json!({ "conditions": [condition], "actions": [{"action": "fail", "message": "m"}] })
}

fn with_action(action: Value) -> Value {
    json!({ "actions": [action] })
}

#[test]
fn the_representation_has_all_defaults() {
    let body = json!({
        "uuid": "6F1D2C3A0B4E4A5F8C6D7E8F90A1B2C3", "description": null, "unknown": 1,
        "conditions": [
            {"op": "eq", "field": "node://driver", "value": "fleet-agent"},
            {"op": "is-empty", "field": "a", "value": null, "multiple": "all", "invert": true},
        ],
        "actions": [
            {"action": "set-attribute", "path": "/extra/a", "value": null},
            {"action": "extend-attribute", "path": "extra/b", "value": 1, "unique": true},
            {"action": "set-capability", "name": "c", "value": null},
        ],
    });
    let rule = parse(&body).unwrap();
    let id = rule.id.unwrap();
    let rule = rule.with_id(id);
    let want = json!({
        "uuid": "6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3", "description": null, "scope": null,
        "conditions": [
            {"op": "eq", "field": "node://driver", "multiple": "any", "invert": false, "value": "fleet-agent"},
            {"op": "is-empty", "field": "a", "multiple": "all", "invert": true},
        ],
        "actions": [
            {"action": "set-attribute", "path": "/extra/a", "value": null},
            {"action": "extend-attribute", "path": "extra/b", "value": 1, "unique": true},
            {"action": "set-capability", "name": "c"},
        ],
    });
    assert_eq!(rule.representation(), want);
    assert_eq!(Rule::from_stored(&want).unwrap().representation(), want);
}

#[test]
fn the_smallest_rule() {
    let rule = parse(&json!({"uuid": null, "description": null, "conditions": [], "scope": "",
                             "actions": [{"action": "fail", "message": "m"}]}))
    .unwrap();
    assert!(rule.id.is_none() && rule.scope.is_none() && rule.conditions.is_empty());
    assert_eq!(
        Rule::from_stored(&json!({"actions": [{"action": "fail", "message": "m"}]})).unwrap_err().message,
        "Invalid UUID value"
    );
}

#[test]
fn bodies_that_are_refused() {
    let actions = json!([{"action": "fail", "message": "m"}]);
    let table = [
        (json!([]), "Invalid data: expected a JSON object, got list"),
        (json!(null), "Invalid data: expected a JSON object, got None"),
        (json!({"uuid": "foo", "actions": actions}), "Invalid UUID value"),
        (json!({"uuid": 5, "actions": actions}), "Invalid UUID value"),
        (
            json!({"scope": "x".repeat(256), "actions": actions}),
            "Invalid scope: the length of the scope should be within 255 characters",
        ),
        (json!({"scope": 5, "actions": actions}), "Invalid scope: expected a string, got int"),
        (json!({"description": [], "actions": actions}), "Invalid description: expected a string, got list"),
        (json!({"conditions": {}, "actions": actions}), "Validation failed for conditions: {} is not of type 'array'"),
        (
            json!({"conditions": ["x"], "actions": actions}),
            "Validation failed for conditions: 'x' is not of type 'object'",
        ),
        (
            json!({"conditions": vec![json!({}); 257], "actions": actions}),
            "Validation failed for conditions: more than 256 items",
        ),
        (json!({}), "Validation failed for actions: 'actions' is a required property"),
        (json!({"actions": null}), "Validation failed for actions: None is not of type 'array'"),
        (json!({"actions": []}), "Validation failed for actions: [] is too short"),
        (json!({"actions": [{}]}), "Validation failed for actions: 'action' is a required property"),
    ];
    for (body, want) in table {
        assert_eq!(message(body), want);
    }
    assert!(parse(&json!({"scope": "é".repeat(255), "actions": actions})).is_ok());
}

#[test]
fn conditions_that_are_refused() {
    let ops = "['eq', 'lt', 'gt', 'le', 'ge', 'ne', 'in-net', 'matches', 'contains', 'is-empty']";
    let table = [
        (json!({"field": "a"}), "Validation failed for conditions: 'op' is a required property".to_owned()),
        (json!({"op": "eq"}), "Validation failed for conditions: 'field' is a required property".to_owned()),
        (json!({"op": "foo", "field": "a"}), format!("Validation failed for conditions: 'foo' is not one of {ops}")),
        (
            json!({"op": "eq", "field": 1, "value": 1}),
            "Validation failed for conditions: 1 is not of type 'string'".to_owned(),
        ),
        (
            json!({"op": "eq", "field": "a", "value": 1, "multiple": "some"}),
            "Validation failed for conditions: 'some' is not one of ['any', 'all', 'first']".to_owned(),
        ),
        (
            json!({"op": "eq", "field": "a", "value": 1, "invert": "no"}),
            "Validation failed for conditions: 'no' is not of type 'boolean'".to_owned(),
        ),
        (
            json!({"op": "eq", "field": "a"}),
            "Invalid parameters for operator eq: missing required parameter(s): value".to_owned(),
        ),
        (
            json!({"op": "eq", "field": "a", "value": null}),
            "Invalid parameters for operator eq: missing required parameter(s): value".to_owned(),
        ),
        (
            json!({"op": "eq", "field": "a", "foo": 1}),
            "Invalid parameters for operator eq: missing required parameter(s): value; unexpected parameter(s): foo"
                .to_owned(),
        ),
        (
            json!({"op": "is-empty", "field": "a", "value": 1}),
            "Invalid parameters for operator is-empty: unexpected parameter(s): value".to_owned(),
        ),
        (
            json!({"op": "matches", "field": "a"}),
            "Invalid parameters for operator matches: missing required parameter(s): value".to_owned(),
        ),
        (
            json!({"op": "contains", "field": "a", "value": "("}),
            "Invalid parameters for operator contains: invalid regular expression: unclosed group".to_owned(),
        ),
        (
            json!({"op": "contains", "field": "a", "value": 5}),
            "Invalid parameters for operator contains: invalid regular expression: expected a string, got int"
                .to_owned(),
        ),
        (
            json!({"op": "in-net", "field": "a", "value": "zz"}),
            "Invalid parameters for operator in-net: invalid value: invalid IPNetwork zz".to_owned(),
        ),
        (
            json!({"op": "eq", "field": "ftp://a", "value": 1}),
            "Unsupported scheme for field: ftp, valid values are node:// or data://".to_owned(),
        ),
        (
            json!({"op": "eq", "field": "data://a[", "value": 1}),
            "Unable to parse field JSON path data://a[: parse error: unexpected end of path".to_owned(),
        ),
        (
            json!({"op": "eq", "field": "", "value": 1}),
            "Unable to parse field JSON path : parse error: unexpected end of path".to_owned(),
        ),
    ];
    for (condition, want) in table {
        assert_eq!(message(with_condition(condition)), want);
    }
}

#[test]
fn actions_that_are_refused() {
    let names = "['fail', 'set-attribute', 'set-capability', 'extend-attribute', 'add-trait', 'remove-trait']";
    let table = [
        (json!({"action": "example"}), format!("Validation failed for actions: 'example' is not one of {names}")),
        (json!({"action": 5}), format!("Validation failed for actions: 5 is not one of {names}")),
        (json!("x"), "Validation failed for actions: 'x' is not of type 'object'".to_owned()),
        (
            json!({"action": "fail"}),
            "Invalid parameters for action fail: missing required parameter(s): message".to_owned(),
        ),
        (
            json!({"action": "fail", "message": "m", "foo": 1}),
            "Invalid parameters for action fail: unexpected parameter(s): foo".to_owned(),
        ),
        (
            json!({"action": "set-attribute", "path": "/extra/a"}),
            "Invalid parameters for action set-attribute: missing required parameter(s): value".to_owned(),
        ),
        (
            json!({"action": "set-attribute", "value": null}),
            "Invalid parameters for action set-attribute: missing required parameter(s): path".to_owned(),
        ),
        (
            json!({"action": "set-attribute"}),
            "Invalid parameters for action set-attribute: missing required parameter(s): path, value".to_owned(),
        ),
        (
            json!({"action": "set-attribute", "path": 5, "value": 1}),
            "Invalid parameters for action set-attribute: path must be a string, not int".to_owned(),
        ),
        (
            json!({"action": "extend-attribute", "path": "extra/a", "value": null}),
            "Invalid parameters for action extend-attribute: missing required parameter(s): value".to_owned(),
        ),
        (
            json!({"action": "add-trait"}),
            "Invalid parameters for action add-trait: missing required parameter(s): name".to_owned(),
        ),
    ];
    for (action, want) in table {
        assert_eq!(message(with_action(action)), want);
    }
}

#[test]
fn long_values_are_cut_in_texts() {
    assert!(message(with_condition(json!({"op": "x".repeat(5000), "field": "a"}))).len() < 500);
}
