//! `physnet_cidr_map`: the physical network of a port, by the addresses of its interface.

use serde_json::Value;

use super::Facts;
use crate::introspection::document::{self, Failure, net, net::Mac, text};
use crate::introspection::node::Node;

pub(super) fn post(facts: &mut Facts<'_>, node: &mut Node) -> Result<(), Failure> {
    let mappings = &facts.settings.port_physnet.cidr_map;
    for interface in document::inventory_list(facts.data, "interfaces") {
        let Some(mac) = text(interface, "mac_address").and_then(Mac::parse) else { continue };
        let Some(port) = node.port_mut(mac) else { continue };
        let addresses: Vec<_> = ["ipv4_address", "ipv6_address"]
            .into_iter()
            .filter_map(|key| interface.get(key).and_then(Value::as_str).and_then(net::parse_ip))
            .collect();
        let found = mappings.iter().find(|mapping| addresses.iter().any(|address| mapping.network.contains(*address)));
        let Some(found) = found else { continue };
        if facts.settings.processing.overwrite_existing || port.physical_network.is_none() {
            port.physical_network = Some(found.physical_network().to_owned());
        }
    }
    Ok(())
}
