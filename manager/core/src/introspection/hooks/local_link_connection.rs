//! `local_link_connection`: writes to each port where its cable ends.

use serde_json::{Map, Value};

use super::{Facts, lldp_basic};
use crate::introspection::document::{Failure, net::Mac, text};
use crate::introspection::lldp;
use crate::introspection::node::Node;

/// Keys of the port and of what LLDP says.
const KEYS: [(&str, &str); 4] = [
    ("port_id", "switch_port_id"),
    ("switch_id", "switch_chassis_id"),
    ("switch_info", "switch_system_name"),
    ("port_description", "switch_port_description"),
];

pub(super) fn post(facts: &mut Facts<'_>, node: &mut Node) -> Result<(), Failure> {
    let Some(interfaces) = facts.data.get("all_interfaces").and_then(Value::as_object) else { return Ok(()) };
    for (name, interface) in interfaces {
        let Some(mac) = interface.get("mac").and_then(Value::as_str).and_then(Mac::parse) else { continue };
        let Some(port) = node.port_mut(mac) else { continue };
        let decoded = match interface.get("lldp_processed") {
            Some(Value::Object(decoded)) => decoded.clone(),
            _ => lldp_basic::announced(facts.data, name).map(lldp::decode).unwrap_or_default(),
        };
        for (key, value) in link(&decoded) {
            if facts.settings.processing.overwrite_existing || !port.local_link_connection.contains_key(key) {
                port.local_link_connection.insert(key.to_owned(), Value::from(value));
            }
        }
    }
    Ok(())
}

/// What is known of the other end. A chassis id that is not a MAC does not identify a switch to its users.
fn link(decoded: &Map<String, Value>) -> impl Iterator<Item = (&'static str, &str)> {
    let entry = |(key, source): (&'static str, &str)| Some((key, text(decoded, source)?));
    KEYS.into_iter().filter_map(entry).filter(|(key, value)| *key != "switch_id" || Mac::parse(value).is_some())
}
