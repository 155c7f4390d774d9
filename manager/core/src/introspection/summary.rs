//! The few facts of a document that lists and checks need.

use serde_json::{Value, json};

/// The system UUID that a document names: normalised, lower case (spec/introspection.md §4.2, §6.1). `None` where the
/// machine has none.
#[must_use]
pub fn system_uuid(document: &Value) -> Option<String> {
    let found = document.pointer("/inventory/system_vendor/system_uuid")?.as_str()?;
    hostler_common::id::uuid_like(found).map(|uuid| uuid.to_string())
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
