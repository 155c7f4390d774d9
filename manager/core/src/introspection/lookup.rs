//! Which host sent a document that did not come from an agent: the one whose known addresses match best
//! (spec/introspection.md §2.4 step 3).

use std::collections::BTreeSet;

use hostler_common::id::HostId;
use serde_json::{Map, Value, json};

use super::document::net::{Mac, parse_ip};
use super::document::{inventory, inventory_list, python, text};
use super::node::Node;

/// How many interfaces of a document count. Every address costs a search, and anybody may send documents.
const INTERFACES_MAX: usize = 64;

/// Keys of `driver_info` that hold the address of a BMC.
const BMC_KEYS: [&str; 6] =
    ["ipmi_address", "redfish_address", "ilo_address", "drac_host", "drac_address", "ibmc_address"];

/// The addresses by which a document is matched to a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Addresses of the BMC.
    pub bmc: BTreeSet<String>,
    /// MACs, lower case with colons.
    pub macs: BTreeSet<String>,
}

/// Why no host was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// No host has any of the addresses. The text names only those of the sender.
    #[error("Look up error: Could not find a node for attributes {0}")]
    Unknown(String),
    /// Several hosts match equally well.
    #[error("Look up error: Multiple nodes match the same number of attributes {0}")]
    Ambiguous(String),
}

impl Attributes {
    /// The addresses in a document.
    #[must_use]
    pub fn of(document: &Map<String, Value>) -> Self {
        let keys = [("bmc_address", "ipmi_address"), ("bmc_v6address", "ipmi_v6address")];
        let bmc = keys.into_iter().filter_map(|(key, legacy)| {
            inventory(document).and_then(|inventory| text(inventory, key)).or_else(|| text(document, legacy))
        });
        let macs = inventory_list(document, "interfaces")
            .filter_map(|interface| Mac::parse(text(interface, "mac_address")?))
            .map(|mac| mac.to_string());
        Self { bmc: bmc.filter_map(bmc_address).collect(), macs: macs.take(INTERFACES_MAX).collect() }
    }

    /// What is known of a host, from its node and its last processed document.
    #[must_use]
    pub fn known(node: &Node, document: Option<&Value>) -> Self {
        let mut known = document.and_then(Value::as_object).map(Self::of).unwrap_or_default();
        let ports = node.ports.iter().filter_map(|port| Mac::parse(&port.address));
        known.macs.extend(ports.map(|mac| mac.to_string()));
        let bmc = BMC_KEYS.into_iter().filter_map(|key| bmc_address(text(&node.driver_info, key)?));
        known.bmc.extend(bmc);
        known
    }

    /// All of them, for a search.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.bmc.iter().chain(&self.macs).cloned().collect()
    }

    /// How many of them are also in `known`.
    #[must_use]
    pub fn points(&self, known: &Self) -> usize {
        self.bmc.intersection(&known.bmc).count() + self.macs.intersection(&known.macs).count()
    }

    /// The host with the most points, if it is the only one with so many.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub fn choose(&self, hosts: impl IntoIterator<Item = (HostId, Self)>) -> Result<HostId, LookupError> {
        let (mut best, mut points, mut alone) = (None, 0, true);
        for (host, known) in hosts {
            let own = self.points(&known);
            if own > points {
                (best, points, alone) = (Some(host), own, true);
            } else if own == points && own > 0 {
                alone = false;
            }
        }
        match best {
            Some(host) if alone => Ok(host),
            Some(_) => Err(LookupError::Ambiguous(self.shown())),
            None => Err(self.unknown()),
        }
    }

    /// What is said when no host awaits data with these addresses.
    #[must_use]
    pub fn unknown(&self) -> LookupError {
        LookupError::Unknown(self.shown())
    }

    /// As upstream's texts show them.
    fn shown(&self) -> String {
        python::repr(&json!({ "bmc_address": self.bmc, "mac": self.macs }))
    }
}

/// The address in its canonical form; probes write all-zero ones where there is no BMC.
fn bmc_address(text: &str) -> Option<String> {
    let address = parse_ip(text.split('/').next().unwrap_or(text))?;
    (!address.is_unspecified() && !address.is_loopback()).then(|| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(n: u128) -> HostId {
        HostId(uuid::Uuid::from_u128(n))
    }

    fn document(bmc: &str, macs: &[&str]) -> Value {
        let interfaces: Vec<Value> = macs.iter().map(|mac| json!({ "name": "x", "mac_address": mac })).collect();
        json!({ "inventory": { "bmc_address": bmc, "bmc_v6address": "::/0", "interfaces": interfaces } })
    }

    fn attributes(bmc: &str, macs: &[&str]) -> Attributes {
        Attributes::of(document(bmc, macs).as_object().unwrap())
    }

    #[test]
    fn the_best_match_wins_and_a_tie_does_not() {
        let sent = attributes("192.0.2.1", &["52:54:00:AA:00:01", "52:54:00:aa:00:02", "bad"]);
        let one = attributes("0.0.0.0", &["52:54:00:aa:00:01"]);
        let two = attributes("192.0.2.1", &["52:54:00:aa:00:02"]);
        assert_eq!((sent.points(&one), sent.points(&two)), (1, 2));
        assert_eq!(sent.choose([(host(1), one.clone()), (host(2), two)]), Ok(host(2)));
        let tie = sent.choose([(host(1), one.clone()), (host(2), attributes("", &["52:54:00:aa:00:02"]))]);
        assert!(tie.unwrap_err().to_string().starts_with("Look up error: Multiple nodes match the same number of"));
        let unknown = attributes("", &["52:54:00:bb:00:01"]).choose([(host(1), one)]).unwrap_err().to_string();
        assert_eq!(
            unknown,
            "Look up error: Could not find a node for attributes {'bmc_address': [], 'mac': ['52:54:00:bb:00:01']}"
        );
    }

    #[test]
    fn a_host_is_known_by_its_ports_its_bmc_and_its_last_document() {
        let mut node = Node::new(host(1), "a");
        node.driver_info.insert("redfish_address".into(), json!("192.0.2.9"));
        let last = document("192.0.2.1", &["52:54:00:aa:00:01"]);
        let known = Attributes::known(&node, Some(&last));
        assert_eq!(known.addresses(), ["192.0.2.1", "192.0.2.9", "52:54:00:aa:00:01"]);
    }
}
