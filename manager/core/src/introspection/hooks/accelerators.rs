//! `accelerators`: known accelerator cards become the node's property `accelerators`.

use serde_json::{Value, json};

use super::Facts;
use super::pci_devices::same_id;
use crate::introspection::document::{self, Failure};
use crate::introspection::node::Node;

pub(super) fn post(facts: &mut Facts<'_>, node: &mut Node) -> Result<(), Failure> {
    if !facts.data.get("pci_devices").is_some_and(Value::is_array) {
        return Ok(());
    }
    let mut found = Vec::new();
    for device in document::list(facts.data.get("pci_devices")) {
        let known = facts.settings.accelerators.known_devices.iter().find(|known| {
            same_id(device.get("vendor_id"), &known.vendor_id) && same_id(device.get("product_id"), &known.device_id)
        });
        let Some(known) = known else { continue };
        found.push(json!({
            "vendor_id": known.vendor_id,
            "device_id": known.device_id,
            "type": known.kind,
            "device_info": known.device_info,
            "pci_address": device.get("bus"),
        }));
    }
    // An empty list replaces an older one; without an older one there is nothing to say.
    if !found.is_empty() || node.properties.contains_key("accelerators") {
        node.properties.insert("accelerators".to_owned(), Value::Array(found));
    }
    Ok(())
}
