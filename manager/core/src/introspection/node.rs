//! The node document: what the registry holds of a host, as hooks change it and as rules see it
//! (spec/introspection.md §3.2).
//!
//! Stored, it contains everything. Rules see [`Node::view`], in which secrets are masked: what a condition can test, an
//! action could copy into a place that more people may read.

use hostler_common::id::HostId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::document::net::Mac;

/// What stands in the place of a secret in the view.
const MASK: &str = "******";

/// A node. Text states are those of the dialect: `manageable` or `active`, `power on`, and so on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The host's id. In the document it stands under `id` and under `uuid`.
    #[serde(flatten, with = "identity")]
    pub id: HostId,
    /// The host's name.
    pub name: String,
    /// Free text.
    #[serde(default)]
    pub description: Option<String>,
    /// `manageable` while registered only, `active` in service.
    pub provision_state: String,
    /// The last known power state, if any.
    #[serde(default)]
    pub power_state: Option<String>,
    /// Whether the host is in maintenance.
    #[serde(default)]
    pub maintenance: bool,
    /// `fleet-agent`, unless a rule set something else.
    pub driver: String,
    /// Access data of the BMC; holds secrets.
    #[serde(default)]
    pub driver_info: Map<String, Value>,
    /// Scheduling properties: `cpus`, `memory_mb`, `capabilities`, `root_device`, `inspection_scope`, ...
    #[serde(default)]
    pub properties: Map<String, Value>,
    /// Free key-value data.
    #[serde(default)]
    pub extra: Map<String, Value>,
    /// Traits, each once, in the order of their addition.
    #[serde(default)]
    pub traits: Vec<String>,
    /// The resource class.
    #[serde(default)]
    pub resource_class: Option<String>,
    /// Data of the instance on it.
    #[serde(default)]
    pub instance_info: Map<String, Value>,
    /// Who owns it.
    #[serde(default)]
    pub owner: Option<String>,
    /// Where it stands.
    #[serde(default)]
    pub location: Location,
    /// Its network ports.
    #[serde(default)]
    pub ports: Vec<Port>,
}

/// Where a host stands; what is unknown is null.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Location {
    /// Region.
    pub region: Option<String>,
    /// Site or data centre.
    pub site: Option<String>,
    /// Rack.
    pub rack: Option<String>,
    /// Position in the rack.
    pub unit: Option<String>,
}

/// A network port of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// The MAC, lower case.
    pub address: String,
    /// Whether it is the interface the host boots from.
    #[serde(default)]
    pub pxe_enabled: bool,
    /// Where the cable ends: `port_id`, `switch_id`, `switch_info`, `port_description`.
    #[serde(default)]
    pub local_link_connection: Map<String, Value>,
    /// The physical network, if known.
    #[serde(default)]
    pub physical_network: Option<String>,
    /// Free key-value data.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

impl Node {
    /// A node of which nothing is known but who it is.
    #[must_use]
    pub fn new(id: HostId, name: impl Into<String>) -> Self {
        Self {
            id,
            name: name.into(),
            description: None,
            provision_state: "manageable".to_owned(),
            power_state: None,
            maintenance: false,
            driver: "fleet-agent".to_owned(),
            driver_info: Map::new(),
            properties: Map::new(),
            extra: Map::new(),
            traits: Vec::new(),
            resource_class: None,
            instance_info: Map::new(),
            owner: None,
            location: Location::default(),
            ports: Vec::new(),
        }
    }

    /// Whether the host is in service; then ports are never deleted or switched (spec/introspection.md §4.5, §6.1).
    #[must_use]
    pub fn in_service(&self) -> bool {
        matches!(self.provision_state.as_str(), "active" | "rescue")
    }

    /// The scope of rules that the node belongs to, `properties.inspection_scope`.
    #[must_use]
    pub fn inspection_scope(&self) -> Option<&str> {
        self.properties.get("inspection_scope")?.as_str()
    }

    /// The port with that MAC; case and separators of the stored address do not count.
    pub fn port_mut(&mut self, mac: Mac) -> Option<&mut Port> {
        self.ports.iter_mut().find(|port| Mac::parse(&port.address) == Some(mac))
    }

    /// Sets one entry of the text `properties.capabilities` (`k:v,k2:v2`); `None` removes it. Other entries stay as
    /// they are, also those that cannot be read.
    pub fn set_capability(&mut self, name: &str, value: Option<&str>) {
        let old = self.properties.get("capabilities").and_then(Value::as_str).unwrap_or_default();
        let is_it = |entry: &str| entry.split_once(':').is_some_and(|(key, _)| key.trim() == name);
        let mut entries: Vec<String> = Vec::new();
        let mut replacement = value.map(|value| format!("{name}:{value}"));
        for entry in old.split(',').filter(|entry| !entry.is_empty()) {
            if is_it(entry) {
                entries.extend(replacement.take());
            } else {
                entries.push(entry.to_owned());
            }
        }
        entries.extend(replacement);
        if entries.is_empty() && !self.properties.contains_key("capabilities") {
            return;
        }
        self.properties.insert("capabilities".to_owned(), Value::String(entries.join(",")));
    }

    /// The value of one capability.
    #[must_use]
    pub fn capability(&self, name: &str) -> Option<&str> {
        let all = self.properties.get("capabilities")?.as_str()?;
        all.split(',').find_map(|entry| entry.split_once(':').filter(|(key, _)| key.trim() == name)).map(|(_, v)| v)
    }

    /// The whole document, secrets included.
    #[must_use]
    pub fn document(&self) -> Value {
        // A node consists of texts, maps with text keys and JSON values, so that there is nothing to fail on.
        serde_json::to_value(self).unwrap_or_else(|_| json!({}))
    }

    /// The document as rules see it under `node://`: secrets in `driver_info` are masked.
    #[must_use]
    pub fn view(&self) -> Value {
        let mut document = self.document();
        if let Some(info) = document.get_mut("driver_info") {
            mask(info);
        }
        document
    }
}

/// Replaces the values of all keys that sound secret. The depth of `value` must be bounded.
fn mask(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, item) in map.iter_mut() {
                if sounds_secret(key) && !item.is_null() {
                    *item = Value::String(MASK.to_owned());
                } else {
                    mask(item);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn sounds_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    ["password", "passwd", "passphrase", "secret", "token", "community", "credential", "private", "hex_kg_key"]
        .iter()
        .any(|word| key.contains(word))
        || key.ends_with("_key")
}

/// The id under both of its keys: `node://id` is upstream's name since its SDK migration, `node://uuid` the one that
/// older rules use.
mod identity {
    use hostler_common::id::HostId;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Keys {
        #[serde(default)]
        id: Option<HostId>,
        uuid: HostId,
    }

    pub(super) fn serialize<S: Serializer>(id: &HostId, serializer: S) -> Result<S::Ok, S::Error> {
        Keys { id: Some(*id), uuid: *id }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HostId, D::Error> {
        Keys::deserialize(deserializer).map(|keys| keys.uuid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn node() -> Node {
        Node::new("6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3".parse().unwrap(), "ceph-07")
    }

    #[test]
    fn the_document_has_every_key_and_reads_back() {
        let mut node = node();
        node.ports.push(Port {
            address: "52:54:00:aa:00:01".to_owned(),
            pxe_enabled: true,
            local_link_connection: Map::new(),
            physical_network: None,
            extra: Map::new(),
        });
        let document = node.document();
        for key in [
            "id",
            "uuid",
            "name",
            "description",
            "provision_state",
            "power_state",
            "maintenance",
            "driver",
            "driver_info",
            "properties",
            "extra",
            "traits",
            "resource_class",
            "instance_info",
            "owner",
            "location",
            "ports",
        ] {
            assert!(document.get(key).is_some(), "{key}");
        }
        assert_eq!(document["id"], document["uuid"]);
        assert_eq!(serde_json::from_value::<Node>(document).unwrap(), node);
    }

    #[test]
    fn the_view_masks_secrets_only() {
        let mut node = node();
        node.driver_info =
            json!({"ipmi_address": "192.0.2.1", "ipmi_password": "p", "deep": [{"snmp_community": "c"}], "api_key": 7,
                   "redfish_password": null})
            .as_object()
            .cloned()
            .unwrap();
        let view = node.view();
        assert_eq!(
            view["driver_info"],
            json!({"ipmi_address": "192.0.2.1", "ipmi_password": MASK, "deep": [{"snmp_community": MASK}],
                   "api_key": MASK, "redfish_password": null})
        );
        assert_eq!(node.document()["driver_info"]["ipmi_password"], "p");
    }

    #[test]
    fn one_capability_changes_and_the_others_stay() {
        let mut node = node();
        node.set_capability("gone", None);
        assert_eq!(node.properties.get("capabilities"), None);
        node.set_capability("a", Some("1"));
        node.set_capability("b", Some("x:y"));
        node.set_capability("a", Some("2"));
        assert_eq!(node.properties["capabilities"], "a:2,b:x:y");
        assert_eq!(node.capability("b"), Some("x:y"));
        node.set_capability("a", None);
        assert_eq!(node.properties["capabilities"], "b:x:y");
        node.properties.insert("capabilities".to_owned(), json!("odd,b:1,,b:2"));
        node.set_capability("b", Some("3"));
        assert_eq!(node.properties["capabilities"], "odd,b:3");
    }
}
