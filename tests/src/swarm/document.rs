//! What the agents of a swarm find: one document in as many variants as there are agents.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

/// Keys whose texts name one machine or one part of it.
const SERIALS: [&str; 6] = ["serial", "serial_number", "chassis_serial", "board_serial", "partuuid", "machine_id"];

/// A document from which each agent derives its own.
#[derive(Clone, Debug)]
pub struct Template {
    root: Value,
}

impl Template {
    /// A document of about `kib` KiB, shaped as the probes' documents are: most of it is disks, PCI devices and cores.
    #[must_use]
    pub fn generated(kib: usize) -> Self {
        let bytes = kib * 1024;
        // A small server is most of a small document; what is above that grows with the parts of a large one.
        let mut parts = 2;
        let mut root = machine(parts);
        while root.to_string().len() < bytes && parts < 1 << 14 {
            parts += (parts / 8).max(1);
            root = machine(parts);
        }
        Self { root }
    }

    /// The document in `file`, for example one that a real agent delivered.
    ///
    /// # Errors
    /// It cannot be read, or is no document.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(file).with_context(|| file.display().to_string())?;
        let root: Value = serde_json::from_slice(&text).with_context(|| file.display().to_string())?;
        anyhow::ensure!(root.get("inventory").is_some(), "{}: it has no key inventory", file.display());
        Ok(Self { root })
    }

    /// The document of agent `number` in its `run`th run: its own addresses, serial numbers, system UUID and name. `run`
    /// is a fact in it, so that no two runs find the same.
    #[must_use]
    pub fn of(&self, number: u32, run: u32) -> Value {
        let mut document = self.root.clone();
        mark(&mut document, number);
        if let Some(inventory) = document.get_mut("inventory").and_then(Value::as_object_mut) {
            inventory.insert("hostname".into(), json!(format!("swarm-{number:05}.example.net")));
            let vendor = inventory.entry("system_vendor").or_insert_with(|| Value::Object(Map::new()));
            vendor["system_uuid"] =
                json!(uuid::Uuid::from_u128(0x5357_4152_4d00_4000_8000_0000_0000_0000 + u128::from(number)));
            vendor["firmware"]["version"] = json!(format!("2.{run}"));
        }
        document
    }

    /// Bytes of the text.
    #[must_use]
    pub fn size(&self) -> usize {
        self.of(0, 0).to_string().len()
    }
}

/// Makes everything that is one machine's own that of agent `number`.
fn mark(value: &mut Value, number: u32) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match value {
                    Value::String(text) if SERIALS.contains(&key.as_str()) && !text.is_empty() => {
                        text.push_str(&format!("-{number:05}"));
                    }
                    Value::String(text) if is_mac(text) => *text = own_mac(text, number),
                    Value::Object(_) | Value::Array(_) => mark(value, number),
                    _ => {}
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mark(item, number)),
        _ => {}
    }
}

fn is_mac(text: &str) -> bool {
    text.len() == 17
        && text.bytes().enumerate().all(|(at, byte)| if at % 3 == 2 { byte == b':' } else { byte.is_ascii_hexdigit() })
}

/// The first octet and the last one stay, so that the ports of one machine stay apart; between them is the number.
fn own_mac(mac: &str, number: u32) -> String {
    let [_, a, b, c] = number.to_be_bytes();
    let old = u8::from_str_radix(&mac[3..5], 16).unwrap_or(0);
    format!("{}:{:02x}:{a:02x}:{b:02x}:{c:02x}:{}", &mac[..2], old ^ a, &mac[15..])
}

/// A server with `parts` disks, and as much else as such a server has.
fn machine(parts: usize) -> Value {
    let disks: Vec<Value> = (0..parts).map(disk).collect();
    let interfaces: Vec<Value> = (0..(parts / 4).clamp(2, 16)).map(interface).collect();
    let cores = (parts * 2).min(256);
    json!({
        "inventory": {
            "bmc_address": "192.0.2.10", "bmc_v6address": "::/0",
            "boot": { "current_boot_mode": "uefi", "pxe_interface": null },
            "cpu": { "architecture": "x86_64", "count": cores, "model_name": "Example 6330 CPU @ 2.00GHz",
                     "frequency": "3100.0000", "socket_count": 2, "flags": flags() },
            "memory": { "total": 270_011_011_072_u64, "physical_mb": 262_144 },
            "disks": disks, "interfaces": interfaces,
            "system_vendor": { "manufacturer": "Acme", "product_name": "S2U", "serial_number": "A1",
                               "firmware": { "vendor": "Acme", "version": "2.1", "build_date": "01/02/2026" } },
        },
        "root_disk": disk(0), "boot_interface": null, "error": null,
        "configuration": { "collectors": ["default", "pci-devices", "numa-topology"], "managers": [] },
        "pci_devices": (0..parts * 3).map(pci).collect::<Vec<_>>(),
        "numa_topology": {
            "ram": [{ "numa_node": 0, "size_kb": 131_072_000 }, { "numa_node": 1, "size_kb": 131_072_000 }],
            "cpus": (0..cores / 2).map(|core| json!({ "cpu": core, "numa_node": core % 2, "thread_siblings": [core, core + cores / 2] })).collect::<Vec<_>>(),
            "nics": [],
        },
        "fleet": fleet(parts),
    })
}

fn flags() -> Vec<String> {
    let mut flags: Vec<String> = ["vmx", "aes", "pse", "pdpe1gb", "smx", "sse4_2", "avx2"].map(str::to_owned).to_vec();
    flags.extend((0..110).map(|n| format!("feature{n}")));
    flags
}

fn disk(n: usize) -> Value {
    json!({
        "name": format!("/dev/sd{}", letters(n)), "model": "EXAMPLE MG08ACA16TE", "size": 16_000_900_661_248_u64,
        "rotational": true, "wwn": format!("0x5000039c{n:08x}"), "wwn_with_extension": format!("0x5000039c{n:08x}"),
        "wwn_vendor_extension": null, "serial": format!("S{n:07}"), "vendor": "EXAMPLE", "hctl": format!("0:0:{n}:0"),
        "by_path": format!("/dev/disk/by-path/pci-0000:3b:00.0-sas-phy{n}-lun-0"), "logical_sectors": 512,
        "physical_sectors": 4096, "tran": "sas",
    })
}

fn letters(mut n: usize) -> String {
    let mut name = Vec::new();
    loop {
        name.insert(0, char::from(b'a' + u8::try_from(n % 26).unwrap_or(0)));
        if n < 26 {
            return name.into_iter().collect();
        }
        n = n / 26 - 1;
    }
}

fn interface(n: usize) -> Value {
    json!({
        "name": format!("ens{n}f0"), "mac_address": format!("52:54:00:00:00:{:02x}", n % 256),
        "ipv4_address": format!("192.0.2.{}", n + 1), "ipv6_address": null, "has_carrier": true,
        "lldp": [[1, "04112233aabbcc"], [2, format!("0545746865726e6574312f{n:02x}")], [5, "746f722d31"]],
        "vendor": "0x8086", "product": "0x1572", "client_id": null, "biosdevname": null, "speed_mbps": 25_000,
        "pci_address": format!("0000:3b:00.{}", n % 8), "driver": "ice",
    })
}

fn pci(n: usize) -> Value {
    json!({
        "vendor_id": "8086", "product_id": format!("{:04x}", 0x1000 + n), "class": "020000", "revision": "02",
        "bus": format!("0000:{:02x}:{:02x}.0", n / 32, n % 32), "numa_node_id": "0",
    })
}

/// The extended part (spec/introspection.md §6.6).
fn fleet(parts: usize) -> Value {
    const SECTIONS: [&str; 15] = [
        "agent", "system", "firmware", "cpu", "memory", "numa", "pci", "net", "storage", "ceph", "kvm", "os", "time",
        "bmc", "health",
    ];
    let sections: Map<String, Value> = SECTIONS
        .iter()
        .map(|name| {
            let section = json!({
                "status": "ok", "reason": null, "collected_at": "2026-01-02T03:04:05.000006Z", "duration_ms": 3,
                "source": "/sys, /proc", "ttl_s": 3600, "hash": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
            });
            ((*name).to_owned(), section)
        })
        .collect();
    let devices: Vec<Value> = (0..parts)
        .map(|n| {
            json!({
                "name": format!("sd{}", letters(n)), "kind": "disk", "firmware": "0104", "scheduler": "mq-deadline",
                "serial": format!("S{n:07}"), "wear_percent": null, "temperature_c": 31, "smart_passed": true,
                "power_on_hours": 20_000 + n, "used_by": [], "available": n > 1, "rejected_reasons": [],
            })
        })
        .collect();
    json!({ "schema": 1, "sections": sections, "storage": { "devices": devices },
            "os": { "kernel": "6.12.0", "name": "Example Linux 13", "machine_id": "0123456789abcdef" } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_about_the_size_that_was_asked_for() {
        for kib in [4, 16, 60, 200] {
            let size = Template::generated(kib).size();
            assert!(size >= kib * 1024 && size < kib * 1024 * 13 / 10 + 8 * 1024, "{kib} KiB: {size}");
        }
    }

    #[test]
    fn no_two_agents_share_an_address_or_a_serial_number() {
        let template = Template::generated(8);
        let (one, other) = (template.of(1, 0), template.of(70_000, 0));
        for pointer in [
            "/inventory/interfaces/0/mac_address",
            "/inventory/disks/0/serial",
            "/inventory/system_vendor/serial_number",
            "/inventory/system_vendor/system_uuid",
            "/inventory/hostname",
        ] {
            assert!(one.pointer(pointer).is_some(), "{pointer}");
            assert_ne!(one.pointer(pointer), other.pointer(pointer), "{pointer}");
        }
        let mac = |n| one.pointer(&format!("/inventory/interfaces/{n}/mac_address")).cloned();
        assert_ne!(mac(0), mac(1));
        assert_ne!(one, template.of(1, 1));
    }
}
