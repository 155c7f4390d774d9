use serde_json::{Value, json};

use super::*;

fn spec_document() -> Value {
    json!({"a": [{"b": 1, "x-y": 7, "x y": 8}, {"b": 3}], "c": {"d": {"b": 5}}, "n": null})
}

fn found(path: &str, document: &Value) -> Vec<Value> {
    Path::parse(path).unwrap_or_else(|e| panic!("{path}: {e}")).find(document).unwrap().into_iter().cloned().collect()
}

#[test]
fn spec_8_7_path_table() {
    let document = spec_document();
    let (a, c) = (document["a"].clone(), document["c"].clone());
    let table = [
        ("a[*].b", vec![json!(1), json!(3)]),
        ("$.a[*].b", vec![json!(1), json!(3)]),
        ("a[0].b", vec![json!(1)]),
        ("a[-1].b", vec![json!(3)]),
        ("a[0:1].b", vec![json!(1)]),
        ("a.b", vec![]),
        ("$..b", vec![json!(1), json!(3), json!(5)]),
        ("c|a", vec![c.clone(), a.clone()]),
        ("a,c", vec![a.clone(), c.clone()]),
        ("*", vec![a.clone(), c.clone(), json!(null)]),
        ("c where d", vec![c.clone()]),
        ("a where d", vec![]),
        ("c.d.`parent`", vec![c.clone()]),
        ("`this`", vec![document.clone()]),
        ("n", vec![json!(null)]),
        ("a[0].x-y", vec![json!(7)]),
        ("a[0].'x y'", vec![json!(8)]),
        ("a[\"b\"]", vec![]),
        ("c[\"d\"]", vec![c["d"].clone()]),
        ("data.foo", vec![]),
    ];
    for (path, want) in table {
        assert_eq!(found(path, &document), want, "{path}");
    }
    for bad in ["..b", "a[?(@.b>1)]", "a.0.b", "a[0,1].b", ""] {
        assert!(Path::parse(bad).is_err(), "{bad}");
    }
}

/// Results of the original library for forms that the table leaves open: precedence, coercion, odd ends.
#[test]
fn observed_corners() {
    let mut document = spec_document();
    document["s"] = json!("str");
    document["i"] = json!(4);
    document["e"] = json!([]);
    let (a, c) = (document["a"].clone(), document["c"].clone());
    let table = [
        ("c.d.b.`parent`.`parent`", vec![c.clone()]),
        ("a[*]", vec![a[0].clone(), a[1].clone()]),
        ("c[*]", vec![c.clone()]),
        ("c[*].d", vec![c["d"].clone()]),
        ("s[*]", vec![json!("str")]),
        ("i[*]", vec![json!(4)]),
        ("e[0]", vec![]),
        ("a[5]", vec![]),
        ("a.b|c", vec![]),
        ("a[0].b|c", vec![json!(1)]),
        ("c.d|a", vec![c["d"].clone()]),
        ("c|c.d", vec![c["d"].clone(), c["d"].clone()]),
        ("$..a[*].b", vec![json!(1), json!(3)]),
        ("$..d.b", vec![json!(5)]),
        ("(c|a).d", vec![c["d"].clone()]),
        ("$.c,a", vec![c.clone(), a.clone()]),
        ("c.d,b", vec![c["d"].clone()]),
        ("a[b]", vec![]),
        ("a[1:]", vec![a[1].clone()]),
        ("a[:1]", vec![a[0].clone()]),
        ("a[-2:-1].b", vec![json!(1)]),
        ("a[1:0]", vec![]),
        ("c where d where b", vec![]),
        ("c.d where b", vec![c["d"].clone()]),
        ("c where a|d", vec![]),
        ("a[ 0 ] . b", vec![json!(1)]),
        ("['c'].d", vec![c["d"].clone()]),
        ("c..b", vec![json!(5)]),
        ("\"c\"", vec![c.clone()]),
        ("c.*.b", vec![json!(5)]),
        ("a[*].*", vec![json!(1), json!(7), json!(8), json!(3)]),
        ("a[*].b.`parent`", vec![a[0].clone(), a[1].clone()]),
        ("$.c.$.n", vec![json!(null)]),
        ("c['d','z'].b", vec![json!(5)]),
        ("*.d", vec![c["d"].clone()]),
        ("@", vec![]),
    ];
    for (path, want) in table {
        assert_eq!(found(path, &document), want, "{path}");
    }
}

#[test]
fn what_the_original_cannot_parse_is_refused() {
    let bad = [
        "$..",
        "a.",
        "a[",
        "where",
        "1",
        "`foo`",
        "a & c",
        "a[::2]",
        "a[0:2:1]",
        "a]",
        "(a",
        "'a",
        "`this",
        "a[-]",
        "é",
        "a[99999999999999999999]",
        "b,*",
        "*,b",
        "a[b,*]",
    ];
    for path in bad {
        assert!(Path::parse(path).is_err(), "{path}");
    }
    assert!(Path::parse(&"a.".repeat(600)).unwrap_err().starts_with("longer than"));
    assert_eq!(Path::parse(&format!("a{}", ".a".repeat(70))).unwrap_err(), "more than 64 parts");
    assert_eq!(Path::parse(&format!("{}a{}", "(".repeat(70), ")".repeat(70))).unwrap_err(), "more than 64 parts");
}

#[test]
fn multiplying_paths_end() {
    let document = json!({ "a": vec![vec![vec![0; 20]; 20]; 20] });
    let path = Path::parse("$..`parent`..`parent`..`parent`").unwrap();
    assert_eq!(path.find(&document), Err(TooBroad));
}

proptest::proptest! {
    #[test]
    fn parsing_and_finding_never_panic(path in "[abc$.*\\[\\]()|,:'`0-9 where-]{0,24}") {
        if let Ok(path) = Path::parse(&path) {
            let _ = path.find(&spec_document());
        }
    }
}
