//! The document that a probe wrote to its standard output.

use hostler_common::job::Outcome;
use serde_json::Value;

use super::document::python;

/// The document of a probe that ended well.
///
/// # Errors
/// It is over the limit, no JSON or no object; the text is for people and part of the dialect.
pub fn document(outcome: &Outcome) -> Result<Value, String> {
    if !outcome.stdout.complete() || !outcome.stdout.tail.is_empty() {
        let total = outcome.stdout.total;
        return Err(format!("Probe failed: its document of {total} bytes is over the limit"));
    }
    match serde_json::from_slice::<Value>(&outcome.stdout.head) {
        Ok(data @ Value::Object(_)) => Ok(data),
        Ok(other) => Err(format!("Invalid data: expected a JSON object, got {}", python::type_name(&other))),
        Err(error) => Err(format!("Probe failed: its document cannot be read: {error}")),
    }
}
