//! What a difference concerns and how much it matters, by its place in the document.

use serde_json::Value;

use super::{Class, Op, Severity};

/// Bytes by which the usable memory may shrink without being an alarm: another kernel reserves a little more or less.
const MEMORY_SLACK: f64 = 256.0 * 1024.0 * 1024.0;

fn parts(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

/// The sections of the probe (spec/introspection.md §6.4, §6.6) that a place is filled from.
pub(super) fn sections(path: &[String]) -> Vec<&str> {
    match parts(path).as_slice() {
        ["fleet", "sections", ..] => Vec::new(),
        ["fleet", section, ..] => vec![*section],
        ["inventory", "disks", ..] => vec!["storage"],
        ["inventory", "interfaces", ..] => vec!["net"],
        // What switches say is kept by interface.
        ["lldp", ..] => vec!["net", "lldp"],
        ["inventory", "memory", ..] => vec!["memory"],
        ["inventory", "cpu", ..] => vec!["cpu"],
        ["inventory", "system_vendor" | "boot", ..] => vec!["system", "firmware"],
        ["inventory", "bmc_address" | "bmc_v6address" | "bmc_mac"] => vec!["bmc"],
        ["pci_devices", ..] => vec!["pci"],
        ["numa_topology", ..] => vec!["numa"],
        ["usb_devices", ..] => vec!["usb"],
        _ => Vec::new(),
    }
}

/// What it concerns.
pub(super) fn class(path: &[String]) -> Class {
    let about_firmware = |key: &&str| ["firmware", "bios", "microcode"].iter().any(|word| key.contains(word));
    let parts = parts(path);
    if parts.iter().any(about_firmware) {
        return Class::Firmware;
    }
    match parts.as_slice() {
        ["inventory", "boot", ..] => Class::Firmware,
        ["inventory", "interfaces", _, "ipv4_address" | "ipv6_address" | "name"]
        | ["inventory", "hostname" | "bmc_address" | "bmc_v6address"]
        | ["fleet", "net", ..]
        | ["lldp", ..]
        | ["boot_interface"] => Class::Network,
        ["inventory", "interfaces", _, "driver"] => Class::Software,
        ["fleet", "health" | "sections", ..] => Class::Health,
        ["fleet", "ceph" | "kvm" | "os" | "packages" | "time" | "agent" | "schema", ..] => Class::Software,
        _ => Class::Hardware,
    }
}

/// How much it matters: the hardware alarms of the specification, everything else is for the record.
pub(super) fn severity(path: &[String], op: Op, old: &Value, new: &Value) -> Severity {
    let decrease = || old.as_f64().zip(new.as_f64()).map_or(0.0, |(old, new)| old - new);
    match (parts(path).as_slice(), op) {
        (["inventory", "disks", _], Op::Removed)
        | (["fleet", "memory", "modules" | "dimms", _], Op::Removed)
        | (["inventory", "system_vendor", "system_uuid" | "serial_number"], Op::Changed) => Severity::Alarm,
        // Empty slots are listed too, without a size.
        (["fleet", "memory", "modules" | "dimms", _, "size_mb"], Op::Changed) if new.is_null() || decrease() > 0.0 => {
            Severity::Alarm
        }
        (["inventory", "memory", "physical_mb"], Op::Changed) if decrease() > 0.0 => Severity::Alarm,
        (["inventory", "memory", "total"], Op::Changed) if decrease() > MEMORY_SLACK => Severity::Alarm,
        (["inventory", "disks", _], Op::Added)
        | (["inventory", "interfaces", _], Op::Removed)
        | (["inventory", "bmc_address" | "bmc_v6address" | "bmc_mac"], _) => Severity::Warning,
        (["inventory", "interfaces", _, "speed_mbps"], Op::Changed) if decrease() > 0.0 => Severity::Warning,
        ([.., "link_degraded"], Op::Added | Op::Changed) if *new == Value::Bool(true) => Severity::Warning,
        _ => Severity::Info,
    }
}
