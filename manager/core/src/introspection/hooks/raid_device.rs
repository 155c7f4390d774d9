//! `raid_device`: finds the root device that a RAID controller presents, by comparing two introspections: the first
//! stores the serials of all disks, the second one takes the only new serial as the hint for the root device.
//!
//! Off by default.

use serde_json::{Value, json};

use super::Facts;
use crate::introspection::document::{self, Failure, python, text};
use crate::introspection::node::Node;

const NAME: &str = "raid_device";

/// Schedulers refuse a node without a disk; until the RAID is built there may be none.
pub(super) fn pre(facts: &mut Facts<'_>) -> Result<(), Failure> {
    if !facts.data.get("local_gb").is_some_and(python::truthy) {
        facts.data.insert("local_gb".to_owned(), Value::from(1));
    }
    Ok(())
}

pub(super) fn post(facts: &mut Facts<'_>, node: &mut Node) -> Result<(), Failure> {
    let serials: Vec<String> = document::inventory_list(facts.data, "disks")
        .filter_map(|disk| text(disk, "serial").map(str::to_owned))
        .collect();
    if serials.is_empty() {
        facts.warn(NAME, "no disk has a serial number");
        return Ok(());
    }
    if node.properties.contains_key("root_device") {
        return Ok(());
    }
    let before = node.extra.get("block_devices").and_then(|devices| devices.get("serials")).and_then(Value::as_array);
    let Some(before) = before else {
        node.extra.insert("block_devices".to_owned(), json!({ "serials": serials }));
        return Ok(());
    };
    let new: Vec<&String> = serials.iter().filter(|serial| !before.iter().any(|old| old == *serial)).collect();
    match new.as_slice() {
        [serial] => {
            node.properties.insert("root_device".to_owned(), json!({ "serial": serial }));
            node.extra.shift_remove("block_devices");
        }
        [] => facts.warn(NAME, "there is no new disk since the first introspection"),
        [_, _, ..] => facts.warn(NAME, "there is more than one new disk since the first introspection"),
    }
    Ok(())
}
