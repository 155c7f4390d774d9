//! What hooks and rules share about documents: limits, the failure that ends a run, and access to the usual places.
//!
//! Documents come from the network and from operators. Everything that recurses over one relies on [`check`] having
//! bounded its depth before.

pub mod net;
pub mod python;

use hostler_common::error::Class;
use serde_json::{Map, Value};

/// How deep values may be nested in a document, a rule or a node. Below the 127 levels that the JSON parser reads back,
/// as documents are stored and sent inside of others.
pub const MAX_DEPTH: usize = 100;

/// How many values a document may hold in all: ten times what a host with 400 disks and 300 links reports.
pub const MAX_VALUES: usize = 1_000_000;

/// Why a run ends in `error`. The message is what the API answers and the status shows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The text for the caller, complete.
    pub message: String,
}

impl Failure {
    /// A failure with that message.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }

    /// Always [`Class::Invalid`]: what was given cannot be processed as configured (spec/introspection.md §1.7.8).
    #[must_use]
    pub fn class(&self) -> Class {
        Class::Invalid
    }
}

/// The document as an object, once it is known to be safe to walk and to clone.
///
/// # Errors
/// Not an object (with the text of spec/introspection.md §1.7.6), nested too deep, or too large.
pub fn check(document: &Value) -> Result<&Map<String, Value>, Failure> {
    let Value::Object(map) = document else {
        return Err(Failure::new(format!("Invalid data: expected a JSON object, got {}", python::type_name(document))));
    };
    match measure(document) {
        Some(size) if size.depth > MAX_DEPTH => {
            Err(Failure::new(format!("Invalid data: nested deeper than {MAX_DEPTH} levels")))
        }
        Some(_) => Ok(map),
        None => Err(Failure::new(format!("Invalid data: more than {MAX_VALUES} values"))),
    }
}

/// How many levels `value` has; a scalar has one. Saturates just above [`MAX_DEPTH`].
#[must_use]
pub fn depth(value: &Value) -> usize {
    measure(value).map_or(MAX_DEPTH + 1, |size| size.depth)
}

struct Size {
    depth: usize,
}

/// Walks with its own stack, as the point is not to trust the depth. `None` if there are too many values.
fn measure(value: &Value) -> Option<Size> {
    let mut open = vec![(value, 1_usize)];
    let (mut depth, mut seen) = (0, 0_usize);
    while let Some((value, level)) = open.pop() {
        depth = depth.max(level);
        seen += 1;
        if seen > MAX_VALUES {
            return None;
        }
        if level > MAX_DEPTH {
            break;
        }
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, level + 1))),
            Value::Object(map) => open.extend(map.values().map(|item| (item, level + 1))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    Some(Size { depth })
}

/// The raw document as it is stored: without `logs`, which may hold secrets (spec/introspection.md §1.7.5).
#[must_use]
pub fn unprocessed(mut raw: Value) -> Value {
    if let Value::Object(map) = &mut raw {
        map.shift_remove("logs");
    }
    raw
}

/// The `inventory` object, if there is one.
#[must_use]
pub fn inventory(data: &Map<String, Value>) -> Option<&Map<String, Value>> {
    data.get("inventory")?.as_object()
}

/// The objects of the array `key` of the inventory; entries of another type are passed over.
pub fn inventory_list<'a>(
    data: &'a Map<String, Value>,
    key: &str,
) -> impl Iterator<Item = &'a Map<String, Value>> + use<'a> {
    list(inventory(data).and_then(|inventory| inventory.get(key)))
}

/// The objects of an array value; anything else yields nothing.
pub fn list(value: Option<&Value>) -> impl Iterator<Item = &Map<String, Value>> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

/// A text that is there and not empty.
#[must_use]
pub fn text<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    map.get(key)?.as_str().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nested(levels: usize) -> Value {
        let mut value = json!({});
        for _ in 1..levels {
            value = json!({ "a": value });
        }
        value
    }

    #[test]
    fn only_objects_of_bounded_depth_pass() {
        assert!(check(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(check(&nested(MAX_DEPTH + 1)).unwrap_err().message, "Invalid data: nested deeper than 100 levels");
        for (value, name) in
            [(json!([]), "list"), (json!(null), "None"), (json!("x"), "str"), (json!(1), "int"), (json!(true), "bool")]
        {
            let want = format!("Invalid data: expected a JSON object, got {name}");
            assert_eq!(check(&value).unwrap_err().message, want);
        }
    }

    #[test]
    fn too_many_values_are_refused() {
        let wide = json!({ "a": vec![0; MAX_VALUES] });
        assert_eq!(check(&wide).unwrap_err().message, "Invalid data: more than 1000000 values");
    }

    #[test]
    fn the_stored_raw_document_has_no_logs() {
        assert_eq!(unprocessed(json!({ "logs": "x", "a": 1 })), json!({ "a": 1 }));
        assert_eq!(unprocessed(json!([1])), json!([1]));
    }
}
