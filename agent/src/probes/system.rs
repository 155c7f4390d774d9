//! The machine as its maker describes it: names, serial numbers, system UUID, chassis and boards; and whether it is a guest.

use serde_json::{Value, json};

use super::Context;
use super::dmi::{Tables, known, known_uuid};
use super::facts::{Facts, Found, is_absence, reason};
use super::host::HostRoot;

/// Facts and the files that hold them.
const FIELDS: &[(&str, &str)] = &[
    ("manufacturer", "sys_vendor"),
    ("product_name", "product_name"),
    ("product_version", "product_version"),
    ("serial_number", "product_serial"),
    ("sku", "product_sku"),
    ("family", "product_family"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("board_vendor", "board_vendor"),
    ("board_name", "board_name"),
    ("board_version", "board_version"),
    ("board_serial", "board_serial"),
    ("board_asset_tag", "board_asset_tag"),
];

/// Collects the section.
pub(super) fn probe(context: &Context) -> Found {
    let host = &context.host;
    let mut facts = Facts::new();
    match host.live().identity() {
        Ok(identity) => facts.set("hostname", qualified_name(host, &identity.hostname)),
        Err(_) => facts.set("hostname", host.word("/proc/sys/kernel/hostname").or_else(|| host.word("/etc/hostname"))),
    }
    facts.set("machine_id", host.word("/etc/machine-id"));
    if host.exists("/sys/class/dmi/id") {
        dmi(host, &mut facts);
    } else {
        device_tree(host, &mut facts);
    }
    facts.set("virtualization", virtualization(host, facts.get("manufacturer"), facts.get("product_name")));
    facts.done()
}

fn dmi(host: &HostRoot, facts: &mut Facts) {
    for (fact, file) in FIELDS {
        match host.text(&format!("/sys/class/dmi/id/{file}")) {
            Ok(text) => facts.set(fact, known(&text)),
            Err(error) => {
                facts.set(fact, Value::Null);
                if !is_absence(&error) {
                    facts.missing(fact, reason(&error));
                }
            }
        }
    }
    let raw = host.text("/sys/class/dmi/id/product_uuid");
    if let Err(error) = &raw
        && !is_absence(error)
    {
        facts.missing("system_uuid", reason(error));
    }
    let raw = raw.ok();
    facts.set("system_uuid", raw.as_deref().and_then(known_uuid));
    facts.set("system_uuid_raw", raw);
    facts.set("chassis_type", host.number::<u32>("/sys/class/dmi/id/chassis_type").map(chassis));
    if let Ok(tables) = Tables::read(host) {
        facts.set("host_interfaces", host_interfaces(&tables));
    }
}

fn device_tree(host: &HostRoot, facts: &mut Facts) {
    for (fact, _) in FIELDS {
        facts.set(fact, Value::Null);
    }
    facts.set("product_name", host.word("/proc/device-tree/model"));
    facts.set("serial_number", host.word("/proc/device-tree/serial-number"));
    facts.set("system_uuid", host.word("/proc/device-tree/vm,uuid").as_deref().and_then(known_uuid));
    facts.set("device_tree", host.exists("/proc/device-tree/model"));
}

/// The fully qualified name if the host knows it: its own name with a dot, or the first name of its own line in
/// `/etc/hosts`, or with the search domain. No name server is asked.
fn qualified_name(host: &HostRoot, short: &str) -> String {
    if short.contains('.') {
        return short.to_owned();
    }
    let hosts = host.word("/etc/hosts").unwrap_or_default();
    for line in hosts.lines() {
        let names: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().skip(1).collect();
        if names.contains(&short)
            && let Some(full) = names.iter().find(|name| name.starts_with(&format!("{short}.")))
        {
            return (*full).to_owned();
        }
    }
    let resolver = host.word("/etc/resolv.conf").unwrap_or_default();
    let domain = resolver.lines().find_map(|line| line.strip_prefix("domain ")).map(str::trim);
    domain.map_or_else(|| short.to_owned(), |domain| format!("{short}.{domain}"))
}

/// What the host itself is: bare metal, a guest, or a container in either.
fn virtualization(host: &HostRoot, vendor: &Value, product: &Value) -> Value {
    let text =
        format!("{} {}", vendor.as_str().unwrap_or_default(), product.as_str().unwrap_or_default()).to_lowercase();
    let cpuinfo = host.word("/proc/cpuinfo").unwrap_or_default();
    let flagged = cpuinfo
        .lines()
        .find(|line| line.starts_with("flags"))
        .is_some_and(|line| line.split_whitespace().any(|flag| flag == "hypervisor"));
    let by_name = [
        ("kvm", "kvm"),
        ("qemu", "kvm"),
        ("openstack", "kvm"),
        ("amazon ec2", "amazon"),
        ("google compute engine", "google"),
        ("vmware", "vmware"),
        ("virtualbox", "virtualbox"),
        ("microsoft corporation virtual machine", "hyperv"),
        ("xen", "xen"),
        ("bochs", "bochs"),
    ];
    let hypervisor = by_name.iter().find(|(mark, _)| text.contains(mark)).map(|(_, name)| *name);
    let xen = host.word("/sys/hypervisor/type").map(|_| "xen");
    let tree = host.exists("/proc/device-tree/hypervisor").then_some("kvm");
    let hypervisor = hypervisor.or(xen).or(tree).or(flagged.then_some("unknown"));
    let container = container(host);
    let role = match (&container, hypervisor) {
        (Some(_), _) => "container",
        (None, Some(_)) => "guest",
        (None, None) => "host",
    };
    json!({"role": role, "hypervisor": hypervisor, "container": container})
}

fn container(host: &HostRoot) -> Option<String> {
    host.word("/run/systemd/container")
        .or_else(|| host.exists("/run/.containerenv").then(|| "podman".to_owned()))
        .or_else(|| host.exists("/.dockerenv").then(|| "docker".to_owned()))
}

fn chassis(kind: u32) -> String {
    match kind & 0x7f {
        3 => "desktop",
        7 => "tower",
        9 | 10 => "laptop",
        17 => "main server chassis",
        22 => "raid chassis",
        23 => "rack mount",
        25 => "multi-system",
        28 => "blade",
        29 => "blade enclosure",
        1 => "other",
        2 => "unknown",
        other => return format!("type {other}"),
    }
    .to_owned()
}

/// Management controller host interfaces (type 42): how the host reaches its own Redfish service.
fn host_interfaces(tables: &Tables) -> Vec<Value> {
    tables
        .of(42)
        .map(|entry| {
            let network = entry.byte(4) == Some(0x40);
            let device = entry.byte(6).map(|kind| match kind {
                2 | 4 => "usb",
                3 | 5 => "pci",
                _ => "other",
            });
            // The first 16-bit pair of a USB device descriptor is vendor and product.
            let ids = entry.word(7).zip(entry.word(9)).map(|(vendor, product)| format!("{vendor:04x}:{product:04x}"));
            json!({"network": network, "device": device, "ids": ids})
        })
        .collect()
}
