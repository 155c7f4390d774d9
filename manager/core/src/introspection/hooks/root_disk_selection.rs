//! `root_disk_selection`: finds the disk that the node's `root_device` hints describe, and its size.

mod hints;

use serde_json::{Map, Value};

use super::Facts;
use crate::introspection::document::{self, Failure, text};
use crate::introspection::node::Node;
use hints::Hints;

/// Bytes of a GiB.
const GIB: u64 = 1 << 30;

/// The smallest disk that can be a root disk, in bytes.
const SMALLEST: u64 = 4 * GIB;

pub(super) fn post(facts: &mut Facts<'_>, node: &mut Node) -> Result<(), Failure> {
    let skipped = skip_hints(node)?;
    let disks: Vec<&Map<String, Value>> = document::inventory_list(facts.data, "disks").collect();
    let offered = |disk: &Map<String, Value>| !skipped.iter().any(|hints| hints.fit(disk));
    let chosen: Option<Map<String, Value>> = match node.properties.get("root_device").filter(|hints| !hints.is_null()) {
        Some(hints) => {
            let hints = Hints::parse(hints).map_err(|why| Failure::new(format!("Invalid root device hints: {why}")))?;
            let found = disks.iter().find(|disk| offered(disk) && hints.fit(disk));
            Some((**found.ok_or_else(|| Failure::new("No disks satisfied root device hints"))?).clone())
        }
        None => match facts.data.get("root_disk").and_then(Value::as_object) {
            Some(disk) if offered(disk) => Some(disk.clone()),
            Some(_) => smallest(disks.iter().filter(|disk| offered(disk))),
            None => None,
        },
    };
    let spacing = u64::from(facts.settings.processing.disk_partitioning_spacing);
    let size = chosen.as_ref().map_or(0, size);
    let local_gb = (size / GIB).saturating_sub(spacing);
    match chosen {
        Some(disk) => facts.data.insert("root_disk".to_owned(), Value::Object(disk)),
        None => facts.data.shift_remove("root_disk"),
    };
    facts.data.insert("local_gb".to_owned(), Value::from(local_gb));
    node.properties.insert("local_gb".to_owned(), Value::from(local_gb.to_string()));
    Ok(())
}

/// `skip_block_devices`: a list of hints; what fits any of them is no root disk.
fn skip_hints(node: &Node) -> Result<Vec<Hints>, Failure> {
    let invalid = |why: String| Failure::new(format!("Invalid skip_block_devices hints: {why}"));
    match node.properties.get("skip_block_devices") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(|hints| Hints::parse(hints).map_err(invalid)).collect(),
        Some(_) => Err(invalid("not a list".to_owned())),
    }
}

fn smallest<'a>(disks: impl Iterator<Item = &'a &'a Map<String, Value>>) -> Option<Map<String, Value>> {
    let large_enough = disks.filter(|disk| size(disk) >= SMALLEST);
    large_enough.min_by_key(|disk| (size(disk), text(disk, "name"))).map(|disk| (**disk).clone())
}

fn size(disk: &Map<String, Value>) -> u64 {
    disk.get("size").and_then(Value::as_u64).unwrap_or(0)
}
