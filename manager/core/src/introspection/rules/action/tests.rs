use serde_json::{Value, json};

use super::*;

fn node() -> Node {
    Node::new("6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3".parse().unwrap(), "ceph-07")
}

fn apply(node: &mut Node, action: Value) -> Result<(), String> {
    let data = json!({"cpus": 64, "inventory": {"hostname": "h.example"}});
    let before = node.clone();
    let result = Action::parse(&action).unwrap().apply(node, &mut Formatter::new(&data));
    if result.is_err() {
        assert_eq!(*node, before, "a failing action changes nothing");
    }
    result.map_err(|failure| failure.message)
}

fn set(path: &str, value: Value) -> Value {
    json!({"action": "set-attribute", "path": path, "value": value})
}

fn extend(path: &str, value: Value, unique: bool) -> Value {
    json!({"action": "extend-attribute", "path": path, "value": value, "unique": unique})
}

#[test]
fn set_attribute_is_a_patch_add() {
    let mut node = node();
    for (path, value) in [
        ("/extra/a", json!({"l": [1, 2]})),
        ("extra/a/l/1", json!("x{data[cpus]}")),
        ("/extra/a/l/-", json!(null)),
        ("/extra/sl~1ash~0", json!(true)),
        ("/name", json!("{data[inventory][hostname]}")),
        ("/description", json!(null)),
        ("/driver", json!("other")),
        ("/location/rack", json!("r7")),
        ("/properties", json!({"cpus": 1})),
    ] {
        apply(&mut node, set(path, value)).unwrap();
    }
    assert_eq!(json!(node.extra), json!({"a": {"l": [1, "x64", 2, null]}, "sl/ash~": true}));
    assert_eq!((node.name.as_str(), node.driver.as_str()), ("h.example", "other"));
    assert_eq!(node.location.rack.as_deref(), Some("r7"));
    assert_eq!(json!(node.properties), json!({"cpus": 1}));
}

#[test]
fn what_set_attribute_cannot_set() {
    let mut node = node();
    for (path, value, why) in [
        ("/uuid", json!("x"), "it cannot be changed by a rule"),
        ("id", json!("x"), "it cannot be changed by a rule"),
        ("/provision_state", json!("x"), "it cannot be changed by a rule"),
        ("/traits/-", json!("x"), "it cannot be changed by a rule"),
        ("/nothing", json!(1), "there is no such attribute"),
        ("", json!(1), "there is no such attribute"),
        ("/extra/a/b", json!(1), "extra/a does not exist"),
        ("/driver/x", json!(1), "driver is not an object"),
        ("/properties", json!([]), "invalid type: sequence, expected a map"),
        ("/name", json!(null), "invalid type: null, expected a string"),
        ("/name", json!("a b"), "a name may contain only letters, digits, '.', '-' and '_'"),
    ] {
        assert_eq!(apply(&mut node, set(path, value)), Err(format!("Failed to set attribute {path}: {why}")));
    }
    apply(&mut node, set("/extra/l", json!([1]))).unwrap();
    assert!(apply(&mut node, set("/extra/l/7", json!(1))).unwrap_err().ends_with("7 is not a place in the list"));
}

#[test]
fn a_node_does_not_grow_without_bound_in_depth() {
    let mut node = node();
    let mut deep = json!(1);
    for _ in 0..80 {
        deep = json!({ "x": deep });
    }
    apply(&mut node, set("/extra/a", deep.clone())).unwrap();
    let error = apply(&mut node, set(&format!("/extra/a{}", "/x".repeat(60)), deep)).unwrap_err();
    assert!(error.ends_with("nested deeper than 100 levels"), "{error}");
}

#[test]
fn extend_attribute_appends() {
    let mut node = node();
    apply(&mut node, extend("extra/l", json!("a{data[cpus]}"), false)).unwrap();
    apply(&mut node, extend("/extra/l", json!("a64"), true)).unwrap();
    assert_eq!(json!(node.extra), json!({"l": ["a64"]}));
    apply(&mut node, extend("extra/l", json!("a64"), false)).unwrap();
    apply(&mut node, extend("extra/l", json!(1), true)).unwrap();
    apply(&mut node, extend("extra/l", json!(1.0), true)).unwrap();
    assert_eq!(json!(node.extra), json!({"l": ["a64", "a64", 1]}));
    for (path, why) in [
        ("extra", "it is not a list"),
        ("extra/l/0", "the path may address one level inside a field only"),
        ("foo", "there is no such attribute"),
        ("foo/bar", "there is no such attribute"),
        ("driver/x", "there is no such attribute"),
        ("traits", "it cannot be changed by a rule"),
    ] {
        let error = apply(&mut node, extend(path, json!(1), false)).unwrap_err();
        assert_eq!(error, format!("Failed to set attribute {path}: {why}"));
    }
}

#[test]
fn capabilities_and_traits() {
    let mut node = node();
    apply(&mut node, json!({"action": "set-capability", "name": "n", "value": "{data[cpus]}"})).unwrap();
    apply(&mut node, json!({"action": "set-capability", "name": "t", "value": true})).unwrap();
    assert_eq!(node.properties["capabilities"], "n:64,t:True");
    apply(&mut node, json!({"action": "set-capability", "name": "n"})).unwrap();
    assert_eq!(node.properties["capabilities"], "t:True");
    for _ in 0..2 {
        apply(&mut node, json!({"action": "add-trait", "name": "CUSTOM_A"})).unwrap();
    }
    assert_eq!(node.traits, ["CUSTOM_A"]);
    for _ in 0..2 {
        apply(&mut node, json!({"action": "remove-trait", "name": "CUSTOM_A"})).unwrap();
    }
    assert!(node.traits.is_empty());
    assert!(apply(&mut node, json!({"action": "add-trait", "name": ""})).is_err());
}

#[test]
fn fail_takes_its_message_as_it_is() {
    let mut node = node();
    assert_eq!(
        apply(&mut node, json!({"action": "fail", "message": "x {data[cpus]}"})),
        Err("x {data[cpus]}".to_owned())
    );
    assert_eq!(apply(&mut node, json!({"action": "fail", "message": [1, null]})), Err("[1, None]".to_owned()));
}

#[test]
fn formatting_errors_end_the_action() {
    let mut node = node();
    assert_eq!(
        apply(&mut node, set("/extra/a", json!(["{data[foo]}"]))),
        Err("Invalid formatting variable key provided in value {data[foo]}: foo".to_owned())
    );
}
