//! What identifies the entries of a list, and which entries of two lists are the same thing.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// A property that identifies an entry. A strong one says "another thing" where it differs; a weak one only helps where
/// no strong one is known on both sides.
struct Property {
    key: &'static str,
    strong: bool,
}

const fn strong(key: &'static str) -> Property {
    Property { key, strong: true }
}

const fn weak(key: &'static str) -> Property {
    Property { key, strong: false }
}

/// Disks: a disk in the place of another one is another disk.
const DISK: [Property; 4] = [strong("wwn"), strong("serial"), weak("by_path"), weak("name")];

/// Network interfaces: a card in the same slot is the same interface with another MAC; links without a slot are known by
/// their MAC or name.
const INTERFACE: [Property; 4] = [strong("pci_address"), weak("mac_address"), weak("perm_address"), weak("name")];

/// Memory modules: the slot counts, a replaced module shows as another serial.
const MODULE: [Property; 2] = [strong("locator"), weak("slot")];

/// Everything else, the most telling first.
const OTHER: [Property; 14] = [
    strong("uuid"),
    strong("id"),
    strong("bus"),
    strong("address"),
    strong("pci_address"),
    strong("locator"),
    strong("slot"),
    strong("handle"),
    strong("path"),
    strong("mount_point"),
    strong("name"),
    weak("device"),
    weak("mac"),
    weak("cpu"),
];

fn properties(list: &str) -> &'static [Property] {
    match list {
        "disks" => &DISK,
        "interfaces" => &INTERFACE,
        "modules" | "dimms" => &MODULE,
        _ => &OTHER,
    }
}

/// The identity by which lists are sorted, whatever list it is.
pub(super) fn name(item: &Value) -> String {
    [DISK.as_slice(), &INTERFACE, &MODULE, &OTHER]
        .into_iter()
        .flatten()
        .find_map(|property| value(item, property.key))
        .unwrap_or_default()
}

fn value(item: &Value, key: &str) -> Option<String> {
    match item.get(key)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Two entries that are the same thing, or one that has no counterpart.
pub(super) struct Pair<'a> {
    pub(super) name: String,
    pub(super) old: Option<&'a Value>,
    pub(super) new: Option<&'a Value>,
}

/// Matches the entries of two canonical lists. Equal entries are left out, as they are no difference.
pub(super) fn pairs<'a>(list: &str, old: &'a [Value], new: &'a [Value]) -> Vec<Pair<'a>> {
    let properties = properties(list);
    let (mut old, mut new) = without_equal(old, new);
    let mut pairs = Vec::new();
    for (rank, property) in properties.iter().enumerate() {
        let there = unique(&new, property.key);
        let here = unique(&old, property.key);
        let mut taken = Vec::new();
        for (identity, &from) in &here {
            let Some(&to) = there.get(identity) else { continue };
            if !differ(&properties[..rank], old[from], new[to]) {
                taken.push((identity.clone(), from, to));
            }
        }
        taken.sort();
        pairs.extend(taken.iter().map(|(identity, from, to)| Pair {
            name: identity.clone(),
            old: Some(old[*from]),
            new: Some(new[*to]),
        }));
        old = without(&old, taken.iter().map(|(_, from, _)| *from).collect());
        new = without(&new, taken.iter().map(|(_, _, to)| *to).collect());
    }
    let shown = |item: &Value| {
        let identity = properties.iter().find_map(|property| value(item, property.key));
        identity.unwrap_or_else(|| match item {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    };
    pairs.extend(old.into_iter().map(|item| Pair { name: shown(item), old: Some(item), new: None }));
    pairs.extend(new.into_iter().map(|item| Pair { name: shown(item), old: None, new: Some(item) }));
    pairs
}

/// Entries whose text occurs on one side more often than on the other.
fn without_equal<'a>(old: &'a [Value], new: &'a [Value]) -> (Vec<&'a Value>, Vec<&'a Value>) {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for item in new {
        *counts.entry(item.to_string()).or_default() += 1;
    }
    let mut common: HashMap<String, usize> = HashMap::new();
    let only_old = old.iter().filter(|item| {
        let text = item.to_string();
        match counts.get_mut(&text).filter(|count| **count > 0) {
            Some(count) => {
                *count -= 1;
                *common.entry(text).or_default() += 1;
                false
            }
            None => true,
        }
    });
    let only_old = only_old.collect();
    let only_new = new.iter().filter(|item| match common.get_mut(&item.to_string()).filter(|count| **count > 0) {
        Some(count) => {
            *count -= 1;
            false
        }
        None => true,
    });
    (only_old, only_new.collect())
}

/// The places of the entries whose value of `key` no other entry has.
fn unique(items: &[&Value], key: &str) -> HashMap<String, usize> {
    let mut places: HashMap<String, Option<usize>> = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        if let Some(identity) = value(item, key) {
            places.entry(identity).and_modify(|place| *place = None).or_insert(Some(index));
        }
    }
    places.into_iter().filter_map(|(identity, place)| Some((identity, place?))).collect()
}

fn differ(stronger: &[Property], old: &Value, new: &Value) -> bool {
    stronger.iter().filter(|property| property.strong).any(
        |property| matches!((value(old, property.key), value(new, property.key)), (Some(old), Some(new)) if old != new),
    )
}

fn without<'a>(items: &[&'a Value], taken: HashSet<usize>) -> Vec<&'a Value> {
    items.iter().enumerate().filter(|(index, _)| !taken.contains(index)).map(|(_, item)| *item).collect()
}
