use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn decoded(tlvs: Value) -> Value {
    Value::Object(decode(&tlvs))
}

#[test]
fn a_usual_switch() {
    let tlvs = json!([
        [1, "04112233aabbcc"],
        [2, "0545746865726e6574312f31"],
        [3, "0078"],
        [4, "75706c696e6b"],
        [5, "7377312e6578616d706c6500"],
        [6, "4578616d706c65204f53"],
        [7, "00140004"],
        [8, "0501c000020102000000010a"],
        [8, "110220010db8000000000000000000000001020000000100"],
        [8, "0706112233aabbcc020000000100"],
        [127, "0080c2010064"],
        [127, "0080c202060065"],
        [127, "0080c202060066"],
        [127, "0080c3010064"],
        [127, "0080c30300640476313030"],
        [127, "0080c20300640476313030"],
        [127, "0080c20300c80476323030"],
        [127, "0080c2040288cc"],
        [127, "0080c206000a"],
        [127, "00120f01036c010010"],
        [127, "00120f030300000007"],
        [127, "00120f042400"],
        [0, ""],
    ]);
    let want = json!({
        "switch_chassis_id": "11:22:33:aa:bb:cc",
        "switch_port_id": "Ethernet1/1",
        "switch_port_description": "uplink",
        "switch_system_name": "sw1.example",
        "switch_system_description": "Example OS",
        "switch_capabilities_support": ["Bridge", "Router"],
        "switch_capabilities_enabled": ["Bridge"],
        "switch_mgmt_addresses": ["192.0.2.1", "2001:db8::1", "11:22:33:aa:bb:cc"],
        "switch_port_untagged_vlan_id": 100,
        "switch_port_protocol_vlan_support": true,
        "switch_port_protocol_vlan_enabled": true,
        "switch_port_protocol_vlan_ids": [101, 102],
        "switch_port_vlans": [{"name": "v100", "id": 100}, {"name": "v200", "id": 200}],
        "switch_protocol_identities": ["88cc"],
        "switch_port_management_vlan_id": 10,
        "switch_port_autonegotiation_support": true,
        "switch_port_autonegotiation_enabled": true,
        "switch_port_physical_capabilities":
            ["10BASE-T hdx", "10BASE-T fdx", "100BASE-TX hdx", "100BASE-TX fdx", "1000BASE-T fdx"],
        "switch_port_mau_type": "100BASE-TX full duplex",
        "switch_port_link_aggregation_support": true,
        "switch_port_link_aggregation_enabled": true,
        "switch_port_link_aggregation_id": 7,
        "switch_port_mtu": 9216,
    });
    assert_eq!(decoded(tlvs), want);
}

#[test]
fn ids_of_every_subtype() {
    for (tlv, want) in [
        (json!([1, "0761"]), json!({"switch_chassis_id": "a"})),
        (json!([1, "0501c0000201"]), json!({"switch_chassis_id": "192.0.2.1"})),
        (json!([1, "0506112233aabbcc"]), json!({"switch_chassis_id": "11:22:33:aa:bb:cc"})),
        (json!([1, "0509c0000201"]), json!({})),
        (json!([1, "0861"]), json!({})),
        (json!([2, "03112233AABBCC"]), json!({"switch_port_id": "11:22:33:aa:bb:cc"})),
        (json!([2, "0401c0000201"]), json!({"switch_port_id": "192.0.2.1"})),
        (json!([2, "0661"]), json!({})),
    ] {
        assert_eq!(decoded(json!([tlv])), want);
    }
}

#[test]
fn malformed_tlvs_are_skipped_and_first_values_stay() {
    let tlvs = json!([
        [5, "ff"],
        [5, "abc"],
        [5, "zz"],
        [5],
        [5, "61", 1],
        ["5", "61"],
        null,
        [5, 97],
        [-5, "61"],
        [7, "001400"],
        [7, "0014000400"],
        [127, "0080c20100"],
        [127, "0080c2"],
        [127, ""],
        [1, ""],
        [1, "0411"],
        [8, "ff01"],
        [127, "00120f01036c01"],
        [127, "0080c2030064ff76"],
        [5, "61"],
        [5, "62"],
    ]);
    assert_eq!(decoded(tlvs), json!({"switch_system_name": "a"}));
    for other in [json!(null), json!({}), json!("x"), json!(1)] {
        assert_eq!(decoded(other), json!({}));
    }
}

#[test]
fn types_beyond_ten_gigabit_are_kept() {
    for (number, want) in [("0062", "100GBASE-CR4"), ("ffff", "unknown (65535)")] {
        let all = decoded(json!([[127, format!("00120f01000000{number}")]]));
        assert_eq!(all["switch_port_mau_type"], want);
    }
}

#[test]
fn number_and_size_are_limited() {
    let many = vec![json!([127, "0080c202060065"]); 2000];
    assert_eq!(decoded(json!(many))["switch_port_protocol_vlan_ids"].as_array().unwrap().len(), 512);
    let large = vec![json!([8, format!("0501c0000201{}", "00".repeat(500))]); 100];
    assert_eq!(decoded(json!(large))["switch_mgmt_addresses"].as_array().unwrap().len(), 8);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        tlvs in proptest::collection::vec((0u64..130, proptest::collection::vec(any::<u8>(), 0..40)), 0..20),
        organisation in prop_oneof![Just([0x00, 0x80, 0xc2]), Just([0x00, 0x12, 0x0f])],
    ) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let plain: Vec<Value> = tlvs.iter().map(|(kind, body)| json!([kind, hex(body)])).collect();
        let special: Vec<Value> =
            tlvs.iter().map(|(_, body)| json!([127, hex(&organisation) + &hex(body)])).collect();
        let _ = decode(&json!(plain));
        let _ = decode(&json!(special));
    }
}
