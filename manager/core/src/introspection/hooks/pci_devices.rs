//! `pci_devices`: counts configured PCI devices into capabilities `name:count`.
//!
//! Where the list of devices is there and has none of a name, the capability is removed: a card that was taken out must
//! not attract work.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Facts;
use crate::introspection::document::{self, Failure};
use crate::introspection::node::Node;

pub(super) fn post(facts: &mut Facts<'_>, node: &mut Node) -> Result<(), Failure> {
    let aliases = &facts.settings.pci_devices.alias;
    if aliases.is_empty() {
        return Ok(());
    }
    if !facts.data.get("pci_devices").is_some_and(Value::is_array) {
        facts.warn("pci_devices", "the document does not contain pci_devices");
        return Ok(());
    }
    let mut counts: BTreeMap<&str, usize> = aliases.iter().map(|alias| (alias.name.as_str(), 0)).collect();
    for device in document::list(facts.data.get("pci_devices")) {
        let is = |key, wanted: &str| same_id(device.get(key), wanted);
        let names =
            aliases.iter().filter(|alias| is("vendor_id", &alias.vendor_id) && is("product_id", &alias.product_id));
        for alias in names {
            *counts.entry(alias.name.as_str()).or_default() += 1;
        }
    }
    for (name, count) in counts {
        let count = (count > 0).then(|| count.to_string());
        node.set_capability(name, count.as_deref());
    }
    Ok(())
}

/// Whether two hexadecimal ids are the same, with or without `0x`, in any case.
pub(super) fn same_id(reported: Option<&Value>, wanted: &str) -> bool {
    let bare = |id: &str| id.trim_start_matches("0x").to_lowercase();
    reported.and_then(Value::as_str).is_some_and(|reported| bare(reported) == bare(wanted))
}
