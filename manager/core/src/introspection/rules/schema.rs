//! The checks that conditions and actions have in common, with the first lines of upstream's validation texts
//! (spec/introspection.md §1.7.7, §3.2, §3.3).

use serde_json::{Map, Value};

use crate::introspection::document::python;

/// Most conditions, and most actions, of one rule. Patterns take memory when compiled.
const MAX_ITEMS: usize = 256;

/// An array, of bounded length.
pub(super) fn array(value: &Value) -> Result<&[Value], String> {
    let items = value.as_array().ok_or_else(|| not_of_type(value, "array"))?;
    if items.len() > MAX_ITEMS {
        return Err(format!("more than {MAX_ITEMS} items"));
    }
    Ok(items)
}

/// An object.
pub(super) fn object(value: &Value) -> Result<&Map<String, Value>, String> {
    value.as_object().ok_or_else(|| not_of_type(value, "object"))
}

/// A text.
pub(super) fn string(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| not_of_type(value, "string"))
}

/// A truth value.
pub(super) fn boolean(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| not_of_type(value, "boolean"))
}

/// A key that must be there.
pub(super) fn required<'a>(map: &'a Map<String, Value>, key: &str) -> Result<&'a Value, String> {
    map.get(key).ok_or_else(|| format!("'{key}' is a required property"))
}

/// The one of `choices` that has that name.
pub(super) fn one_of<'a, T>(
    value: &Value,
    choices: &'a [T],
    name: impl Fn(&T) -> &'static str,
) -> Result<&'a T, String> {
    choices.iter().find(|choice| value.as_str() == Some(name(choice))).ok_or_else(|| {
        let names = Value::from(choices.iter().map(name).collect::<Vec<_>>());
        format!("{} is not one of {}", brief(value), python::repr(&names))
    })
}

/// Checks the parameters of an operator or action: all keys that are not `common`. A null counts as missing.
pub(super) fn parameters(
    map: &Map<String, Value>,
    common: &[&str],
    required: &[&str],
    optional: &[&str],
) -> Result<(), String> {
    let given = |key: &str| map.get(key).is_some_and(|value| !value.is_null());
    let missing: Vec<&str> = required.iter().copied().filter(|key| !given(key)).collect();
    let known = |key: &str| [common, required, optional].iter().any(|keys| keys.contains(&key));
    let unexpected: Vec<&str> = map.keys().map(String::as_str).filter(|key| given(key) && !known(key)).collect();
    let mut problems = Vec::new();
    if !missing.is_empty() {
        problems.push(format!("missing required parameter(s): {}", missing.join(", ")));
    }
    if !unexpected.is_empty() {
        problems.push(format!("unexpected parameter(s): {}", unexpected.join(", ")));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}

fn not_of_type(value: &Value, kind: &str) -> String {
    format!("{} is not of type '{kind}'", brief(value))
}

/// The value in the text, cut where it is long: the text goes back to whoever sent it.
fn brief(value: &Value) -> String {
    let text = python::repr(value);
    let short = hostler_common::text::clip(&text, 200);
    if short.len() < text.len() { format!("{short}...") } else { text }
}
