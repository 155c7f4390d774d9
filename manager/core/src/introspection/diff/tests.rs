use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn document() -> Value {
    json!({
        "inventory": {
            "bmc_address": "192.0.2.10", "bmc_v6address": null, "hostname": "ceph-07",
            "cpu": {"count": 64, "flags": ["vmx", "aes"]},
            "memory": {"physical_mb": 262144, "total": 270011011072_u64},
            "disks": [
                {"name": "/dev/sda", "wwn": "0x5000", "serial": "S1", "by_path": "p1", "size": 1000},
                {"name": "/dev/sdb", "wwn": null, "serial": "S2", "by_path": "p2", "size": 2000},
            ],
            "interfaces": [
                {"name": "ens1f0", "mac_address": "52:54:00:aa:00:01", "pci_address": "0000:3b:00.0", "speed_mbps": 25000,
                 "has_carrier": true, "ipv4_address": "192.0.2.50", "lldp": [[1, "0411"]]},
                {"name": "bond0", "mac_address": "52:54:00:aa:00:01", "pci_address": null, "speed_mbps": null},
            ],
            "system_vendor": {"serial_number": "A1", "system_uuid": "4c4c4544", "firmware": {"version": "2.1"}},
        },
        "cpus": 64, "macs": ["52:54:00:aa:00:01"], "lldp_raw": {"ens1f0": []},
        "all_interfaces": {"ens1f0": {"ip": "192.0.2.50", "lldp_processed": {"switch_port_id": "Ethernet1/1"}}},
        "fleet": {
            "sections": {"memory": {"status": "ok", "collected_at": "x", "hash": "1"}, "storage": {"status": "ok"}},
            "memory": {"modules": [{"locator": "A1", "serial": "M1"}, {"locator": "A2", "serial": "M2"}]},
            "pci": [{"address": "0000:5e:00.0", "current_link_width": 8, "max_link_width": 8,
                     "current_link_speed": "16.0 GT/s PCIe", "max_link_speed": "16.0 GT/s PCIe"}],
            "os": {"kernel": "6.1", "uptime_s": 5},
        },
    })
}

/// The changes after `edit`, as path, operation and severity.
fn changes(edit: impl FnOnce(&mut Value)) -> Vec<(String, Op, Severity)> {
    let mut new = document();
    edit(&mut new);
    delta(&document(), &new).into_iter().map(|change| (change.path, change.op, change.severity)).collect()
}

fn one(path: &str, op: Op, severity: Severity) -> Vec<(String, Op, Severity)> {
    vec![(path.to_owned(), op, severity)]
}

#[test]
fn order_volatile_and_derived_facts_are_no_change() {
    let found = changes(|new| {
        for list in ["disks", "interfaces"] {
            new["inventory"][list].as_array_mut().unwrap().reverse();
        }
        new["inventory"]["cpu"]["flags"] = json!(["aes", "vmx"]);
        new["inventory"]["interfaces"][1]["has_carrier"] = json!(false);
        new["inventory"]["interfaces"][1]["lldp"] = json!([]);
        new["fleet"]["os"]["uptime_s"] = json!(6);
        new["fleet"]["sections"]["memory"]["collected_at"] = json!("y");
        new["fleet"]["memory"]["modules"].as_array_mut().unwrap().reverse();
        new["cpus"] = json!(1);
        new["lldp_raw"] = json!({});
    });
    assert_eq!(found, []);
}

#[test]
fn the_canonical_form_is_stable() {
    let form = canonical(&document());
    assert_eq!(canonical(&form), form);
    assert_eq!(form["inventory"]["cpu"]["flags"], json!(["aes", "vmx"]));
    assert_eq!(form["lldp"]["ens1f0"]["switch_port_id"], "Ethernet1/1");
    assert_eq!(form["fleet"]["pci"][0]["link_degraded"], false);
    let keys: Vec<&String> = form.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["fleet", "inventory", "lldp"]);
    assert_eq!(canonical(&json!([])), Value::Null);
}

#[test]
fn an_emptied_slot_is_an_alarm() {
    let with_size = |size: Value| {
        let mut document = document();
        document["fleet"]["memory"]["modules"][1]["size_mb"] = size;
        document
    };
    for (old, new, severity) in [
        (json!(16384), json!(null), Severity::Alarm),
        (json!(16384), json!(8192), Severity::Alarm),
        (json!(null), json!(8192), Severity::Info),
    ] {
        let found = delta(&with_size(old), &with_size(new));
        assert_eq!((found.len(), found[0].severity), (1, severity));
        assert_eq!(found[0].path, "/fleet/memory/modules/A2/size_mb");
    }
}

#[test]
fn sections_that_were_not_asked_for_are_no_change() {
    let found = changes(|new| {
        new["fleet"]["sections"].as_object_mut().unwrap().remove("storage");
        new["inventory"].as_object_mut().unwrap().remove("disks");
    });
    assert_eq!(found, one("/fleet/sections/storage", Op::Removed, Severity::Info));
}

/// An edit of the document, and the one change that it makes.
type Alarm = (fn(&mut Value), &'static str, Op, Severity);

const ALARMS: &[Alarm] = &[
    (
        |new| drop(new["fleet"]["memory"]["modules"].as_array_mut().unwrap().remove(0)),
        "/fleet/memory/modules/A1",
        Op::Removed,
        Severity::Alarm,
    ),
    (
        |new| drop(new["inventory"]["disks"].as_array_mut().unwrap().remove(1)),
        "/inventory/disks/S2",
        Op::Removed,
        Severity::Alarm,
    ),
    (
        |new| new["inventory"]["memory"]["physical_mb"] = json!(131072),
        "/inventory/memory/physical_mb",
        Op::Changed,
        Severity::Alarm,
    ),
    (
        |new| new["inventory"]["memory"]["physical_mb"] = json!(524288),
        "/inventory/memory/physical_mb",
        Op::Changed,
        Severity::Info,
    ),
    (
        |new| new["inventory"]["memory"]["total"] = json!(269911011072_u64),
        "/inventory/memory/total",
        Op::Changed,
        Severity::Info,
    ),
    (
        |new| new["inventory"]["memory"]["total"] = json!(135011011072_u64),
        "/inventory/memory/total",
        Op::Changed,
        Severity::Alarm,
    ),
    (
        |new| new["inventory"]["interfaces"][0]["speed_mbps"] = json!(10000),
        "/inventory/interfaces/0000:3b:00.0/speed_mbps",
        Op::Changed,
        Severity::Warning,
    ),
    (
        |new| new["inventory"]["interfaces"][0]["speed_mbps"] = json!(100000),
        "/inventory/interfaces/0000:3b:00.0/speed_mbps",
        Op::Changed,
        Severity::Info,
    ),
    (
        |new| new["fleet"]["pci"][0]["current_link_width"] = json!(4),
        "/fleet/pci/0000:5e:00.0/link_degraded",
        Op::Changed,
        Severity::Warning,
    ),
    (
        |new| new["fleet"]["pci"][0]["current_link_speed"] = json!("8.0 GT/s PCIe"),
        "/fleet/pci/0000:5e:00.0/link_degraded",
        Op::Changed,
        Severity::Warning,
    ),
    (
        |new| new["inventory"]["disks"].as_array_mut().unwrap().push(json!({"name": "/dev/sdc", "wwn": "0x6"})),
        "/inventory/disks/0x6",
        Op::Added,
        Severity::Warning,
    ),
    (
        |new| new["inventory"]["bmc_address"] = json!("192.0.2.11"),
        "/inventory/bmc_address",
        Op::Changed,
        Severity::Warning,
    ),
    (
        |new| new["inventory"]["system_vendor"]["system_uuid"] = json!("5"),
        "/inventory/system_vendor/system_uuid",
        Op::Changed,
        Severity::Alarm,
    ),
    (
        |new| new["inventory"]["system_vendor"]["firmware"]["version"] = json!("2.2"),
        "/inventory/system_vendor/firmware/version",
        Op::Changed,
        Severity::Info,
    ),
];

#[test]
fn hardware_alarms() {
    for (edit, path, op, severity) in ALARMS {
        assert_eq!(changes(edit), one(path, *op, *severity), "{path}");
    }
}

#[test]
fn a_replaced_disk_is_gone_and_new() {
    let found = changes(|new| {
        new["inventory"]["disks"][0]["wwn"] = json!("0x7000");
        new["inventory"]["disks"][0]["serial"] = json!("S9");
    });
    assert_eq!(
        found,
        [
            ("/inventory/disks/0x5000".to_owned(), Op::Removed, Severity::Alarm),
            ("/inventory/disks/0x7000".to_owned(), Op::Added, Severity::Warning),
        ]
    );
}

#[test]
fn a_disk_is_known_by_what_both_documents_have() {
    let renamed = changes(|new| {
        new["inventory"]["disks"][0]["wwn"] = json!(null);
        new["inventory"]["disks"][0]["name"] = json!("/dev/sdx");
    });
    let paths: Vec<&str> = renamed.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!(paths, ["/inventory/disks/S1/name", "/inventory/disks/S1/wwn"]);
}

#[test]
fn a_replaced_card_is_the_same_interface() {
    let found = changes(|new| new["inventory"]["interfaces"][0]["mac_address"] = json!("52:54:00:aa:00:99"));
    assert_eq!(found, one("/inventory/interfaces/0000:3b:00.0/mac_address", Op::Changed, Severity::Info));
}

#[test]
fn what_could_not_be_read_is_no_change() {
    for status in ["partial", "unavailable", "timeout", "error"] {
        let found = changes(|new| {
            new["fleet"]["sections"]["memory"]["status"] = json!(status);
            new["fleet"]["sections"]["storage"]["status"] = json!(status);
            new["fleet"].as_object_mut().unwrap().remove("memory");
            new["inventory"]["memory"]["physical_mb"] = json!(null);
            new["inventory"]["disks"] = json!([]);
        });
        let paths: Vec<&str> = found.iter().map(|(path, ..)| path.as_str()).collect();
        assert_eq!(paths, ["/fleet/sections/memory/status", "/fleet/sections/storage/status"], "{status}");
    }
    // And coming back is no news either.
    let mut before = document();
    before["fleet"]["sections"]["storage"]["status"] = json!("timeout");
    before["inventory"]["disks"] = json!([]);
    let paths: Vec<String> = delta(&before, &document()).into_iter().map(|change| change.path).collect();
    assert_eq!(paths, ["/fleet/sections/storage/status"]);
}

#[test]
fn classes() {
    let table = [
        ("inventory/disks/x/size", Class::Hardware),
        ("inventory/interfaces/x/ipv4_address", Class::Network),
        ("inventory/system_vendor/firmware/version", Class::Firmware),
        ("fleet/storage/disks/x/firmware_rev", Class::Firmware),
        ("fleet/packages/x", Class::Software),
        ("fleet/health/x", Class::Health),
        ("lldp/ens1f0/switch_port_id", Class::Network),
    ];
    for (path, want) in table {
        let path: Vec<String> = path.split('/').map(str::to_owned).collect();
        assert_eq!(judge::class(&path), want, "{path:?}");
    }
}

#[test]
fn changes_serialize_as_specified() {
    let mut new = document();
    new["inventory"]["cpu"]["flags"] = json!(["aes", "vmx", "x/y"]);
    let found = serde_json::to_value(delta(&document(), &new)).unwrap();
    assert_eq!(
        found,
        json!([{"path": "/inventory/cpu/flags/x~1y", "op": "added", "old": null, "new": "x/y",
                              "class": "hardware", "severity": "info"}])
    );
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        (0..5).prop_map(|n| json!(n)),
        "[a-c]{0,2}".prop_map(|text| json!(text))
    ];
    let key = prop_oneof![Just("inventory"), Just("disks"), Just("wwn"), Just("name"), Just("fleet"), Just("sections")];
    leaf.prop_recursive(5, 60, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(|items| json!(items)),
            proptest::collection::vec((key.clone(), inner), 0..5)
                .prop_map(|entries| entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn a_delta_is_empty_exactly_for_equal_forms(old in values(), new in values()) {
        let (old, new) = (json!({"x": old}), json!({"x": new}));
        prop_assert!(delta(&old, &old).is_empty());
        prop_assert_eq!(delta(&old, &new).is_empty(), canonical(&old) == canonical(&new));
        prop_assert_eq!(delta(&old, &new).len(), delta(&new, &old).len());
        prop_assert_eq!(canonical(&canonical(&old)), canonical(&old));
    }
}

#[test]
fn a_great_upgrade_is_compared_in_one_pass() {
    let packages = |version: &str| {
        let list: Vec<Value> = (0..5_000).map(|n| json!({"name": format!("p{n}"), "version": version})).collect();
        json!({"fleet": {"packages": {"list": list}}})
    };
    let found = delta(&packages("1"), &packages("2"));
    assert_eq!(found.len(), 5_000);
    assert!(found.iter().all(|change| change.op == Op::Changed && change.class == Class::Software));
}
