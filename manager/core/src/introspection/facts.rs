//! The few facts by which hosts of one kind are compared (spec/introspection.md §6.4, drift across the fleet).
//!
//! Adding one is one row in [`FACTS`].

use std::collections::BTreeMap;

use serde_json::Value;

use super::diff::{Class, Severity};
use super::document;

/// Longest value that is kept, in bytes; what differs behind it does not count.
const VALUE_MAX: usize = 512;

/// A fact that hosts of one kind should share.
#[derive(Debug)]
pub struct Fact {
    /// Its stable name.
    pub name: &'static str,
    /// What it concerns. A difference of software among machines of one model is no oddity, but within one role it is.
    pub class: Class,
    /// How much it matters that a host differs.
    pub severity: Severity,
    read: fn(&Value) -> Option<String>,
}

macro_rules! facts {
    ($($name:literal, $class:ident, $severity:ident, $read:expr;)*) => {
        &[$(Fact { name: $name, class: Class::$class, severity: Severity::$severity, read: $read }),*]
    };
}

/// All of them.
pub const FACTS: &[Fact] = facts! {
    "bmc.firmware", Firmware, Warning, |d| text(d, "/fleet/bmc/device/firmware");
    "boot.mode", Firmware, Warning, |d| text(d, "/inventory/boot/current_boot_mode");
    "boot.secure", Firmware, Warning, |d| text(d, "/fleet/firmware/secure_boot");
    "ceph.images", Software, Info, |d| listed(d, "/fleet/ceph/daemons", &["type", "image"]);
    "cpu.count", Hardware, Warning, |d| text(d, "/inventory/cpu/count");
    "cpu.governor", Software, Info, |d| text(d, "/fleet/cpu/governor");
    "cpu.microcode", Firmware, Warning, |d| text(d, "/fleet/cpu/microcode");
    "cpu.mitigations", Software, Info, |d| text(d, "/fleet/cpu/mitigations");
    "cpu.model", Hardware, Warning, |d| text(d, "/inventory/cpu/model_name");
    "cpu.sockets", Hardware, Warning, |d| text(d, "/inventory/cpu/socket_count");
    "disks.firmware", Firmware, Warning, |d| listed(d, "/fleet/storage/disks", &["model", "revision"]);
    "disks.models", Hardware, Warning, |d| listed(d, "/inventory/disks", &["model", "size"]);
    "firmware.version", Firmware, Warning, |d| text(d, "/inventory/system_vendor/firmware/version");
    "interfaces.firmware", Firmware, Warning, |d| listed(d, "/fleet/net/links", &["driver", "firmware"]);
    "interfaces.models", Hardware, Warning, |d| listed(d, "/inventory/interfaces", &["vendor", "product", "speed_mbps"]);
    "memory.modules", Hardware, Warning, |d| listed(d, "/fleet/memory/modules", &["size_mb", "speed_mts"]);
    "memory.physical_mb", Hardware, Warning, |d| text(d, "/inventory/memory/physical_mb");
    "os.command_line", Software, Info, |d| text(d, "/fleet/os/command_line").map(|line| without_names(&line));
    "os.kernel", Software, Info, |d| text(d, "/fleet/os/kernel/running");
    "os.release", Software, Info, |d| text(d, "/fleet/os/release/pretty_name");
};

/// The fact of that name.
#[must_use]
pub fn fact(name: &str) -> Option<&'static Fact> {
    FACTS.iter().find(|fact| fact.name == name)
}

/// What a processed document says; what it does not know is left out.
#[must_use]
pub fn of(document: &Value) -> BTreeMap<&'static str, String> {
    let known = |fact: &Fact| {
        let value = (fact.read)(document).filter(|value| !value.is_empty())?;
        Some((fact.name, hostler_common::text::clip(&value, VALUE_MAX).to_owned()))
    };
    FACTS.iter().filter_map(known).collect()
}

/// The model of the machine: manufacturer and product. `None` if either is not known.
#[must_use]
pub fn model(document: &Value) -> Option<String> {
    let vendor = |key: &str| text(document, &format!("/inventory/system_vendor/{key}"));
    Some(format!("{} {}", vendor("manufacturer")?, vendor("product_name")?))
}

fn text(document: &Value, path: &str) -> Option<String> {
    plain(document.pointer(path)?)
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// The entries of a list that say something, equal ones counted: `4 x MODEL 3840755982336`.
fn listed(document: &Value, path: &str, keys: &[&str]) -> Option<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for entry in document::list(document.pointer(path)) {
        let parts: Vec<String> = keys.iter().filter_map(|key| plain(entry.get(*key)?)).collect();
        // The last part is what is compared; an entry without it is a virtual one.
        if keys.last().is_some_and(|key| entry.get(*key).and_then(plain).is_some()) {
            *counts.entry(parts.join(" ")).or_default() += 1;
        }
    }
    let shown: Vec<String> = counts.into_iter().map(|(what, count)| format!("{count} x {what}")).collect();
    (!shown.is_empty()).then(|| shown.join(", "))
}

/// A kernel command line without what names this one host: its disks and addresses.
fn without_names(line: &str) -> String {
    let own =
        ["root=", "resume=", "ip=", "BOOT_IMAGE=", "BOOTIF=", "rd.luks", "rd.lvm", "rd.md", "systemd.machine_id="];
    let kept: Vec<&str> =
        line.split_whitespace().filter(|word| !own.iter().any(|start| word.starts_with(start))).collect();
    kept.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn facts_are_read_and_unknown_ones_left_out() {
        let document = json!({
            "inventory": {
                "cpu": {"count": 64, "model_name": " "},
                "disks": [{"model": "B", "size": 2}, {"model": "A", "size": 1}, {"model": "B", "size": 2}, {"model": "C"}],
                "system_vendor": {"manufacturer": "Acme", "product_name": "S2U", "firmware": {"version": "2.1"}},
            },
            "fleet": {"os": {"command_line": "BOOT_IMAGE=/vmlinuz root=UUID=1 quiet mitigations=auto"}},
        });
        let found = of(&document);
        assert_eq!(found["disks.models"], "1 x A 1, 2 x B 2");
        assert_eq!((found["cpu.count"].as_str(), found["firmware.version"].as_str()), ("64", "2.1"));
        assert_eq!(found["os.command_line"], "quiet mitigations=auto");
        assert!(!found.contains_key("cpu.model") && !found.contains_key("os.kernel"), "{found:?}");
        assert_eq!(model(&document).as_deref(), Some("Acme S2U"));
        assert_eq!(model(&json!({})), None);
    }

    #[test]
    fn names_are_unique_and_in_order() {
        assert!(FACTS.is_sorted_by(|a, b| a.name < b.name));
        assert!(FACTS.iter().all(|known| fact(known.name).is_some()) && fact("x").is_none());
    }
}
