//! The canonical form of a processed document: what stays the same as long as the host does.

use core::cmp::Ordering;

use serde_json::{Map, Value};

use super::identity;
use crate::introspection::document;

/// Facts that move all the time: counters, temperatures, carrier, current speed, load, free space, ages.
const VOLATILE: [&str; 42] = [
    "age_s",
    "available_bytes",
    "carrier",
    "carrier_changes",
    "collected_at",
    "counters",
    "current_link_speed",
    "current_link_width",
    "current_speed_mbps",
    "duplex",
    "duration_ms",
    "estimated_error_us",
    "free",
    "free_bytes",
    "frequency_ppm",
    "has_carrier",
    "hash",
    "hugepages_free",
    "inodes_used",
    "load",
    "loadavg",
    "max_error_us",
    "offset_us",
    "operstate",
    "power",
    "power_on_hours",
    "pressure",
    "promiscuity",
    "sensors",
    "speed_mbps_current",
    "statistics",
    "temperature",
    "temperature_c",
    "temperatures",
    "ttl_s",
    "up",
    "uptime",
    "uptime_s",
    "usage",
    "used_bytes",
    "used_kb",
    "wear",
];

/// Keys at the top that hooks derive from others, that describe the run, or whose decoded form is there too.
const DERIVED: [&str; 15] = [
    "all_interfaces",
    "auto_discovered",
    "configuration",
    "cpu_arch",
    "cpus",
    "error",
    "interfaces",
    "ipmi_address",
    "ipmi_v6address",
    "lldp_raw",
    "local_gb",
    "logs",
    "macs",
    "memory_mb",
    "root_disk",
];

/// The canonical form: keys sorted, lists in the order of what identifies their entries, volatile and derived facts
/// left out. In place of the current speed and width of a PCIe link stands `link_degraded`, and in place of raw LLDP
/// what it says, under `lldp`. Equal forms mean that nothing changed; the caller takes the hash of the text.
/// A document that [`document::check`] refuses becomes null.
#[must_use]
pub fn canonical(document: &Value) -> Value {
    let Ok(map) = document::check(document) else { return Value::Null };
    let kept = map.iter().filter(|(key, _)| !DERIVED.contains(&key.as_str()));
    let mut form: Map<String, Value> = kept.map(|(key, value)| (key.clone(), reduced(value))).collect();
    if let Some(Value::Object(inventory)) = form.get_mut("inventory") {
        for interface in inventory.get_mut("interfaces").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Value::Object(interface) = interface {
                interface.shift_remove("lldp");
            }
        }
    }
    let neighbours = neighbours(map);
    if !neighbours.is_empty() {
        form.insert("lldp".to_owned(), Value::Object(neighbours));
    }
    form.sort_keys();
    Value::Object(form)
}

fn neighbours(map: &Map<String, Value>) -> Map<String, Value> {
    let interfaces = map.get("all_interfaces").and_then(Value::as_object).into_iter().flatten();
    let mut found: Map<String, Value> = interfaces
        .filter_map(|(name, interface)| Some((name.clone(), reduced(interface.get("lldp_processed")?))))
        .collect();
    found.sort_keys();
    found
}

fn reduced(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(key, _)| !VOLATILE.contains(&key.as_str()));
            let mut form: Map<String, Value> = kept.map(|(key, value)| (key.clone(), reduced(value))).collect();
            if let Some(degraded) = link_degraded(map) {
                form.insert("link_degraded".to_owned(), Value::Bool(degraded));
            }
            form.sort_keys();
            Value::Object(form)
        }
        Value::Array(items) => {
            let items = items.iter().map(reduced);
            let mut keyed: Vec<(String, String, Value)> =
                items.map(|item| (identity::name(&item), item.to_string(), item)).collect();
            keyed.sort_by(|a, b| numbers_first(&a.2, &b.2).then_with(|| (&a.0, &a.1).cmp(&(&b.0, &b.1))));
            Value::Array(keyed.into_iter().map(|(_, _, item)| item).collect())
        }
        scalar => scalar.clone(),
    }
}

/// Numbers by value, as `[2, 10]` reads better than `[10, 2]`.
fn numbers_first(a: &Value, b: &Value) -> Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

/// Whether a PCIe link runs slower or narrower than both ends can; `None` if that is not known.
fn link_degraded(map: &Map<String, Value>) -> Option<bool> {
    let below = |current: &str, max: &str| Some(leading_number(map.get(current)?)? < leading_number(map.get(max)?)?);
    let width = below("current_link_width", "max_link_width");
    let speed = below("current_link_speed", "max_link_speed");
    match (width, speed) {
        (None, None) => None,
        (width, speed) => Some(width == Some(true) || speed == Some(true)),
    }
}

/// A number, or the one a text such as `16.0 GT/s PCIe` begins with.
fn leading_number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.split_whitespace().next()?.parse().ok())
}
