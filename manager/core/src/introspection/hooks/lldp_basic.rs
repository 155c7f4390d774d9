//! `lldp_basic`: decodes what switches announced into `all_interfaces.<name>.lldp_processed`.

use serde_json::{Map, Value};

use super::Facts;
use crate::introspection::document::{self, Failure, text};
use crate::introspection::lldp;
use crate::introspection::node::Node;

pub(super) fn post(facts: &mut Facts<'_>, _: &mut Node) -> Result<(), Failure> {
    let decoded: Vec<(String, Map<String, Value>)> = names(facts.data)
        .filter_map(|name| Some((name.to_owned(), lldp::decode(announced(facts.data, name)?))))
        .filter(|(_, decoded)| !decoded.is_empty())
        .collect();
    let Some(Value::Object(interfaces)) = facts.data.get_mut("all_interfaces") else { return Ok(()) };
    for (name, decoded) in decoded {
        // Interfaces without a usable MAC are not in there.
        if let Some(Value::Object(interface)) = interfaces.get_mut(&name) {
            interface.insert("lldp_processed".to_owned(), Value::Object(decoded));
        }
    }
    Ok(())
}

fn names(data: &Map<String, Value>) -> impl Iterator<Item = &str> {
    document::inventory_list(data, "interfaces").filter_map(|interface| text(interface, "name"))
}

/// The TLVs of an interface: the collector's, else those in the inventory.
pub(super) fn announced<'a>(data: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let collected = data.get("lldp_raw").and_then(|raw| raw.get(name));
    let inventory = || {
        document::inventory_list(data, "interfaces")
            .find(|interface| text(interface, "name") == Some(name))?
            .get("lldp")
    };
    collected.filter(|tlvs| tlvs.is_array()).or_else(inventory)
}
