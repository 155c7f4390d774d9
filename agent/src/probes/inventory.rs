//! The `inventory` of the original introspection service (spec/introspection.md §4.2), assembled from our own sections, so
//! that both can never disagree. Pure.

use serde_json::{Map, Value, json};

/// Smallest disk that may be the root disk, in bytes.
const ROOT_DISK_MIN: u64 = 4 << 30;

type Fleet = Map<String, Value>;

/// Builds the inventory. Keys whose section was not collected are absent.
pub(super) fn build(fleet: &Fleet) -> Value {
    let mut inventory = Map::new();
    if let Some(net) = fleet.get("net") {
        inventory.insert("interfaces".into(), interfaces(net, fleet.get("lldp")));
    }
    if let Some(cpu) = fleet.get("cpu") {
        inventory.insert(
            "cpu".into(),
            pick(cpu, &["count", "architecture", "model_name", "frequency", "flags", "socket_count"]),
        );
    }
    if let Some(storage) = fleet.get("storage") {
        inventory.insert("disks".into(), disks(storage));
    }
    if let Some(memory) = fleet.get("memory") {
        inventory.insert("memory".into(), pick(memory, &["total", "physical_mb"]));
    }
    if let Some(bmc) = fleet.get("bmc") {
        inventory.insert("bmc_address".into(), bmc["address"].clone());
        inventory.insert("bmc_v6address".into(), bmc["v6address"].clone());
        if let Some(mac) = bmc["mac"].as_str() {
            inventory.insert("bmc_mac".into(), json!(mac));
        }
    }
    if let Some(system) = fleet.get("system") {
        inventory.insert("system_vendor".into(), system_vendor(system, fleet.get("firmware")));
        inventory.insert("hostname".into(), json!(system["hostname"].as_str().unwrap_or_default()));
    }
    if let Some(firmware) = fleet.get("firmware") {
        let boot = json!({"current_boot_mode": firmware["boot_mode"], "pxe_interface": firmware["pxe_interface"]});
        inventory.insert("boot".into(), boot);
    }
    Value::Object(inventory)
}

/// What of the mandatory minimum is missing, in the upstream agent's form; `None` if nothing is. Only sections that were
/// collected count.
pub(super) fn shortfall(inventory: &Value, fleet: &Fleet) -> Option<String> {
    let mut lines = Vec::new();
    let has_mac = |list: &Vec<Value>| list.iter().any(|interface| interface["mac_address"].is_string());
    if fleet.contains_key("net") && !inventory["interfaces"].as_array().is_some_and(has_mac) {
        lines.push("* no network interface with a MAC address");
    }
    if fleet.contains_key("cpu") && inventory["cpu"]["count"].as_u64().is_none_or(|count| count == 0) {
        lines.push("* the number of processors is unknown");
    }
    if fleet.contains_key("memory") && inventory["memory"]["total"].as_u64().is_none_or(|total| total == 0) {
        lines.push("* the size of memory is unknown");
    }
    (!lines.is_empty()).then(|| format!("The following errors were encountered:\n{}", lines.join("\n")))
}

/// The smallest disk of at least 4 GiB, ties by name; disks that can be pulled out like a stick are no candidates.
pub(super) fn root_disk(inventory: &Value, fleet: &Fleet) -> Option<Value> {
    let extended = fleet.get("storage").map(|storage| &storage["disks"]);
    let loose = |disk: &Value| {
        let of = |entry: &&Value| entry["name"] == disk["name"];
        let entry = extended.and_then(Value::as_array).and_then(|all| all.iter().find(of));
        entry.is_some_and(|entry| entry["removable"] == true || entry["tran"] == "usb")
    };
    inventory["disks"]
        .as_array()?
        .iter()
        .filter(|disk| disk["size"].as_u64().is_some_and(|size| size >= ROOT_DISK_MIN) && !loose(disk))
        .min_by_key(|disk| (disk["size"].as_u64(), disk["name"].as_str().map(str::to_owned)))
        .cloned()
}

fn pick(facts: &Value, keys: &[&str]) -> Value {
    Value::Object(keys.iter().map(|key| ((*key).to_owned(), facts[*key].clone())).collect())
}

fn disks(storage: &Value) -> Value {
    let keys = [
        "name",
        "model",
        "size",
        "rotational",
        "wwn",
        "serial",
        "vendor",
        "wwn_with_extension",
        "wwn_vendor_extension",
        "hctl",
        "by_path",
        "logical_sectors",
        "physical_sectors",
        "tran",
    ];
    let all = storage["disks"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().filter(|disk| disk["listed"] == true).map(|disk| pick(disk, &keys)).collect()
}

fn interfaces(net: &Value, lldp: Option<&Value>) -> Value {
    let all = net["links"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter()
        .filter(|link| link["listed"] == true && link["mac_address"].is_string())
        .map(|link| {
            let name = link["name"].as_str().unwrap_or_default();
            json!({
                "name": name,
                "mac_address": link["mac_address"],
                "ipv4_address": address(link, '.'),
                "ipv6_address": address(link, ':'),
                "has_carrier": link["has_carrier"],
                "lldp": lldp.map_or(&Value::Null, |lldp| &lldp["raw"][name]),
                "vendor": link["vendor"],
                "product": link["product"],
                "client_id": link["client_id"],
                "biosdevname": link["label"],
                "speed_mbps": link["speed_mbps"],
                "pci_address": link["pci_address"],
                "driver": link["driver"],
            })
        })
        .collect()
}

/// The first global address of a family, else the first of any scope, without zone. The separator tells the family.
fn address(link: &Value, separator: char) -> Value {
    let all = link["addresses"].as_array().map_or(&[][..], Vec::as_slice);
    let text = |entry: &Value| entry["address"].as_str().unwrap_or_default().to_owned();
    let family: Vec<&Value> = all
        .iter()
        .filter(|entry| if separator == ':' { text(entry).contains(':') } else { !text(entry).contains(':') })
        .collect();
    let global = family.iter().find(|entry| entry["scope"] == "global" && entry["secondary"] != true);
    let any = family.iter().find(|entry| entry["scope"] == "global").or(family.first());
    global.or(any).map_or(Value::Null, |entry| json!(text(entry)))
}

fn system_vendor(system: &Value, firmware: Option<&Value>) -> Value {
    let text = |key: &str| json!(system[key].as_str().unwrap_or_default());
    let firmware = |key: &str| json!(firmware.and_then(|firmware| firmware[key].as_str()).unwrap_or_default());
    json!({
        "product_name": text("product_name"),
        "serial_number": text("serial_number"),
        "manufacturer": text("manufacturer"),
        "firmware": {"vendor": firmware("vendor"), "version": firmware("version"), "build_date": firmware("build_date")},
        "system_uuid": system["system_uuid"],
        "sku": text("sku"),
        "family": text("family"),
        "chassis_serial": text("chassis_serial"),
        "board_serial": text("board_serial"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_counts_only_where_it_was_asked_for() {
        let none = Fleet::new();
        assert_eq!(shortfall(&build(&none), &none), None);
        let empty: Fleet =
            [("net".to_owned(), json!({})), ("cpu".to_owned(), json!({"count": 4}))].into_iter().collect();
        let text = shortfall(&build(&empty), &empty).unwrap();
        assert_eq!(text, "The following errors were encountered:\n* no network interface with a MAC address");
    }

    #[test]
    fn global_addresses_go_first() {
        let link = json!({"addresses": [
            {"address": "fe80::1", "scope": "link", "secondary": false},
            {"address": "2001:db8::2", "scope": "global", "secondary": true},
            {"address": "2001:db8::1", "scope": "global", "secondary": false}]});
        assert_eq!(address(&link, ':'), "2001:db8::1");
        assert_eq!(address(&link, '.'), Value::Null);
    }
}
