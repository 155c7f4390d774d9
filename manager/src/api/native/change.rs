//! Differences on the wire: `Change` of docs/native-api.md.

use hostler_core::introspection::diff::{Change, Class, Op, Severity};
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
            op: match change.op {
                Op::Added => "added",
                Op::Removed => "removed",
                Op::Changed => "changed",
            },
            old: change.old,
            new: change.new,
            class: match change.class {
                Class::Hardware => "hardware",
                Class::Firmware => "firmware",
                Class::Software => "software",
                Class::Network => "network",
                Class::Health => "health",
            },
            severity: match change.severity {
                Severity::Info => "info",
                Severity::Warning => "warning",
                Severity::Critical => "alarm",
            },
        }
    }
}
