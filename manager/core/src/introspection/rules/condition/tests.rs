use serde_json::{Value, json};

use super::*;

fn check(condition: Value, data: &Value) -> Verdict {
    Condition::parse(&condition).unwrap().check(data, &json!({}))
}

/// Operator, its `value`, a field value for which it is true and one for which it is false.
fn operators() -> Vec<(&'static str, Option<Value>, Value, Value)> {
    vec![
        ("eq", Some(json!(5)), json!("5"), json!(6)),
        ("ne", Some(json!("a")), json!("b"), json!("a")),
        ("lt", Some(json!(5)), json!(4), json!(5)),
        ("le", Some(json!(5)), json!(5), json!(6)),
        ("gt", Some(json!(1.5)), json!("1.6"), json!(1)),
        ("ge", Some(json!("b")), json!("b"), json!("a")),
        ("in-net", Some(json!("10.0.0.0/8")), json!("10.1.2.3"), json!("192.0.2.1")),
        ("matches", Some(json!("S\\d")), json!("S2"), json!("S2U")),
        ("contains", Some(json!("vmx")), json!(["aes", "vmx"]), json!(["aes"])),
        ("is-empty", None, json!([]), json!(0)),
    ]
}

/// What the specification says in words, without looking at the code: the results of the single values, each inverted,
/// combined. A field without values is decided apart.
fn oracle(op: &str, multiple: &str, invert: bool, truths: &[bool]) -> bool {
    let results: Vec<bool> = truths.iter().map(|truth| *truth ^ invert).collect();
    match (multiple, results.first()) {
        (_, None) => op == "is-empty" && !invert,
        ("first", Some(first)) => *first,
        ("all", Some(_)) => !results.contains(&false),
        (_, Some(_)) => results.contains(&true),
    }
}

/// spec §8.7: 10 ops x {any, all, first} x invert x {0, 1, 2 values}, with every combination of true and false values.
#[test]
fn spec_8_7_truth_table() {
    let combinations: [&[bool]; 7] =
        [&[], &[true], &[false], &[true, true], &[true, false], &[false, true], &[false, false]];
    let mut cases = 0;
    for (op, value, yes, no) in operators() {
        for multiple in ["any", "all", "first"] {
            for invert in [false, true] {
                for truths in combinations {
                    let values: Vec<Value> =
                        truths.iter().map(|truth| json!({ "f": if *truth { &yes } else { &no } })).collect();
                    let mut condition = json!({"op": op, "field": "l[*].f", "multiple": multiple, "invert": invert});
                    if let Some(value) = &value {
                        condition["value"] = value.clone();
                    }
                    let verdict = check(condition.clone(), &json!({ "l": values }));
                    assert_eq!(verdict.holds, oracle(op, multiple, invert, truths), "{condition} on {values:?}");
                    assert_eq!(verdict.warnings, Vec::<String>::new(), "{condition} on {values:?}");
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(cases, 10 * 3 * 2 * 7);
}

#[test]
fn spec_8_7_missing_field_is_false_whatever_invert_says() {
    for (op, value, ..) in operators().into_iter().filter(|(op, ..)| *op != "is-empty") {
        for invert in [false, true] {
            let condition = json!({"op": op, "field": "no.such.field", "invert": invert, "value": value});
            assert!(!check(condition, &json!({"no": {}})).holds, "{op} {invert}");
        }
    }
    assert!(check(json!({"op": "is-empty", "field": "no"}), &json!({})).holds);
    assert!(!check(json!({"op": "is-empty", "field": "no", "invert": true}), &json!({})).holds);
}

#[test]
fn spec_8_7_type_mismatch_is_false_with_a_warning() {
    let table = [
        ("ge", json!(5), json!("text")),
        ("ge", json!("5"), json!(5)),
        ("eq", json!(5), json!(null)),
        ("ne", json!(5), json!("x")),
        ("lt", json!({}), json!({})),
        ("in-net", json!("10.0.0.0/8"), json!(null)),
        ("in-net", json!("10.0.0.0/8"), json!("host")),
    ];
    for (op, value, field) in table {
        for invert in [false, true] {
            let condition = json!({"op": op, "field": "f", "value": value, "invert": invert});
            let verdict = check(condition, &json!({ "f": field }));
            assert!(!verdict.holds, "{op} {value} {field} {invert}");
            assert_eq!(verdict.warnings.len(), 1, "{op} {value} {field} {invert}");
            assert!(verdict.warnings[0].starts_with(&format!("{op} f: ")), "{:?}", verdict.warnings);
        }
    }
}

#[test]
fn one_misfit_does_not_hide_the_other_values() {
    let data = json!({ "l": [{"f": "text"}, {"f": 9}] });
    let condition = |multiple| json!({"op": "ge", "field": "l[*].f", "value": 5, "multiple": multiple});
    assert!(check(condition("any"), &data).holds);
    assert!(!check(condition("all"), &data).holds);
    assert!(!check(condition("first"), &data).holds);
}

#[test]
fn emptiness() {
    for (value, want) in [
        (json!(""), true),
        (json!(null), true),
        (json!([]), true),
        (json!({}), true),
        (json!(0), false),
        (json!(false), false),
        (json!(" "), false),
        (json!([null]), false),
    ] {
        assert_eq!(check(json!({"op": "is-empty", "field": "f"}), &json!({ "f": value })).holds, want);
    }
}

#[test]
fn the_scheme_chooses_the_document() {
    let condition = |field| Condition::parse(&json!({"op": "eq", "field": field, "value": "n"})).unwrap();
    let (data, node) = (json!({"x": "d"}), json!({"x": "n"}));
    assert!(condition("node://x").check(&data, &node).holds);
    assert!(!condition("data://x").check(&data, &node).holds);
    assert!(!condition("x").check(&data, &node).holds);
}

#[test]
fn a_path_that_is_too_broad_is_a_warning() {
    let data = json!({ "a": vec![vec![vec![0; 20]; 20]; 20] });
    let condition = json!({"op": "is-empty", "field": "$..`parent`..`parent`..`parent`", "invert": true});
    let verdict = check(condition, &data);
    assert!(!verdict.holds && verdict.warnings.len() == 1);
}
