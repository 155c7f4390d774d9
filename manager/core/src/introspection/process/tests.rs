use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::introspection::rules::parse;

fn node() -> Node {
    Node::new("6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3".parse().unwrap(), "ceph-07")
}

fn raw() -> Value {
    json!({
        "inventory": {
            "bmc_address": "192.0.2.10", "cpu": {"count": 64, "architecture": "x86_64", "flags": ["vmx"]},
            "memory": {"physical_mb": 262144, "total": 270011011072_u64},
            "disks": [{"name": "/dev/nvme0n1", "size": 3840755982336_u64}],
            "interfaces": [{"name": "ens1f0", "mac_address": "52:54:00:aa:00:01", "ipv4_address": "192.0.2.50",
                            "lldp": [[1, "04112233aabbcc"], [2, "0545746865726e6574312f31"]]}],
        },
        "root_disk": {"name": "/dev/nvme0n1", "size": 3840755982336_u64},
        "boot_interface": null, "error": null, "logs": "c2VjcmV0", "fleet": {"schema": 1, "sections": {}},
    })
}

fn rule(body: Value) -> Rule {
    parse(&body).unwrap().with_id("00000000-0000-0000-0000-000000000001".parse().unwrap())
}

fn first(raw: &Value, rules: &[Rule]) -> Processed {
    process(raw, &node(), rules, &Settings::default(), Mode::First)
}

#[test]
fn a_document_gets_all_keys() {
    let processed = first(&raw(), &[]);
    assert_eq!(processed.outcome, Ok(()));
    let document = processed.document.unwrap();
    let mut want = raw();
    want.as_object_mut().unwrap().remove("logs");
    for (key, value) in json!({
        "ipmi_address": "192.0.2.10", "ipmi_v6address": null, "macs": ["52:54:00:aa:00:01"],
        "all_interfaces": {"ens1f0": {"ip": "192.0.2.50", "mac": "52:54:00:aa:00:01", "client_id": null, "pxe": false,
            "lldp_processed": {"switch_chassis_id": "11:22:33:aa:bb:cc", "switch_port_id": "Ethernet1/1"}}},
        "interfaces": {"ens1f0": {"ip": "192.0.2.50", "mac": "52:54:00:aa:00:01", "client_id": null, "pxe": false}},
        "cpus": 64, "cpu_arch": "x86_64", "memory_mb": 262144, "local_gb": 3575,
    })
    .as_object()
    .unwrap()
    {
        want[key] = value.clone();
    }
    assert_eq!(document, want);
    assert_eq!(
        json!(processed.node.properties),
        json!({"local_gb": "3575", "cpus": "64", "cpu_arch": "x86_64",
               "memory_mb": "262144", "capabilities": "cpu_vt:true"})
    );
    assert_eq!(processed.node.ports[0].local_link_connection["port_id"], "Ethernet1/1");
}

#[test]
fn keys_are_there_with_no_hook_at_all() {
    let none: Settings = serde_json::from_value(json!({"processing": {"processing_hooks": []}})).unwrap();
    let document = process(&json!({}), &node(), &[], &none, Mode::First).document.unwrap();
    assert_eq!(
        document,
        json!({"ipmi_address": null, "ipmi_v6address": null, "local_gb": null, "cpus": null, "cpu_arch": null,
                                "memory_mb": null, "all_interfaces": {}, "interfaces": {}, "macs": []})
    );
}

#[test]
fn failures_before_the_hooks_are_collected() {
    let lines = "Preprocessing hook ramdisk_error: Ramdisk reported error: broken\n\
                 Preprocessing hook validate_interfaces: Hardware inventory is empty or missing";
    for (mode, heading) in [
        (Mode::First, "The following failures happened during running pre-processing hooks:"),
        (Mode::Reapply, "Pre-processing failures detected reapplying introspection on stored data:"),
    ] {
        let processed = process(&json!({"error": "broken"}), &node(), &[], &Settings::default(), mode);
        assert_eq!(processed.outcome, Err(Failure::new(format!("{heading}\n{lines}"))));
        assert_eq!((processed.document, processed.node, processed.report), (None, node(), vec![]));
    }
}

#[test]
fn the_first_failure_of_a_hook_ends_the_run_and_earlier_effects_stay() {
    let mut known = node();
    known.properties.insert("root_device".to_owned(), json!({"name": "/dev/none"}));
    let order: Settings = serde_json::from_value(
        json!({"processing": {"processing_hooks": ["scheduler", "root_disk_selection", "capabilities"]}}),
    )
    .unwrap();
    let processed = process(&raw(), &known, &[], &order, Mode::First);
    assert_eq!(processed.outcome, Err(Failure::new("No disks satisfied root device hints")));
    assert_eq!(processed.document, None);
    assert_eq!(processed.node.properties["cpus"], "64");
    assert_eq!(processed.node.properties.get("capabilities"), None);
}

#[test]
fn spec_8_7_a_failing_rule_leaves_document_and_facts() {
    let rules = [
        rule(json!({"actions": [{"action": "set-attribute", "path": "/extra/a", "value": 1}]})),
        rule(json!({"conditions": [{"op": "ge", "field": "cpus", "value": 64}],
                    "actions": [{"action": "fail", "message": "too many"}]})),
    ];
    let processed = first(&raw(), &rules);
    assert_eq!(processed.outcome, Err(Failure::new("too many")));
    assert!(processed.document.is_some());
    assert!(processed.node.extra.is_empty());
    assert_eq!(processed.node.properties["cpus"], "64");
    assert_eq!(processed.report.len(), 2);
}

#[test]
fn spec_8_7_reapply_runs_hooks_and_rules_again() {
    let append = rule(json!({"conditions": [{"op": "contains", "field": "inventory.cpu.flags", "value": "vmx"}],
                             "actions": [{"action": "extend-attribute", "path": "extra/runs", "value": "{data[cpus]}"}]}));
    let once = first(&raw(), std::slice::from_ref(&append));
    let mut raw = raw();
    raw["inventory"]["cpu"]["count"] = json!(128);
    let again = process(&raw, &once.node, &[append], &Settings::default(), Mode::Reapply);
    assert_eq!(again.node.extra["runs"], json!(["64", "128"]));
    assert_eq!(again.node.properties["cpus"], "128");
    assert_eq!(again.node.ports.len(), 1, "ports are found again, not added again");
}

#[test]
fn warnings_of_rules_name_the_rule() {
    let processed = first(
        &raw(),
        &[rule(json!({"conditions": [{"op": "lt", "field": "cpu_arch", "value": 5}],
                                                "actions": [{"action": "fail", "message": "m"}]}))],
    );
    assert_eq!(
        processed.warnings,
        ["rule 00000000-0000-0000-0000-000000000001: lt cpu_arch: 'x86_64' of type str is not an integer"]
    );
    assert_eq!(processed.outcome, Ok(()));
}

#[test]
fn documents_that_are_none_or_too_deep_are_refused() {
    assert_eq!(first(&json!([]), &[]).outcome, Err(Failure::new("Invalid data: expected a JSON object, got list")));
    let mut deep = json!([]);
    for _ in 0..3000 {
        deep = Value::Array(vec![deep]);
    }
    let deep = Value::Object([("a".to_owned(), deep)].into_iter().collect());
    assert_eq!(first(&deep, &[]).outcome, Err(Failure::new("Invalid data: nested deeper than 100 levels")));
}

/// Values of every kind under the keys that hooks read.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|truth| json!(truth)),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        "\\PC{0,8}".prop_map(|text| json!(text)),
        prop_oneof![Just("52:54:00:aa:00:01"), Just("192.0.2.1"), Just("eth0"), Just("0411"), Just("{data}")]
            .prop_map(|text| json!(text)),
    ];
    let key = proptest::sample::select(vec![
        "inventory",
        "interfaces",
        "disks",
        "cpu",
        "memory",
        "boot",
        "name",
        "mac_address",
        "ipv4_address",
        "size",
        "count",
        "flags",
        "physical_mb",
        "fleet",
        "net",
        "links",
        "lldp",
        "lldp_raw",
        "pci_devices",
        "vendor_id",
        "root_disk",
        "data",
        "error",
        "serial",
        "all_interfaces",
        "macs",
        "bmc_address",
        "boot_interface",
        "logs",
        "eth0",
        "x",
    ]);
    leaf.prop_recursive(6, 80, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(|items| json!(items)),
            proptest::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|entries| entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

/// Rules that touch much of a document.
fn some_rules() -> Vec<Rule> {
    ["eq", "ne", "lt", "le", "gt", "ge"]
        .into_iter()
        .map(|op| json!({"conditions": [{"op": op, "field": "$..x", "value": 5}],
                         "actions": [{"action": "set-attribute", "path": "/extra/x", "value": "{data[inventory]:>5}"}]}))
        .chain([
            json!({"conditions": [{"op": "contains", "field": "$..*", "value": "a", "multiple": "all", "invert": true}],
                   "actions": [{"action": "set-capability", "name": "n", "value": "{data}"}]}),
            json!({"actions": [{"action": "extend-attribute", "path": "extra/l", "value": {"{data[macs]}": "{data[macs][0]!r}"}}]}),
        ])
        .map(rule)
        .collect()
}

fn all_hooks() -> Settings {
    let names: Vec<&str> = hooks::HOOKS.iter().map(|hook| hook.name).collect();
    serde_json::from_value(json!({
        "processing": {"processing_hooks": names, "add_ports": "all", "keep_ports": "added"},
        "pci_devices": {"alias": [{"vendor_id": "1", "product_id": "2", "name": "n"}]},
        "port_physnet": {"cidr_map": ["192.0.2.0/24:a"]},
    }))
    .unwrap()
}

proptest! {
    #[test]
    fn arbitrary_documents_never_panic(raw in values(), properties in values()) {
        let mut node = node();
        node.properties = properties.as_object().cloned().unwrap_or_default();
        for settings in [Settings::default(), all_hooks()] {
            let once = process(&raw, &node, &some_rules(), &settings, Mode::First);
            let again = process(&raw, &once.node, &some_rules(), &settings, Mode::Reapply);
            prop_assert_eq!(once.outcome.is_ok() && once.document.is_none(), false);
            // What came out is what can be stored and read.
            let stored: Node = serde_json::from_value(again.node.document()).unwrap();
            prop_assert_eq!(stored, again.node);
        }
    }
}
