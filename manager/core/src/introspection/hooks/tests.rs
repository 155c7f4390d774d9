use serde_json::{Value, json};

use super::*;

mod disks;
mod interfaces;
mod links;

fn node() -> Node {
    Node::new("6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3".parse().unwrap(), "ceph-07")
}

fn settings(options: Value) -> Settings {
    serde_json::from_value(options).unwrap()
}

/// What one hook made of a document.
struct Ran {
    data: Value,
    node: Node,
    warnings: Vec<String>,
    result: Result<(), String>,
}

/// Runs the parts of one hook.
fn run(name: &str, data: Value, node: &Node, settings: &Settings) -> Ran {
    let hook = by_name(name).unwrap();
    let (mut node, mut warnings) = (node.clone(), Vec::new());
    let mut data = data.as_object().cloned().unwrap();
    let mut facts = Facts { data: &mut data, settings, warnings: &mut warnings };
    let result = hook.pre.map_or(Ok(()), |pre| pre(&mut facts));
    let result = result.and_then(|()| hook.post.map_or(Ok(()), |post| post(&mut facts, &mut node)));
    Ran { data: Value::Object(data), node, warnings, result: result.map_err(|failure| failure.message) }
}

fn with_defaults(name: &str, data: Value) -> Ran {
    run(name, data, &node(), &Settings::default())
}

#[test]
fn settings_have_upstream_names_and_defaults() {
    let settings = settings(json!({
        "processing": {"add_ports": "active", "keep_ports": "present", "processing_hooks": ["raid_device"]},
        "capabilities": {"boot_mode": true}, "port_physnet": {"cidr_map": ["2001:db8::/32:storage"]},
        "pci_devices": {"alias": [{"vendor_id": "8086", "product_id": "1572", "name": "nic"}]},
    }));
    assert!(settings.processing.overwrite_existing && settings.processing.disk_partitioning_spacing);
    assert_eq!(settings.port_physnet.cidr_map[0].physical_network(), "storage");
    assert_eq!(settings.hooks().map(|hook| hook.name).collect::<Vec<_>>(), ["raid_device"]);
    let again: Settings = serde_json::from_value(serde_json::to_value(&settings).unwrap()).unwrap();
    assert_eq!(again, settings);
    for bad in [
        json!({"unknown": {}}),
        json!({"processing": {"power_off": true}}),
        json!({"processing": {"processing_hooks": ["nothing"]}}),
        json!({"processing": {"add_ports": "some"}}),
        json!({"port_physnet": {"cidr_map": ["10.0.0.0/8"]}}),
        json!({"port_physnet": {"cidr_map": ["zz:net"]}}),
    ] {
        assert!(serde_json::from_value::<Settings>(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn the_default_list_is_that_of_the_specification() {
    let names: Vec<&str> = Settings::default().hooks().map(|hook| hook.name).collect();
    assert_eq!(
        names,
        [
            "ramdisk_error",
            "root_disk_selection",
            "scheduler",
            "validate_interfaces",
            "capabilities",
            "pci_devices",
            "lldp_basic",
            "local_link_connection",
            "physnet_cidr_map",
            "accelerators",
        ]
    );
}

/// Every hook file is a row of the table, and the other way round.
#[test]
fn names_are_unique_and_resolve() {
    for (index, hook) in HOOKS.iter().enumerate() {
        assert!(hook.pre.is_some() || hook.post.is_some(), "{}", hook.name);
        assert!(HOOKS[index + 1..].iter().all(|other| other.name != hook.name), "{}", hook.name);
    }
}

#[test]
fn ramdisk_error_fails_on_any_error() {
    for error in [json!(null), json!("")] {
        assert_eq!(with_defaults("ramdisk_error", json!({ "error": error })).result, Ok(()));
    }
    let ran = with_defaults("ramdisk_error", json!({"error": "no disk"}));
    assert_eq!(ran.result, Err("Ramdisk reported error: no disk".to_owned()));
}

#[test]
fn scheduler_writes_numbers_and_texts() {
    let data =
        json!({"inventory": {"cpu": {"count": 64, "architecture": "x86_64"}, "memory": {"physical_mb": 262144}}});
    let ran = with_defaults("scheduler", data.clone());
    assert_eq!(
        (&ran.data["cpus"], &ran.data["cpu_arch"], &ran.data["memory_mb"]),
        (&json!(64), &json!("x86_64"), &json!(262144))
    );
    assert_eq!(json!(ran.node.properties), json!({"cpus": "64", "cpu_arch": "x86_64", "memory_mb": "262144"}));

    let mut known = node();
    known.properties.insert("cpus".to_owned(), json!("1"));
    let keep = settings(json!({"processing": {"overwrite_existing": false}}));
    let ran = run("scheduler", data, &known, &keep);
    assert_eq!(json!(ran.node.properties), json!({"cpus": "1", "cpu_arch": "x86_64", "memory_mb": "262144"}));

    let ran = with_defaults("scheduler", json!({"inventory": {"cpu": {"count": 0, "architecture": []}}}));
    assert_eq!(ran.warnings.len(), 3);
    assert_eq!(ran.result, Ok(()));
}

#[test]
fn capabilities_from_flags_and_boot_mode() {
    let data =
        json!({"inventory": {"cpu": {"flags": ["svm", "aes", "pdpe1gb", "x"]}, "boot": {"current_boot_mode": "uefi"}}});
    let ran = with_defaults("capabilities", data.clone());
    assert_eq!(ran.node.properties["capabilities"], "cpu_vt:true,cpu_aes:true,cpu_hugepages_1g:true");
    let ran = run(
        "capabilities",
        data,
        &node(),
        &settings(json!({"capabilities": {"boot_mode": true, "cpu_flags": {"x": "y"}}})),
    );
    assert_eq!(ran.node.properties["capabilities"], "boot_mode:uefi,y:true");
    assert_eq!(with_defaults("capabilities", json!({"inventory": {}})).warnings.len(), 1);
}

#[test]
fn pci_devices_are_counted() {
    let options = settings(json!({"pci_devices": {"alias": [
        {"vendor_id": "10DE", "product_id": "1eb8", "name": "gpu"}, {"vendor_id": "0x8086", "product_id": "1", "name": "gone"}]}}));
    let mut known = node();
    known.set_capability("gone", Some("2"));
    known.set_capability("other", Some("1"));
    let t4 = json!({"vendor_id": "10de", "product_id": "1eb8"});
    let ran = run("pci_devices", json!({"pci_devices": [t4, t4, {}, 5]}), &known, &options);
    assert_eq!(ran.node.properties["capabilities"], "other:1,gpu:2");
    // Without the list nothing is known, and nothing changes.
    let ran = run("pci_devices", json!({}), &known, &options);
    assert_eq!((ran.node, ran.warnings.len()), (known, 1));
}

#[test]
fn accelerators_are_listed_and_forgotten() {
    let t4 = json!({"vendor_id": "10de", "product_id": "1EB8", "bus": "0000:82:00.0"});
    let ran = with_defaults("accelerators", json!({"pci_devices": [t4, {"vendor_id": "1"}]}));
    let want = json!([{"vendor_id": "10de", "device_id": "1eb8", "type": "GPU",
                       "device_info": "NVIDIA Corporation Tesla T4", "pci_address": "0000:82:00.0"}]);
    assert_eq!(ran.node.properties["accelerators"], want);
    let ran = run("accelerators", json!({"pci_devices": []}), &ran.node, &Settings::default());
    assert_eq!(ran.node.properties["accelerators"], json!([]));
    assert!(with_defaults("accelerators", json!({"pci_devices": []})).node.properties.is_empty());
}

#[test]
fn extra_hardware_is_nested() {
    let data = json!({"data": [["cpu", "logical", "number", "64"], ["cpu", "logical", "model", "M"], ["disk", "sda"], [],
                               ["cpu", "0", "x", 1.5, "more"]]});
    let ran = with_defaults("extra_hardware", data.clone());
    assert_eq!(ran.data, json!({"extra": {"cpu": {"logical": {"number": 64, "model": "M"}, "0": {"x": 1.5}}}}));
    let strict = settings(json!({"extra_hardware": {"strict": true}}));
    let ran = run("extra_hardware", data, &node(), &strict);
    assert_eq!((ran.data, ran.warnings.len()), (json!({}), 1));
    let ran = with_defaults("extra_hardware", json!({"data": ["x"]}));
    assert_eq!((ran.data, ran.warnings.len()), (json!({"data": ["x"]}), 1));
}
