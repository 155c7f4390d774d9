//! Does nothing, and says on which host (spec/maintenance.md §5.4): the step by which an operator tries a session.

use hostler_common::step::StepResult;
use serde_json::{Value, json};

use super::Failure;

/// Does it.
///
/// # Errors
/// The host has no name.
pub fn run() -> Result<StepResult, Failure> {
    let host = super::node_name()?;
    Ok(StepResult {
        changed: false,
        before: Value::Null,
        after: json!({"host": host}),
        detail: format!("{host}: done nothing"),
    })
}
