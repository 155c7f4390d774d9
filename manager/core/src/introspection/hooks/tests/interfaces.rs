use serde_json::{Value, json};

use super::*;

const HOOK: &str = "validate_interfaces";

fn interface(name: &str, number: u8, ip: Option<&str>) -> Value {
    json!({"name": name, "mac_address": format!("52:54:00:AA:00:{number:02X}"), "ipv4_address": ip})
}

fn data(interfaces: Value) -> Value {
    json!({"inventory": {"bmc_address": "192.0.2.10", "bmc_v6address": "::/0", "interfaces": interfaces}})
}

fn policy(add_ports: &str) -> Settings {
    settings(json!({"processing": {"add_ports": add_ports}}))
}

fn names(ran: &Ran) -> Vec<String> {
    ran.data["interfaces"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn inventory_and_interfaces_must_be_there() {
    for (data, want) in [
        (json!({}), "Hardware inventory is empty or missing"),
        (json!({"inventory": {}}), "Hardware inventory is empty or missing"),
        (json!({"inventory": []}), "Hardware inventory is empty or missing"),
        (json!({"inventory": {"x": 1}}), "No network interfaces provided in the inventory"),
        (json!({"inventory": {"interfaces": []}}), "No network interfaces provided in the inventory"),
        (json!({"inventory": {"interfaces": [{"name": "eth0"}]}}), "No suitable interfaces found in {}"),
        (
            data(json!([interface("eth0", 1, None)])),
            "No suitable interfaces found in {'eth0': {'ip': None, 'mac': '52:54:00:aa:00:01', 'client_id': None, 'pxe': False}}",
        ),
    ] {
        assert_eq!(with_defaults(HOOK, data).result, Err(want.to_owned()));
    }
}

#[test]
fn entries_without_name_or_mac_are_passed_over() {
    let interfaces = json!([
        {"name": "eth0", "mac_address": "52:54:00:AA:00:01", "ipv4_address": null, "ipv6_address": "fe80::1%eth0", "client_id": "c"},
        {"name": "", "mac_address": "52:54:00:aa:00:02"}, {"mac_address": "52:54:00:aa:00:03"}, {"name": "ib0",
         "mac_address": "80:00:02:08:fe:80:00:00:00:00:00:00:f4:52:14:03:00:0d:e2:b1"}, 7, null
    ]);
    let ran = with_defaults(HOOK, data(interfaces));
    let want = json!({"eth0": {"ip": "fe80::1", "mac": "52:54:00:aa:00:01", "client_id": "c", "pxe": false}});
    assert_eq!((&ran.data["all_interfaces"], &ran.data["interfaces"]), (&want, &want));
    assert_eq!(ran.data["macs"], json!(["52:54:00:aa:00:01"]));
    assert_eq!((&ran.data["ipmi_address"], &ran.data["ipmi_v6address"]), (&json!("192.0.2.10"), &json!(null)));
    assert_eq!(json!(ran.node.ports[0].extra), json!({"client-id": "c"}));
}

#[test]
fn the_bmc_falls_back_only_where_the_inventory_is_silent() {
    for (inventory, legacy, want) in [
        (json!({"bmc_address": "0.0.0.0"}), json!("192.0.2.1"), json!(null)),
        (json!({"bmc_address": null}), json!("192.0.2.1"), json!(null)),
        (json!({}), json!("192.0.2.1"), json!("192.0.2.1")),
        (json!({}), json!(""), json!(null)),
    ] {
        let mut inventory = inventory;
        inventory["interfaces"] = json!([interface("eth0", 1, Some("192.0.2.5"))]);
        let ran = with_defaults(HOOK, json!({"inventory": inventory, "ipmi_address": legacy}));
        assert_eq!(ran.data["ipmi_address"], want);
    }
}

#[test]
fn policies_select_interfaces() {
    let interfaces = json!([
        interface("eth0", 1, Some("192.0.2.5")),
        interface("eth1", 2, None),
        interface("lo", 3, Some("127.0.0.1")),
        interface("dummy", 4, Some("127.0.0.2"))
    ]);
    let without_boot = data(interfaces);
    let mut with_boot = without_boot.clone();
    with_boot["boot_interface"] = json!("01-52-54-00-aa-00-02");
    for (add_ports, document, want, ports) in [
        ("pxe", &without_boot, vec!["eth0"], 1),
        ("pxe", &with_boot, vec!["eth1"], 1),
        ("active", &with_boot, vec!["eth0"], 1),
        ("all", &with_boot, vec!["eth0", "eth1"], 2),
        ("disabled", &with_boot, vec!["eth0"], 0),
    ] {
        let ran = run(HOOK, document.clone(), &node(), &policy(add_ports));
        assert_eq!(
            (names(&ran), ran.node.ports.len()),
            (want.iter().map(|s| (*s).to_owned()).collect(), ports),
            "{add_ports}"
        );
    }
    let ran = run(HOOK, with_boot, &node(), &policy("all"));
    assert_eq!(ran.node.ports.iter().map(|port| port.pxe_enabled).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn our_own_agent_needs_one_interface_and_the_minimum() {
    let mut document = data(json!([interface("eth0", 1, None), interface("bmc0", 2, None)]));
    document["fleet"] = json!({"net": {"links": [{"name": "bmc0", "bmc_inband": true}, {"name": "eth0"}]}});
    let ran = with_defaults(HOOK, document.clone());
    assert_eq!(ran.result, Err("Hardware inventory does not contain cpu.count".to_owned()));
    document["inventory"]["cpu"] = json!({"count": 8});
    let ran = with_defaults(HOOK, document.clone());
    assert_eq!(ran.result, Err("Hardware inventory does not contain memory.total".to_owned()));
    document["inventory"]["memory"] = json!({"total": 1024});
    let ran = with_defaults(HOOK, document);
    assert_eq!(ran.result, Ok(()));
    assert_eq!((names(&ran), ran.warnings.len()), (vec!["eth0".to_owned()], 1), "the way to the BMC is no port");
}

fn with_ports(state: &str) -> Node {
    let mut node = node();
    node.provision_state = state.to_owned();
    for address in ["52:54:00:aa:00:01", "52:54:00:AA:00:02", "52:54:00:aa:00:09"] {
        let port = json!({"address": address, "pxe_enabled": true});
        node.ports.push(serde_json::from_value(port).unwrap());
    }
    node
}

#[test]
fn ports_are_kept_by_policy_and_never_deleted_in_service() {
    let mut document = data(json!([
        interface("eth0", 1, Some("192.0.2.5")),
        interface("eth1", 2, None),
        interface("eth2", 3, Some("192.0.2.6"))
    ]));
    document["boot_interface"] = json!("52:54:00:aa:00:02");
    for (state, keep_ports, want) in [
        ("manageable", "all", vec!["01", "02", "09", "03"]),
        ("manageable", "present", vec!["01", "02", "03"]),
        ("manageable", "added", vec!["01", "03"]),
        ("active", "added", vec!["01", "02", "09", "03"]),
        ("rescue", "present", vec!["01", "02", "09", "03"]),
    ] {
        let options = settings(json!({"processing": {"add_ports": "active", "keep_ports": keep_ports}}));
        let ran = run(HOOK, document.clone(), &with_ports(state), &options);
        let left: Vec<&str> = ran.node.ports.iter().map(|port| &port.address[15..]).collect();
        assert_eq!(left, want, "{state} {keep_ports}");
        let switched = state == "manageable";
        assert!(
            ran.node.ports.iter().take(3).all(|port| port.pxe_enabled == (!switched || port.address.ends_with("02")))
        );
    }
}

#[test]
fn pxe_enabled_stays_where_told_or_unknown() {
    let mut document = data(json!([interface("eth0", 1, Some("192.0.2.5"))]));
    let ran = with_defaults(HOOK, document.clone());
    assert_eq!(ran.result, Ok(()));
    let ran = run(HOOK, document.clone(), &with_ports("manageable"), &Settings::default());
    assert!(ran.node.ports.iter().all(|port| port.pxe_enabled), "no boot interface is known");
    document["boot_interface"] = json!("52:54:00:aa:00:01");
    for option in ["overwrite_existing", "update_pxe_enabled"] {
        let options = settings(json!({"processing": {option: false}}));
        let ran = run(HOOK, document.clone(), &with_ports("manageable"), &options);
        assert!(ran.node.ports.iter().all(|port| port.pxe_enabled), "{option}");
    }
}
