//! `scheduler`: CPUs, architecture and memory, as numbers in the document and as texts in the node's properties.

use serde_json::Value;

use super::Facts;
use crate::introspection::document::{self, Failure, python};
use crate::introspection::node::Node;

/// Where each comes from in the inventory.
const FACTS: [(&str, &str, &str); 3] =
    [("cpus", "cpu", "count"), ("cpu_arch", "cpu", "architecture"), ("memory_mb", "memory", "physical_mb")];

pub(super) fn post(facts: &mut Facts<'_>, node: &mut Node) -> Result<(), Failure> {
    for (name, section, key) in FACTS {
        let inventory = document::inventory(facts.data);
        let value =
            inventory.and_then(|inventory| inventory.get(section)?.get(key)).filter(|value| python::truthy(value));
        let Some(value) = value.filter(|value| value.is_number() || value.is_string()).cloned() else {
            facts.warn("scheduler", format!("the inventory does not contain {section}.{key}"));
            continue;
        };
        let shown = python::str(&value);
        facts.data.insert(name.to_owned(), value);
        if facts.settings.processing.overwrite_existing || !node.properties.contains_key(name) {
            node.properties.insert(name.to_owned(), Value::String(shown));
        }
    }
    Ok(())
}
