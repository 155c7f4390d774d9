//! Putting the sections of a partial probe into a whole document (spec/introspection.md §6.4).
//!
//! Both documents are unprocessed ones. What a probe could not read stays as it was known: a section without an answer
//! takes nothing away.

use serde_json::{Map, Value, json};

use super::document;

/// The places outside of `fleet` that are filled from one section: under `inventory`, or at the top.
const PLACES: [(&str, &str, bool); 15] = [
    ("interfaces", "net", true),
    ("disks", "storage", true),
    ("cpu", "cpu", true),
    ("memory", "memory", true),
    ("bmc_address", "bmc", true),
    ("bmc_v6address", "bmc", true),
    ("bmc_mac", "bmc", true),
    ("system_vendor", "system", true),
    ("hostname", "system", true),
    ("boot", "firmware", true),
    ("root_disk", "storage", false),
    ("boot_interface", "firmware", false),
    ("pci_devices", "pci", false),
    ("numa_topology", "numa", false),
    ("usb_devices", "usb", false),
];

/// What came of a merge.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The whole document.
    pub document: Value,
    /// Sections whose facts are those of the new document.
    pub read: Vec<Read>,
    /// Whether any of them says something else than before, measured values aside.
    pub changed: bool,
}

/// A section that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Its name.
    pub name: String,
    /// How long the agent says that its facts count as fresh, in seconds.
    pub ttl_s: u64,
    /// `ok`, `partial` or `unavailable`.
    pub status: String,
}

/// The sections of a document that answered.
#[must_use]
pub fn read(document: &Value) -> Vec<Read> {
    let Some(sections) = sections(document) else { return Vec::new() };
    let answered = sections.iter().filter_map(|(name, section)| {
        let status = section.get("status")?.as_str()?;
        matches!(status, "ok" | "partial" | "unavailable").then(|| Read {
            name: name.clone(),
            ttl_s: section.get("ttl_s").and_then(Value::as_u64).unwrap_or(0),
            status: status.to_owned(),
        })
    });
    answered.collect()
}

/// Whether a document stands for all of the host: it says so, or it does not come from our probe.
#[must_use]
pub fn is_whole(document: &Value) -> bool {
    match document.get("fleet").and_then(|fleet| fleet.get("complete")) {
        Some(complete) => complete != &Value::Bool(false),
        None => sections(document).is_none_or(Map::is_empty),
    }
}

/// Puts what `new` says into `base`. A whole document replaces the other.
#[must_use]
pub fn merge(base: Option<&Value>, new: Value) -> Merged {
    let read = read(&new);
    let Some(base) = base.filter(|_| !is_whole(&new) && document::check(&new).is_ok()) else {
        return Merged { document: new, read, changed: true };
    };
    let has = |name: &str| read.iter().any(|section| section.name == name);
    let changed = read.iter().any(|section| differs(base, &new, &section.name));
    let mut whole = base.as_object().cloned().unwrap_or_default();
    let (mut inventory, mut fleet) = (taken(&mut whole, "inventory"), taken(&mut whole, "fleet"));
    for (key, _, inner) in PLACES.iter().filter(|(_, section, _)| has(section)) {
        let (from, to) = if *inner {
            (new.get("inventory").and_then(Value::as_object), &mut inventory)
        } else {
            (new.as_object(), &mut whole)
        };
        match from.and_then(|from| from.get(*key)) {
            Some(value) => drop(to.insert((*key).to_owned(), value.clone())),
            None => drop(to.shift_remove(*key)),
        }
    }
    if has("lldp")
        && let Some(raw) = new.get("lldp_raw")
    {
        whole.insert("lldp_raw".into(), raw.clone());
    }
    let mut records = taken(&mut fleet, "sections");
    for section in &read {
        if let Some(facts) = new.get("fleet").and_then(|fleet| fleet.get(&section.name)) {
            fleet.insert(section.name.clone(), facts.clone());
        }
        if let Some(record) = sections(&new).and_then(|sections| sections.get(&section.name)) {
            records.insert(section.name.clone(), record.clone());
        }
    }
    fleet.insert("sections".into(), Value::Object(records));
    if has("net") != has("lldp") {
        hear(&mut inventory, whole.get("lldp_raw"));
    }
    if has("system") != has("firmware") {
        name_firmware(&mut inventory, fleet.get("firmware"), base);
    }
    whole.insert("inventory".into(), Value::Object(inventory));
    whole.insert("fleet".into(), Value::Object(fleet));
    Merged { document: Value::Object(whole), read, changed }
}

/// Interfaces are filled from two sections; where only one of them was read, the other's part is put back.
fn hear(inventory: &mut Map<String, Value>, heard: Option<&Value>) {
    let interfaces = inventory.get_mut("interfaces").and_then(Value::as_array_mut);
    for interface in interfaces.into_iter().flatten().filter_map(Value::as_object_mut) {
        let name = interface.get("name").and_then(Value::as_str).unwrap_or_default();
        let said = heard.and_then(|heard| heard.get(name)).cloned().unwrap_or(Value::Null);
        interface.insert("lldp".into(), said);
    }
}

/// The same for the firmware that stands in the description of the system.
fn name_firmware(inventory: &mut Map<String, Value>, own: Option<&Value>, base: &Value) {
    let firmware = match own {
        Some(own) => {
            let of = |key: &str| own.get(key).and_then(Value::as_str).unwrap_or_default();
            Some(json!({ "vendor": of("vendor"), "version": of("version"), "build_date": of("build_date") }))
        }
        None => base.pointer("/inventory/system_vendor/firmware").cloned(),
    };
    let vendor = inventory.get_mut("system_vendor").and_then(Value::as_object_mut);
    if let (Some(vendor), Some(firmware)) = (vendor, firmware) {
        vendor.insert("firmware".into(), firmware);
    }
}

fn differs(base: &Value, new: &Value, name: &str) -> bool {
    let of = |document: &Value, key: &str| sections(document)?.get(name)?.get(key)?.as_str().map(str::to_owned);
    let hash = of(new, "hash");
    hash.is_none() || hash != of(base, "hash") || of(new, "status") != of(base, "status")
}

fn sections(document: &Value) -> Option<&Map<String, Value>> {
    document.get("fleet")?.get("sections")?.as_object()
}

/// The object under `key`, taken out; its place is kept for what is put back. Empty where there is none.
fn taken(map: &mut Map<String, Value>, key: &str) -> Map<String, Value> {
    match map.get_mut(key).map(Value::take) {
        Some(Value::Object(inner)) => inner,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests;
