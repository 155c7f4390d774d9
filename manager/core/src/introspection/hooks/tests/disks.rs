use serde_json::{Value, json};

use super::*;

const HOOK: &str = "root_disk_selection";
const GIB: u64 = 1 << 30;

fn document() -> Value {
    json!({
        "inventory": {"disks": [
            {"name": "/dev/sda", "size": 2 * GIB, "model": "USB Stick", "rotational": false, "serial": "U"},
            {"name": "/dev/sdb", "size": 100 * GIB + 5, "model": "Acme SSD", "rotational": false, "serial": "S1", "hctl": "0:0:1:0"},
            {"name": "/dev/sdc", "size": 4000 * GIB, "model": "Acme HDD", "rotational": true, "serial": "S2", "wwn": "0x5000"},
        ]},
        "root_disk": {"name": "/dev/sdb", "size": 100 * GIB + 5},
    })
}

fn hinted(property: &str, value: Value) -> Node {
    let mut node = node();
    node.properties.insert(property.to_owned(), value);
    node
}

#[test]
fn the_size_of_the_reported_disk_counts() {
    let ran = with_defaults(HOOK, document());
    assert_eq!((&ran.data["local_gb"], &ran.node.properties["local_gb"]), (&json!(99), &json!("99")));
    let whole = settings(json!({"processing": {"disk_partitioning_spacing": false}}));
    assert_eq!(run(HOOK, document(), &node(), &whole).data["local_gb"], 100);
    for diskless in [json!({}), json!({"root_disk": {"size": 5}}), json!({"root_disk": null})] {
        assert_eq!(with_defaults(HOOK, diskless).data["local_gb"], 0);
    }
}

#[test]
fn hints_choose_the_first_disk_that_fits() {
    for (hints, want) in [
        (json!({"size": 100}), Some("/dev/sdb")),
        (json!({"size": ">= 101"}), Some("/dev/sdc")),
        (json!({"size": "= 2"}), Some("/dev/sda")),
        (json!({"size": "< 3"}), Some("/dev/sda")),
        (json!({"size": "<= 1"}), None),
        (json!({"rotational": true}), Some("/dev/sdc")),
        (json!({"rotational": "no", "size": "> 2"}), Some("/dev/sdb")),
        (json!({"model": "acme hdd"}), Some("/dev/sdc")),
        (json!({"model": "s== Acme SSD"}), Some("/dev/sdb")),
        (json!({"model": "s!= USB Stick"}), Some("/dev/sdb")),
        (json!({"model": "<in> acme"}), Some("/dev/sdb")),
        (json!({"model": "<all-in> acme <all-in> hdd"}), Some("/dev/sdc")),
        (json!({"serial": "<or> S9 <or> S2"}), Some("/dev/sdc")),
        (json!({"wwn": "0x5000"}), Some("/dev/sdc")),
        (json!({"hctl": "0:0:1:0"}), Some("/dev/sdb")),
        (json!({"name": "/dev/sdz"}), None),
        (json!({"name": "> 5"}), None),
    ] {
        let ran = run(HOOK, document(), &hinted("root_device", hints.clone()), &Settings::default());
        match want {
            Some(name) => assert_eq!(ran.data["root_disk"]["name"], name, "{hints}"),
            None => assert_eq!(ran.result, Err("No disks satisfied root device hints".to_owned()), "{hints}"),
        }
    }
}

#[test]
fn hints_that_mean_nothing_are_failures() {
    for hints in [
        json!("x"),
        json!({}),
        json!({"colour": "red"}),
        json!({"size": "big"}),
        json!({"rotational": "maybe"}),
        json!({"model": null}),
    ] {
        let error = run(HOOK, document(), &hinted("root_device", hints), &Settings::default()).result.unwrap_err();
        assert!(error.starts_with("Invalid root device hints: "), "{error}");
    }
    let error =
        run(HOOK, document(), &hinted("skip_block_devices", json!({})), &Settings::default()).result.unwrap_err();
    assert!(error.starts_with("Invalid skip_block_devices hints: "), "{error}");
}

#[test]
fn skipped_disks_are_not_chosen() {
    let mut skipping = hinted("skip_block_devices", json!([{"name": "/dev/sdb"}]));
    let ran = run(HOOK, document(), &skipping, &Settings::default());
    assert_eq!(ran.data["root_disk"]["name"], "/dev/sdc", "the smallest that is large enough");
    skipping.properties.insert("root_device".to_owned(), json!({"serial": "S1"}));
    let ran = run(HOOK, document(), &skipping, &Settings::default());
    assert_eq!(ran.result, Err("No disks satisfied root device hints".to_owned()));
    let all = hinted("skip_block_devices", json!([{"size": "> 3"}]));
    let ran = run(HOOK, document(), &all, &Settings::default());
    assert_eq!((ran.data.get("root_disk"), &ran.data["local_gb"]), (None, &json!(0)));
}

#[test]
fn raid_device_compares_two_runs() {
    let disks = |serials: &[&str]| {
        let disks: Vec<Value> = serials.iter().map(|serial| json!({ "serial": serial })).collect();
        json!({"inventory": {"disks": disks}})
    };
    let first = with_defaults("raid_device", disks(&["A", "B"]));
    assert_eq!(first.data["local_gb"], 1);
    assert_eq!(json!(first.node.extra), json!({"block_devices": {"serials": ["A", "B"]}}));
    for (serials, warnings) in [(vec!["A", "B"], 1), (vec!["A", "C", "D"], 1), (vec![], 1)] {
        let ran = run("raid_device", disks(&serials), &first.node, &Settings::default());
        assert_eq!((ran.warnings.len(), ran.node), (warnings, first.node.clone()));
    }
    let second = run("raid_device", disks(&["A", "B", "R"]), &first.node, &Settings::default());
    assert_eq!(json!(second.node.properties), json!({"root_device": {"serial": "R"}}));
    assert!(second.node.extra.is_empty());
    let third = run("raid_device", disks(&["X"]), &second.node, &Settings::default());
    assert_eq!(third.node, second.node, "the root device is known already");
}
