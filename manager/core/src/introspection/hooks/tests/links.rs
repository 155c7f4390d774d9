use serde_json::{Value, json};

use super::*;

fn document() -> Value {
    json!({
        "inventory": {"interfaces": [
            {"name": "ens1f0", "mac_address": "52:54:00:AA:00:01", "ipv4_address": "192.0.2.50", "ipv6_address": "2001:db8::5",
             "lldp": [[1, "04112233aabbcc"]]},
            {"name": "ens1f1", "mac_address": "52:54:00:AA:00:02", "ipv4_address": null, "lldp": [[1, "0761"], [2, "0770"]]},
            {"name": "nomac", "lldp": [[1, "0761"]]},
            {"name": "quiet", "mac_address": "52:54:00:AA:00:03", "lldp": []},
        ]},
        "lldp_raw": {"ens1f0": [[1, "0411223344556f"], [2, "0545746865726e6574312f31"], [4, "75706c696e6b"], [5, "737731"]]},
        "all_interfaces": {
            "ens1f0": {"mac": "52:54:00:aa:00:01"}, "ens1f1": {"mac": "52:54:00:aa:00:02"}, "quiet": {"mac": "52:54:00:aa:00:03"},
        },
    })
}

fn with_port() -> Node {
    let mut node = node();
    for number in 1..3 {
        // Registered by hand, in capitals.
        let port = json!({"address": format!("52:54:00:AA:00:0{number}"), "local_link_connection": {"port_id": "old"}});
        node.ports.push(serde_json::from_value(port).unwrap());
    }
    node
}

#[test]
fn announcements_are_decoded_into_the_interfaces() {
    let ran = with_defaults("lldp_basic", document());
    assert_eq!(ran.data["all_interfaces"]["ens1f0"]["lldp_processed"]["switch_chassis_id"], "11:22:33:44:55:6f");
    assert_eq!(
        ran.data["all_interfaces"]["ens1f1"]["lldp_processed"],
        json!({"switch_chassis_id": "a", "switch_port_id": "p"})
    );
    assert_eq!(ran.data["all_interfaces"]["quiet"], json!({"mac": "52:54:00:aa:00:03"}));
    assert_eq!(ran.data["all_interfaces"].get("nomac"), None);
    assert_eq!(with_defaults("lldp_basic", json!({})).result, Ok(()));
}

#[test]
fn ports_learn_where_their_cable_ends() {
    let decoded = with_defaults("lldp_basic", document()).data;
    // Decoded or raw, the result is the same.
    for data in [document(), decoded] {
        let ran = run("local_link_connection", data, &with_port(), &Settings::default());
        assert_eq!(
            json!(ran.node.ports[0].local_link_connection),
            json!({"port_id": "Ethernet1/1", "switch_id": "11:22:33:44:55:6f", "switch_info": "sw1", "port_description": "uplink"})
        );
        assert_eq!(json!(ran.node.ports[1].local_link_connection), json!({"port_id": "p"}), "'a' is no switch id");
    }
    let keep = settings(json!({"processing": {"overwrite_existing": false}}));
    let ran = run("local_link_connection", document(), &with_port(), &keep);
    assert_eq!(ran.node.ports[0].local_link_connection["port_id"], "old");
    assert_eq!(ran.node.ports[0].local_link_connection["switch_info"], "sw1");
}

#[test]
fn physical_networks_by_address() {
    let map = |cidrs: &[&str]| settings(json!({"port_physnet": {"cidr_map": cidrs}}));
    for (cidrs, want) in [
        (vec!["192.0.2.0/24:a", "2001:db8::/32:b"], Some("a")),
        (vec!["198.51.100.0/24:a", "2001:db8::/32:b"], Some("b")),
        (vec!["198.51.100.0/24:a"], None),
    ] {
        let ran = run("physnet_cidr_map", document(), &with_port(), &map(&cidrs));
        assert_eq!(ran.node.ports[0].physical_network.as_deref(), want);
        assert_eq!(ran.node.ports[1].physical_network, None);
    }
    let mut known = with_port();
    known.ports[0].physical_network = Some("old".to_owned());
    let mut keep = map(&["192.0.2.0/24:a"]);
    keep.processing.overwrite_existing = false;
    assert_eq!(
        run("physnet_cidr_map", document(), &known, &keep).node.ports[0].physical_network.as_deref(),
        Some("old")
    );
}
