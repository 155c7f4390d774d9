//! The canonical form of a section: what its hash is taken over, so that an unchanged host sends "unchanged"
//! (spec/introspection.md §6.4).

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// Facts that move all the time. They are reported but never hashed: counters, temperatures, carrier, current speed, load,
/// free space.
pub const VOLATILE: &[&str] = &[
    "available_bytes",
    "carrier_changes",
    "current_link_speed",
    "current_link_width",
    "duplex",
    "estimated_error_us",
    "free_bytes",
    "frequency",
    "frequency_ppm",
    "has_carrier",
    "hugepages_free",
    "inodes_used",
    "load",
    "max_error_us",
    "offset_us",
    "operstate",
    "power",
    "pressure",
    "promiscuity",
    "sensors",
    "speed_mbps_current",
    "statistics",
    "temperature_c",
    "up",
    "uptime_s",
    "used_kb",
    "usage",
    "wear",
];

/// SHA-256 of the canonical form, hexadecimal.
#[must_use]
pub fn hash(facts: &Value) -> String {
    hex::encode(Sha256::digest(canonical(facts).to_string()))
}

/// Keys sorted, volatile facts left out, arrays of objects ordered by their content instead of by discovery.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut kept: Vec<(&String, &Value)> =
                members.iter().filter(|(key, _)| !VOLATILE.contains(&key.as_str())).collect();
            kept.sort_by_key(|(key, _)| *key);
            Value::Object(kept.into_iter().map(|(key, value)| (key.clone(), canonical(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(canonical).collect();
            if items.iter().all(Value::is_object) {
                items.sort_by_cached_key(Value::to_string);
            }
            Value::Array(items)
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn order_and_volatile_facts_do_not_count() {
        let one = json!({"a": [{"n": 1, "free_bytes": 5}, {"n": 2}], "b": 1});
        let two = json!({"b": 1, "a": [{"n": 2}, {"free_bytes": 9, "n": 1}]});
        assert_eq!(hash(&one), hash(&two));
        assert_ne!(hash(&one), hash(&json!({"b": 1, "a": [{"n": 2}, {"n": 3}]})));
        assert_ne!(hash(&json!([1, 2])), hash(&json!([2, 1])));
    }
}
