//! Judging of Ceph clusters (spec/maintenance.md §8): pure functions of what agents read. They never ask anything and never
//! change anything; what is not known counts as bad.

pub mod admit;
pub mod gate;
pub mod progress;
pub mod stable;
pub mod stop;

use serde::{Deserialize, Serialize};

/// Something that keeps a gate closed, or speaks against a stop (§8.7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocker {
    /// The code: that of a health check, or one of ours where Ceph has none.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// Whether an operator may have it ignored.
    pub ignorable: bool,
}

impl Blocker {
    /// One that an operator may have ignored.
    #[must_use]
    pub fn soft(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), ignorable: true }
    }

    /// One that nobody can have ignored.
    #[must_use]
    pub fn hard(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), ignorable: false }
    }
}

/// Blockers in one line for people, with their codes.
#[must_use]
pub fn in_words(blockers: &[Blocker]) -> String {
    let parts: Vec<String> = blockers.iter().map(|one| format!("{} ({})", one.message, one.code)).collect();
    parts.join("; ")
}

#[cfg(test)]
mod tests;
