//! `validate_interfaces`: finds the interfaces and the BMC in the inventory, and keeps the node's ports.

use core::net::IpAddr;

use serde_json::{Map, Value, json};

use super::Facts;
use super::settings::{AddPorts, KeepPorts};
use crate::introspection::document::{self, Failure, net, net::Mac, python, text};
use crate::introspection::node::{Node, Port};

const NAME: &str = "validate_interfaces";

pub(super) fn pre(facts: &mut Facts<'_>) -> Result<(), Failure> {
    let inventory = document::inventory(facts.data).filter(|inventory| !inventory.is_empty());
    let inventory = inventory.ok_or_else(|| Failure::new("Hardware inventory is empty or missing"))?;
    if !inventory.get("interfaces").is_some_and(python::truthy) {
        return Err(Failure::new("No network interfaces provided in the inventory"));
    }
    check_minimum(facts.data, inventory)?;
    let v4 = bmc_address(facts.data, "bmc_address", "ipmi_address");
    let v6 = bmc_address(facts.data, "bmc_v6address", "ipmi_v6address");
    let boot = boot_mac(facts.data);
    let all = all_interfaces(facts.data, boot);
    let selected = select(facts, &all, boot)?;
    let macs: Vec<Value> = selected.values().filter_map(|interface| interface.get("mac").cloned()).collect();
    facts.data.insert("ipmi_address".to_owned(), v4);
    facts.data.insert("ipmi_v6address".to_owned(), v6);
    facts.data.insert("all_interfaces".to_owned(), Value::Object(all));
    facts.data.insert("interfaces".to_owned(), Value::Object(selected));
    facts.data.insert("macs".to_owned(), Value::Array(macs));
    Ok(())
}

/// What a document of our own agent must hold (spec/introspection.md §4.1); others may lack more and only warn.
fn check_minimum(data: &Map<String, Value>, inventory: &Map<String, Value>) -> Result<(), Failure> {
    let missing = |section: &str, key: &str| {
        inventory.get(section).and_then(|section| section.get(key)).is_none_or(|value| !python::truthy(value))
    };
    if !data.contains_key("fleet") {
        return Ok(());
    }
    match [("cpu", "count"), ("memory", "total")].into_iter().find(|(section, key)| missing(section, key)) {
        Some((section, key)) => Err(Failure::new(format!("Hardware inventory does not contain {section}.{key}"))),
        None => Ok(()),
    }
}

/// The address of the BMC; the key outside the inventory counts only where the inventory has none. The probes write
/// all-zero addresses where there is no BMC.
fn bmc_address(data: &Map<String, Value>, key: &str, legacy: &str) -> Value {
    let value = document::inventory(data).and_then(|inventory| inventory.get(key)).or_else(|| data.get(legacy));
    let text = value.and_then(Value::as_str).filter(|text| !matches!(*text, "" | "0.0.0.0" | "::/0" | "::"));
    text.map_or(Value::Null, Value::from)
}

fn boot_mac(data: &Map<String, Value>) -> Option<Mac> {
    let boot = document::inventory(data).and_then(|inventory| inventory.get("boot")).and_then(Value::as_object);
    text(data, "boot_interface").or_else(|| text(boot?, "pxe_interface")).and_then(Mac::parse_boot)
}

/// Every interface that has a name and a usable MAC.
fn all_interfaces(data: &Map<String, Value>, boot: Option<Mac>) -> Map<String, Value> {
    let mut all = Map::new();
    for interface in document::inventory_list(data, "interfaces") {
        let (Some(name), Some(mac)) = (text(interface, "name"), text(interface, "mac_address").and_then(Mac::parse))
        else {
            continue;
        };
        let ip = text(interface, "ipv4_address").or_else(|| text(interface, "ipv6_address"));
        let ip = ip.and_then(|ip| ip.split('%').next());
        let entry = json!({
            "ip": ip,
            "mac": mac.to_string(),
            "client_id": interface.get("client_id").cloned().unwrap_or(Value::Null),
            "pxe": boot == Some(mac),
        });
        all.insert(name.to_owned(), entry);
    }
    all
}

/// The interfaces that the policy selects.
fn select(facts: &mut Facts<'_>, all: &Map<String, Value>, boot: Option<Mac>) -> Result<Map<String, Value>, Failure> {
    let usable = |name: &str, interface: &Value| {
        let loopback = ip_of(interface).is_some_and(|ip| ip.is_loopback());
        name != "lo" && !loopback && !reaches_bmc(facts.data, name)
    };
    let wanted = |interface: &Value| match facts.settings.processing.add_ports {
        AddPorts::All => true,
        AddPorts::Pxe if boot.is_some() => interface["pxe"] == true,
        AddPorts::Pxe | AddPorts::Active | AddPorts::Disabled => !interface["ip"].is_null(),
    };
    let pick = |wanted: &dyn Fn(&Value) -> bool| -> Map<String, Value> {
        let chosen = all.iter().filter(|(name, interface)| usable(name, interface) && wanted(interface));
        chosen.map(|(name, interface)| (name.clone(), interface.clone())).collect()
    };
    let mut selected = pick(&wanted);
    // On a host in service addresses live on bridges and VLANs, which are not in the inventory. For our own agent one
    // interface with a MAC is enough (spec/introspection.md §4.1).
    if selected.is_empty() && facts.data.contains_key("fleet") {
        selected = pick(&|_| true);
        if !selected.is_empty() {
            facts.warn(NAME, "no interface fits the policy add_ports, all of them are taken");
        }
    }
    if selected.is_empty() {
        let all = python::repr(&Value::Object(all.clone()));
        return Err(Failure::new(format!("No suitable interfaces found in {all}")));
    }
    Ok(selected)
}

fn ip_of(interface: &Value) -> Option<IpAddr> {
    interface.get("ip").and_then(Value::as_str).and_then(net::parse_ip)
}

/// Whether the interface leads to the host's own BMC: its MAC is often the same on many hosts, so it never identifies
/// a port (spec/introspection.md §4.4).
fn reaches_bmc(data: &Map<String, Value>, name: &str) -> bool {
    let links = data.get("fleet").and_then(|fleet| fleet.get("net")).and_then(|net| net.get("links"));
    document::list(links).any(|link| text(link, "name") == Some(name) && link.get("bmc_inband") == Some(&json!(true)))
}

pub(super) fn post(facts: &mut Facts<'_>, node: &mut Node) -> Result<(), Failure> {
    let options = &facts.settings.processing;
    if options.add_ports != AddPorts::Disabled {
        add_ports(facts.data, node);
    }
    // Deleting or switching ports would cut a host in service off.
    if node.in_service() {
        return Ok(());
    }
    let kept = match options.keep_ports {
        KeepPorts::All => None,
        KeepPorts::Present => Some(macs(facts.data, "all_interfaces")),
        KeepPorts::Added => Some(macs(facts.data, "interfaces")),
    };
    if let Some(kept) = kept {
        node.ports.retain(|port| Mac::parse(&port.address).is_some_and(|mac| kept.contains(&mac)));
    }
    // Without a known boot interface nothing is known of the ports either.
    if let (Some(boot), true) = (boot_mac(facts.data), options.overwrite_existing && options.update_pxe_enabled) {
        for port in &mut node.ports {
            port.pxe_enabled = Mac::parse(&port.address) == Some(boot);
        }
    }
    Ok(())
}

fn add_ports(data: &Map<String, Value>, node: &mut Node) {
    for interface in data.get("interfaces").and_then(Value::as_object).into_iter().flat_map(Map::values) {
        let Some(mac) = interface["mac"].as_str().and_then(Mac::parse) else { continue };
        if node.port_mut(mac).is_some() {
            continue;
        }
        let client = interface.get("client_id").filter(|client| python::truthy(client));
        node.ports.push(Port {
            address: mac.to_string(),
            pxe_enabled: interface["pxe"] == true,
            local_link_connection: Map::new(),
            physical_network: None,
            extra: client.map(|client| ("client-id".to_owned(), client.clone())).into_iter().collect(),
        });
    }
}

fn macs(data: &Map<String, Value>, key: &str) -> Vec<Mac> {
    let interfaces = data.get(key).and_then(Value::as_object).into_iter().flat_map(Map::values);
    interfaces.filter_map(|interface| interface.get("mac")?.as_str().and_then(Mac::parse)).collect()
}
