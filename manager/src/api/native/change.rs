//! Differences on the wire: `Change` of docs/native-api.md.

use hostler_core::introspection::diff::Change;
use serde::Serialize;
use serde_json::Value;

/// One difference.
#[derive(Clone, Debug, Serialize)]
pub struct ChangeView {
    path: String,
    op: &'static str,
    old: Value,
    new: Value,
    class: &'static str,
    severity: &'static str,
}

impl ChangeView {
    /// A difference that the core found.
    #[must_use]
    pub fn of(change: Change) -> Self {
        Self {
            path: change.path,
            op: change.op.name(),
            old: change.old,
            new: change.new,
            class: change.class.name(),
            severity: change.severity.name(),
        }
    }
}
