//! The few facts of a document that lists and checks need.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What tells one machine from another (spec/introspection.md §6.1). What a probe may not read is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The system UUID: normalised, lower case.
    pub system_uuid: Option<String>,
    /// The serial number of the system.
    pub serial: Option<String>,
}

impl Identity {
    /// What a document says.
    #[must_use]
    pub fn of(document: &Value) -> Self {
        let vendor = |key: &str| document.pointer("/inventory/system_vendor")?.get(key)?.as_str();
        Self {
            system_uuid: vendor("system_uuid").and_then(hostler_common::id::uuid_like).map(|uuid| uuid.to_string()),
            serial: vendor("serial_number").map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned),
        }
    }

    /// How `found` is another machine than this one, in words for people; `None` if it may be the same. What either does
    /// not know says nothing.
    #[must_use]
    pub fn contradicted_by(&self, found: &Self) -> Option<String> {
        let differs = |what: &str, known: &Option<String>, found: &Option<String>| match (known, found) {
            (Some(known), Some(found)) if known != found => Some(format!("{what} is {found}, was {known}")),
            _ => None,
        };
        differs("system UUID", &self.system_uuid, &found.system_uuid)
            .or_else(|| differs("serial number", &self.serial, &found.serial))
    }
}

/// The figures that a list of hosts shows (docs/native-api.md, Host).
#[must_use]
pub fn summary(document: &Value) -> Value {
    let at = |path: &str| document.pointer(path).cloned().unwrap_or(Value::Null);
    let count = |path: &str| document.pointer(path).and_then(Value::as_array).map_or(0, Vec::len);
    json!({
        "manufacturer": at("/inventory/system_vendor/manufacturer"),
        "product": at("/inventory/system_vendor/product_name"),
        "serial": at("/inventory/system_vendor/serial_number"),
        "cpuModel": at("/inventory/cpu/model_name"),
        "cpus": at("/inventory/cpu/count"),
        "memoryMb": at("/memory_mb"),
        "disks": count("/inventory/disks"),
        "interfaces": count("/inventory/interfaces"),
        "os": at("/fleet/os/release/pretty_name"),
        "kernel": at("/fleet/os/kernel/running"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(uuid: Value, serial: Value) -> Identity {
        Identity::of(&json!({"inventory": {"system_vendor": {"system_uuid": uuid, "serial_number": serial}}}))
    }

    #[test]
    fn only_what_both_know_can_contradict() {
        let uuid = "4C4C4544-0000-1010-8020-B1C04F303132";
        let known = identity(json!(uuid), json!("A1"));
        assert_eq!(known.system_uuid.as_deref(), Some("4c4c4544-0000-1010-8020-b1c04f303132"));
        for same in [
            identity(json!(uuid.to_lowercase()), json!(" A1 ")),
            identity(json!(null), json!("A1")),
            identity(json!(uuid), json!("")),
            identity(json!("nonsense"), json!(null)),
            Identity::default(),
        ] {
            assert_eq!(known.contradicted_by(&same), None, "{same:?}");
        }
        let text =
            known.contradicted_by(&identity(json!("00000000-0000-1010-8020-b1c04f303132"), json!("A1"))).unwrap();
        assert!(text.starts_with("system UUID is 00000000-"), "{text}");
        assert_eq!(
            known.contradicted_by(&identity(json!(null), json!("B2"))).as_deref(),
            Some("serial number is B2, was A1")
        );
    }
}
