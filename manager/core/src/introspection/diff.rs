//! What differs between two processed documents of a host (spec/introspection.md §6.4).
//!
//! Documents are compared in their canonical form ([`canonical()`]), so that neither order nor volatile facts count.
//! Entries of lists are matched by what identifies them, never by their place. What a probe could not read is unknown,
//! which is no change: a section that is not `ok` neither loses nor gains anything.

mod canonical;
mod identity;
mod judge;

pub use canonical::canonical;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::document;

/// One difference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Where: a JSON pointer in which entries of lists are named by their identity.
    pub path: String,
    /// How.
    pub op: Op,
    /// The value before; null if it was added.
    pub old: Value,
    /// The value now; null if it was removed.
    pub new: Value,
    /// What it concerns.
    pub class: Class,
    /// How much it matters.
    pub severity: Severity,
}

/// How something differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// It was not there.
    Added,
    /// It is gone.
    Removed,
    /// It has another value.
    Changed,
}

/// What a difference concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Parts of the machine.
    Hardware,
    /// Versions and settings of firmware.
    Firmware,
    /// The operating system and what runs on it.
    Software,
    /// Addresses, links, neighbours.
    Network,
    /// State of health and of the probes.
    Health,
}

/// How much a difference matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For the record.
    Info,
    /// Somebody should look.
    Warning,
    /// Something is missing, or it is another machine.
    Alarm,
}

impl Op {
    /// The stable name, as stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

impl Class {
    /// The stable name, as stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hardware => "hardware",
            Self::Firmware => "firmware",
            Self::Software => "software",
            Self::Network => "network",
            Self::Health => "health",
        }
    }
}

impl Severity {
    /// The stable name, as stored and shown, in events too.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Alarm => "alarm",
        }
    }
}

/// The differences, in the order of the paths of the canonical form. Documents that [`document::check`] refuses have
/// none.
#[must_use]
pub fn delta(old: &Value, new: &Value) -> Vec<Change> {
    if document::check(old).is_err() || document::check(new).is_err() {
        return Vec::new();
    }
    let mut walk = Walk { unread: [unread(old, new), unread(new, old)], changes: Vec::new() };
    walk.values(&mut Vec::new(), Some(&canonical(old)), Some(&canonical(new)));
    walk.changes
}

/// The sections that were not read completely: those of either document that are not `ok` in this one. A probe may have
/// been asked for some of them only.
fn unread(document: &Value, other: &Value) -> Vec<String> {
    let sections = |document: &Value| document.get("fleet")?.get("sections")?.as_object().cloned();
    let (here, there) = (sections(document).unwrap_or_default(), sections(other).unwrap_or_default());
    let incomplete = |name: &&String| here.get(*name).and_then(|section| section["status"].as_str()) != Some("ok");
    here.keys().chain(there.keys()).filter(incomplete).cloned().collect()
}

struct Walk {
    /// Of the old and of the new document.
    unread: [Vec<String>; 2],
    changes: Vec<Change>,
}

impl Walk {
    fn values(&mut self, path: &mut Vec<String>, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (Some(Value::Object(old)), Some(Value::Object(new))) => self.objects(path, old, new),
            (Some(Value::Array(old)), Some(Value::Array(new))) => self.lists(path, old, new),
            (old, new) if old != new => self.record(path, old, new),
            _ => {}
        }
    }

    fn objects(&mut self, path: &mut Vec<String>, old: &Map<String, Value>, new: &Map<String, Value>) {
        for key in old.keys().chain(new.keys().filter(|key| !old.contains_key(*key))) {
            path.push(key.clone());
            self.values(path, old.get(key), new.get(key));
            path.pop();
        }
    }

    fn lists(&mut self, path: &mut Vec<String>, old: &[Value], new: &[Value]) {
        let list = path.last().cloned().unwrap_or_default();
        for pair in identity::pairs(&list, old, new) {
            path.push(pair.name);
            self.values(path, pair.old, pair.new);
            path.pop();
        }
    }

    fn record(&mut self, path: &[String], old: Option<&Value>, new: Option<&Value>) {
        let known = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
        let is_unread = |document: usize| {
            judge::sections(path).iter().any(|section| self.unread[document].iter().any(|unread| unread == section))
        };
        if (!known(old) && is_unread(0)) || (!known(new) && is_unread(1)) {
            return;
        }
        let op = match (old, new) {
            (None, _) => Op::Added,
            (_, None) => Op::Removed,
            _ => Op::Changed,
        };
        let (old, new) = (old.unwrap_or(&Value::Null), new.unwrap_or(&Value::Null));
        self.changes.push(Change {
            path: path.iter().map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect(),
            op,
            old: old.clone(),
            new: new.clone(),
            class: judge::class(path),
            severity: judge::severity(path, op, old, new),
        });
    }
}

#[cfg(test)]
mod tests;
