//! `set-attribute` and `extend-attribute`: change a field of the node, or something inside it.
//!
//! `set-attribute` is a JSON-patch `add`. Upstream also resets the driver's interfaces where `path` is `driver`; the node
//! document has no such interfaces, so that `reset_interfaces` is accepted and changes nothing.

use serde_json::Value;

use super::Parameters;
use crate::introspection::document::{self, Failure, MAX_DEPTH, python};
use crate::introspection::node::Node;
use crate::introspection::rules::compare;

/// Fields that say what is so, or that have their own actions: rules do not write them.
const READ_ONLY: [&str; 7] = ["id", "uuid", "provision_state", "power_state", "maintenance", "traits", "ports"];

pub(super) fn set(parameters: &Parameters<'_>, node: &mut Node) -> Result<(), Failure> {
    let path = parameters.text("path");
    let segments: Vec<String> = path.strip_prefix('/').unwrap_or(path).split('/').map(unescaped).collect();
    change(node, path, &segments, &parameters.value, |document| add(document, &segments, parameters.value.clone()))
}

pub(super) fn extend(parameters: &Parameters<'_>, node: &mut Node) -> Result<(), Failure> {
    let path = parameters.text("path");
    let segments: Vec<String> = path.strip_prefix('/').unwrap_or(path).split('/').map(unescaped).collect();
    let unique = parameters.given.get("unique").is_some_and(python::truthy);
    change(node, path, &segments, &parameters.value, |document| {
        if segments.len() > 2 {
            return Err("the path may address one level inside a field only".to_owned());
        }
        let mut place = document;
        for (level, segment) in segments.iter().enumerate() {
            let map = place.as_object_mut().ok_or("there is no such attribute")?;
            if level == 0 && !map.contains_key(segment) {
                return Err("there is no such attribute".to_owned());
            }
            place = map.entry(segment).or_insert_with(|| Value::Array(Vec::new()));
        }
        let Value::Array(items) = place else { return Err("it is not a list".to_owned()) };
        if !(unique && items.iter().any(|item| compare::equal(item, &parameters.value))) {
            items.push(parameters.value.clone());
        }
        Ok(())
    })
}

/// Changes the document of the node and takes it over only if it still is one.
fn change(
    node: &mut Node,
    path: &str,
    segments: &[String],
    value: &Value,
    edit: impl FnOnce(&mut Value) -> Result<(), String>,
) -> Result<(), Failure> {
    let failure = |reason: String| Failure::new(format!("Failed to set attribute {path}: {reason}"));
    let field = segments.first().map(String::as_str).unwrap_or_default();
    if READ_ONLY.contains(&field) {
        return Err(failure("it cannot be changed by a rule".to_owned()));
    }
    // The value comes to lie one level below the last segment, itself one below the document.
    if segments.len() + 1 + document::depth(value) > MAX_DEPTH {
        return Err(failure(format!("nested deeper than {MAX_DEPTH} levels")));
    }
    let mut document = node.document();
    edit(&mut document).map_err(failure)?;
    let changed: Node = serde_json::from_value(document).map_err(|error| failure(error.to_string()))?;
    if changed.name != node.name {
        hostler_common::text::check_host_name(&changed.name).map_err(|rule| failure(format!("a name {rule}")))?;
    }
    *node = changed;
    Ok(())
}

fn unescaped(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

/// The JSON-patch operation `add`.
fn add(document: &mut Value, segments: &[String], value: Value) -> Result<(), String> {
    let Some((last, parents)) = segments.split_last() else { return Ok(()) };
    let mut place = document;
    for (level, segment) in parents.iter().enumerate() {
        let inner = match place {
            Value::Object(map) => map.get_mut(segment),
            Value::Array(items) => segment.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
            _ => None,
        };
        place = inner.ok_or_else(|| format!("{} does not exist", parents[..=level].join("/")))?;
    }
    match place {
        Value::Object(map) if parents.is_empty() => {
            let known = map.get_mut(last).ok_or("there is no such attribute")?;
            *known = value;
        }
        Value::Object(map) => {
            map.insert(last.clone(), value);
        }
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => {
            let index = last.parse::<usize>().ok().filter(|index| *index <= items.len());
            items.insert(index.ok_or_else(|| format!("{last} is not a place in the list"))?, value);
        }
        _ => return Err(format!("{} is not an object", parents.join("/"))),
    }
    Ok(())
}
