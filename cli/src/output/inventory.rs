//! What an inventory says of a machine in a few lines (the document of spec/introspection.md §4.2 and §6.4).
//!
//! Every fact may be missing; what is missing is left out or shown as `-`.

use serde_json::Value;

use super::field::{UNKNOWN, at, list, show, string};
use super::human;

/// One line of facts: a label, and the text beside it.
pub type Line = (&'static str, String);

/// The machine in a line per subject: system, operating system, CPU, memory.
#[must_use]
pub fn machine(document: &Value) -> Vec<Line> {
    let mut lines = vec![("System", system(document))];
    if let Some(os) = operating_system(document) {
        lines.push(("OS", os));
    }
    lines.push(("CPU", cpu(document)));
    lines.push(("Memory", memory(document)));
    lines
}

fn system(document: &Value) -> String {
    let vendor = at(document, "inventory.system_vendor");
    let name = words(&[string(vendor, "manufacturer"), string(vendor, "product_name")]);
    let serial = string(vendor, "serial_number").map(|serial| format!("serial {}", human::clean(serial)));
    let boot = string(document, "inventory.boot.current_boot_mode").map(|mode| format!("{} boot", human::clean(mode)));
    join(&[(!name.is_empty()).then_some(name), serial, boot])
}

fn operating_system(document: &Value) -> Option<String> {
    let name = string(document, "fleet.os.release.pretty_name");
    let kernel = string(document, "fleet.os.kernel.running");
    let kernel = kernel.map(|kernel| format!("kernel {}", human::clean(kernel)));
    let text = join(&[name.map(human::clean), kernel]);
    (text != UNKNOWN).then_some(text)
}

fn cpu(document: &Value) -> String {
    let cpu = at(document, "inventory.cpu");
    let count = cpu["count"].as_u64().map(|count| format!("{count} {}", plural(count, "thread", "threads")));
    let sockets = cpu["socket_count"].as_u64().filter(|sockets| *sockets > 0);
    let sockets = sockets.map(|sockets| format!("{sockets} {}", plural(sockets, "socket", "sockets")));
    join(&[string(cpu, "model_name").map(human::clean), count, sockets, string(cpu, "architecture").map(human::clean)])
}

fn memory(document: &Value) -> String {
    let memory = at(document, "inventory.memory");
    let installed =
        memory["physical_mb"].as_u64().filter(|count| *count > 0).map(|count| count.saturating_mul(1 << 20));
    match (installed, memory["total"].as_u64()) {
        (Some(installed), Some(total)) => format!("{} ({} usable)", human::bytes(installed), human::bytes(total)),
        (Some(bytes), None) | (None, Some(bytes)) => human::bytes(bytes),
        (None, None) => UNKNOWN.into(),
    }
}

/// The disks.
#[must_use]
pub fn disks(document: &Value) -> &[Value] {
    list(document, "inventory.disks")
}

/// The sum of the disks' sizes.
#[must_use]
pub fn disk_total(document: &Value) -> String {
    human::bytes(disks(document).iter().filter_map(|disk| disk["size"].as_u64()).sum())
}

/// Size of a disk.
#[must_use]
pub fn disk_size(disk: &Value) -> String {
    disk["size"].as_u64().map_or_else(|| UNKNOWN.into(), human::bytes)
}

/// Kind of a disk: how it is attached, and whether it rotates.
#[must_use]
pub fn disk_kind(disk: &Value) -> String {
    let medium = disk["rotational"].as_bool().map(|rotates| if rotates { "HDD" } else { "SSD" });
    let text = words(&[string(disk, "tran"), medium]);
    if text.is_empty() { UNKNOWN.into() } else { text }
}

/// Vendor and model of a disk; numeric vendor ids are left out.
#[must_use]
pub fn disk_model(disk: &Value) -> String {
    let vendor = string(disk, "vendor").filter(|vendor| !vendor.starts_with("0x"));
    let text = words(&[vendor, string(disk, "model")]);
    if text.is_empty() { UNKNOWN.into() } else { text }
}

/// The network interfaces.
#[must_use]
pub fn interfaces(document: &Value) -> &[Value] {
    list(document, "inventory.interfaces")
}

/// The address of an interface, IPv4 first.
#[must_use]
pub fn interface_address(interface: &Value) -> String {
    let address = string(interface, "ipv4_address").or_else(|| string(interface, "ipv6_address"));
    address.map_or_else(|| UNKNOWN.into(), human::clean)
}

/// Whether an interface has a carrier.
#[must_use]
pub fn interface_link(interface: &Value) -> String {
    match interface["has_carrier"].as_bool() {
        Some(true) => "up".into(),
        Some(false) => "down".into(),
        None => UNKNOWN.into(),
    }
}

/// The highest speed of an interface.
#[must_use]
pub fn interface_speed(interface: &Value) -> String {
    interface["speed_mbps"].as_u64().filter(|speed| *speed > 0).map_or_else(|| UNKNOWN.into(), human::link_speed)
}

/// The sections of the document: name, state, reason, how long each took.
#[must_use]
pub fn sections(document: &Value) -> Vec<Value> {
    let Some(sections) = at(document, "fleet.sections").as_object() else { return Vec::new() };
    let mut rows: Vec<Value> = sections
        .iter()
        .map(|(name, section)| {
            let mut row = section.clone();
            if let Value::Object(map) = &mut row {
                map.insert("name".into(), name.as_str().into());
            }
            row
        })
        .collect();
    rows.sort_by_cached_key(|row| show(row, "name"));
    rows
}

/// The sections of the document, each with what `ages` knows of its age under `age`.
#[must_use]
pub fn aged_sections(document: &Value, ages: &Value) -> Vec<Value> {
    let mut rows = sections(document);
    for row in &mut rows {
        let age = row["name"].as_str().and_then(|name| ages.get(name)).cloned();
        if let (Value::Object(map), Some(age)) = (row, age) {
            map.insert("age".into(), age);
        }
    }
    rows
}

/// How complete the document is: `all 12 sections complete`, or which are not.
#[must_use]
pub fn completeness(document: &Value) -> String {
    let sections = sections(document);
    let odd: Vec<_> = sections
        .iter()
        .filter(|section| section["status"] != "ok")
        .map(|section| format!("{} {}", show(section, "name"), show(section, "status")))
        .collect();
    let total = sections.len();
    match (total, odd.len()) {
        (0, _) => "no sections".into(),
        (_, 0) => format!("all {total} sections complete"),
        (_, few) if few <= 3 => format!("{} of {total} sections complete; {}", total - few, odd.join(", ")),
        (_, many) => format!("{} of {total} sections complete; {}, ...", total - many, odd[..3].join(", ")),
    }
}

fn plural(count: u64, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

fn words(parts: &[Option<&str>]) -> String {
    parts.iter().flatten().map(|part| human::clean(part.trim())).collect::<Vec<_>>().join(" ")
}

fn join(parts: &[Option<String>]) -> String {
    let text = parts.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
    if text.is_empty() { UNKNOWN.into() } else { text }
}

/// A document for tests, as spec/introspection.md §4.7 shapes it.
#[cfg(test)]
pub fn example() -> Value {
    serde_json::json!({
        "inventory": {
            "boot": {"current_boot_mode": "uefi"},
            "cpu": {"architecture": "x86_64", "count": 64, "model_name": "Example 6330", "socket_count": 2},
            "memory": {"physical_mb": 262_144, "total": 270_011_011_072_u64},
            "disks": [
                {"name": "/dev/nvme0n1", "model": "X1", "size": 3_840_755_982_336_u64, "rotational": false, "serial": "S1", "vendor": null, "tran": "nvme"},
                {"name": "/dev/vda", "model": null, "size": 10_737_418_240_u64, "rotational": true, "serial": null, "vendor": "0x1af4", "tran": "virtio"},
            ],
            "interfaces": [
                {"name": "ens1f0", "mac_address": "52:54:00:aa:00:01", "ipv4_address": "192.0.2.50", "ipv6_address": null, "has_carrier": true, "speed_mbps": 25_000},
                {"name": "ens1f1", "mac_address": "52:54:00:aa:00:02", "ipv4_address": null, "ipv6_address": null, "has_carrier": false, "speed_mbps": null},
            ],
            "system_vendor": {"manufacturer": "Acme", "product_name": "S2U", "serial_number": "A1"},
        },
        "fleet": {
            "schema": 1,
            "os": {"release": {"pretty_name": "Debian GNU/Linux 13"}, "kernel": {"running": "6.12.9"}},
            "sections": {
                "cpu": {"status": "ok", "reason": null, "duration_ms": 3},
                "bmc": {"status": "unavailable", "reason": "no /dev/ipmi0", "duration_ms": 0},
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_machine_in_four_lines() {
        let lines = machine(&example());
        assert_eq!(
            lines,
            [
                ("System", "Acme S2U, serial A1, uefi boot".to_string()),
                ("OS", "Debian GNU/Linux 13, kernel 6.12.9".to_string()),
                ("CPU", "Example 6330, 64 threads, 2 sockets, x86_64".to_string()),
                ("Memory", "256 GiB (251 GiB usable)".to_string()),
            ]
        );
    }

    #[test]
    fn an_empty_document_is_no_reason_to_fail() {
        let lines = machine(&json!({}));
        assert_eq!(lines, [("System", "-".to_string()), ("CPU", "-".to_string()), ("Memory", "-".to_string())]);
        assert!(disks(&json!(null)).is_empty() && sections(&json!([])).is_empty());
        assert_eq!(completeness(&json!({})), "no sections");
    }

    #[test]
    fn disks_and_interfaces() {
        let document = example();
        let disks = disks(&document);
        assert_eq!(
            (disk_size(&disks[0]).as_str(), disk_kind(&disks[0]).as_str(), disk_model(&disks[0]).as_str()),
            ("3.49 TiB", "nvme SSD", "X1")
        );
        assert_eq!((disk_kind(&disks[1]).as_str(), disk_model(&disks[1]).as_str()), ("virtio HDD", "-"));
        let interfaces = interfaces(&document);
        assert_eq!(interface_address(&interfaces[0]), "192.0.2.50");
        assert_eq!(
            (interface_speed(&interfaces[0]).as_str(), interface_link(&interfaces[1]).as_str()),
            ("25 Gbit/s", "down")
        );
    }

    #[test]
    fn incomplete_sections_are_named() {
        assert_eq!(completeness(&example()), "1 of 2 sections complete; bmc unavailable");
    }
}
