//! Which keys there are: in the structs that settings are read into, and in an example file.

use std::collections::{BTreeMap, BTreeSet};

/// The keys of the struct `Config`, with dots, those of nested structs instead of the struct itself. `source` is the text of
/// all files in which the structs are written. The struct `Settings` is the one of the processing hooks.
pub fn of_structs(source: &str) -> BTreeSet<String> {
    let structs = structs(source);
    let mut keys = BTreeSet::new();
    collect(&structs, "Config", "", &mut keys);
    keys
}

/// Public fields by name and type, by the name of their struct.
fn structs(source: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let mut found: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let (mut current, mut renamed) = (None, None);
    for line in source.lines() {
        if let Some(name) = line.strip_prefix("pub struct ").and_then(|rest| rest.strip_suffix(" {")) {
            found.insert(name.to_owned(), Vec::new());
            current = Some(name.to_owned());
        } else if line == "}" {
            current = None;
        } else if let Some((_, rest)) = line.split_once("rename = \"") {
            renamed = rest.split_once('"').map(|(name, _)| name.to_owned());
        } else if let (Some(owner), Some(field)) = (&current, line.strip_prefix("    pub ")) {
            let (name, kind) = field.trim_end_matches(',').split_once(": ").expect("a field has a type");
            let name = renamed.take().unwrap_or_else(|| name.to_owned());
            found.get_mut(owner).unwrap().push((name, kind.to_owned()));
        }
    }
    found
}

fn collect(structs: &BTreeMap<String, Vec<(String, String)>>, owner: &str, above: &str, keys: &mut BTreeSet<String>) {
    for (name, kind) in &structs[owner] {
        let path = format!("{above}{name}");
        let inner = kind.trim_start_matches("Option<").trim_start_matches("Vec<").trim_end_matches('>');
        let inner = inner.rsplit("::").next().unwrap_or(inner);
        // A struct that reads itself from one text is a value: it has no public fields of its own in a file.
        let table = structs.contains_key(inner) && inner != "CidrMapping";
        if table { collect(structs, inner, &format!("{path}."), keys) } else { assert!(keys.insert(path)) }
    }
}

/// The keys of an example, down to those that are keys of a struct or deeper ones that are not.
pub fn of_example(table: &toml::Table, known: &BTreeSet<String>) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    walk(table, "", known, &mut keys);
    keys
}

fn walk(table: &toml::Table, above: &str, known: &BTreeSet<String>, keys: &mut BTreeSet<String>) {
    for (name, value) in table {
        let path = format!("{above}{name}");
        let below = |value: &toml::Value, keys: &mut BTreeSet<String>| match value {
            toml::Value::Table(inner) => walk(inner, &format!("{path}."), known, keys),
            _ => {
                keys.insert(path.clone());
            }
        };
        match value {
            _ if known.contains(&path) => {
                keys.insert(path.clone());
            }
            toml::Value::Array(all) if !all.is_empty() => all.iter().for_each(|value| below(value, keys)),
            other => below(other, keys),
        }
    }
}
