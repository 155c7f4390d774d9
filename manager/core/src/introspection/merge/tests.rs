use super::*;

fn section(hash: &str) -> Value {
    json!({"status": "ok", "hash": hash, "ttl_s": 600})
}

fn base() -> Value {
    json!({
        "inventory": {
            "interfaces": [{"name": "eth0", "lldp": [[1, "00"]]}],
            "disks": [{"name": "/dev/sda"}],
            "cpu": {"count": 4},
            "bmc_address": "192.0.2.1", "bmc_mac": "aa:bb:cc:00:00:01",
            "system_vendor": {"product_name": "P", "firmware": {"vendor": "V", "version": "1", "build_date": "D"}},
        },
        "root_disk": {"name": "/dev/sda"},
        "lldp_raw": {"eth0": [[1, "00"]]},
        "fleet": {
            "schema": 1, "complete": true,
            "sections": {"net": section("n1"), "lldp": section("l1"), "storage": section("s1"), "cpu": section("c1"),
                "system": section("y1"), "firmware": section("f1"), "bmc": section("b1")},
            "firmware": {"vendor": "V", "version": "1", "build_date": "D"}, "storage": {"disks": 1}, "cpu": {"count": 4},
        },
    })
}

/// A probe of one section.
fn partial(name: &str, record: Value, inventory: Value, facts: Value) -> Value {
    json!({"inventory": inventory, "error": null,
        "fleet": {"schema": 1, "complete": false, "sections": {name: record}, name: facts}})
}

#[test]
fn a_section_replaces_what_it_fills_and_nothing_else() {
    let new = partial("storage", section("s2"), json!({"disks": []}), json!({"disks": 0}));
    let merged = merge(Some(&base()), new);
    let mut expected = base();
    expected["inventory"]["disks"] = json!([]);
    expected.as_object_mut().unwrap().shift_remove("root_disk");
    expected["fleet"]["storage"] = json!({"disks": 0});
    expected["fleet"]["sections"]["storage"] = section("s2");
    assert_eq!(merged.document, expected);
    assert!(merged.changed);
    assert_eq!(merged.read, [Read { name: "storage".into(), ttl_s: 600, status: "ok".into() }]);
}

#[test]
fn an_equal_hash_is_no_change_and_a_new_status_is() {
    let same = partial("cpu", section("c1"), json!({"cpu": {"count": 4, "frequency": "2"}}), json!({"load": 3}));
    assert!(!merge(Some(&base()), same).changed);
    let mut record = section("c1");
    record["status"] = json!("partial");
    assert!(merge(Some(&base()), partial("cpu", record, json!({"cpu": {}}), json!({}))).changed);
    assert!(merge(Some(&base()), partial("usb", section("u1"), json!({}), json!({}))).changed, "a new section");
}

#[test]
fn what_did_not_answer_takes_nothing_away() {
    for status in ["timeout", "error"] {
        let record = json!({"status": status, "hash": "x"});
        let merged = merge(Some(&base()), partial("storage", record, json!({"disks": []}), json!({})));
        assert_eq!((merged.document, merged.changed, merged.read.len()), (base(), false, 0), "{status}");
    }
}

#[test]
fn places_of_two_sections_keep_the_part_that_was_not_read() {
    let net = partial("net", section("n2"), json!({"interfaces": [{"name": "eth0", "lldp": null}]}), json!({}));
    let merged = merge(Some(&base()), net).document;
    assert_eq!(merged["inventory"]["interfaces"][0]["lldp"], json!([[1, "00"]]));
    let mut lldp = partial("lldp", section("l2"), json!({}), json!({}));
    lldp["lldp_raw"] = json!({"eth0": [[2, "01"]]});
    let merged = merge(Some(&base()), lldp).document;
    assert_eq!(merged["inventory"]["interfaces"][0]["lldp"], json!([[2, "01"]]));
    let vendor =
        json!({"system_vendor": {"product_name": "Q", "firmware": {"vendor": "", "version": "", "build_date": ""}}});
    let merged = merge(Some(&base()), partial("system", section("y2"), vendor, json!({}))).document;
    let found = &merged["inventory"]["system_vendor"];
    assert_eq!((&found["product_name"], &found["firmware"]["version"]), (&json!("Q"), &json!("1")));
    let facts = json!({"vendor": "V", "version": "2", "build_date": "E"});
    let merged = merge(Some(&base()), partial("firmware", section("f2"), json!({"boot": {}}), facts)).document;
    assert_eq!(merged["inventory"]["system_vendor"]["firmware"]["version"], "2");
}

#[test]
fn a_management_controller_without_a_mac_loses_it() {
    let bmc = json!({"bmc_address": "192.0.2.2", "bmc_v6address": "::/0"});
    let merged = merge(Some(&base()), partial("bmc", section("b2"), bmc, json!({}))).document;
    assert_eq!(merged["inventory"].get("bmc_mac"), None);
    assert_eq!(merged["inventory"]["bmc_address"], "192.0.2.2");
}

#[test]
fn a_whole_document_replaces_everything() {
    let foreign = json!({"inventory": {"cpu": {}}});
    assert!(is_whole(&foreign) && is_whole(&base()));
    assert_eq!(merge(Some(&base()), foreign.clone()).document, foreign);
    let part = partial("cpu", section("c"), json!({}), json!({}));
    assert!(!is_whole(&part));
    assert_eq!(merge(None, part.clone()).document, part);
}
