//! `capabilities`: CPU flags, and on request the boot mode, become capabilities of the node.

use serde_json::Value;

use super::Facts;
use crate::introspection::document::{self, Failure};
use crate::introspection::node::Node;

pub(super) fn post(facts: &mut Facts<'_>, node: &mut Node) -> Result<(), Failure> {
    let Some(inventory) = document::inventory(facts.data) else { return Ok(()) };
    let options = &facts.settings.capabilities;
    let boot_mode = inventory.get("boot").and_then(|boot| boot.get("current_boot_mode")).and_then(Value::as_str);
    if let (true, Some(boot_mode)) = (options.boot_mode, boot_mode) {
        node.set_capability("boot_mode", Some(boot_mode));
    }
    let flags = inventory.get("cpu").and_then(|cpu| cpu.get("flags")).and_then(Value::as_array);
    let Some(flags) = flags.filter(|flags| !flags.is_empty()) else {
        facts.warn("capabilities", "the inventory does not contain cpu.flags");
        return Ok(());
    };
    for (flag, capability) in &options.cpu_flags {
        if flags.iter().any(|present| present == flag) {
            node.set_capability(capability.as_str().unwrap_or(flag), Some("true"));
        }
    }
    Ok(())
}
