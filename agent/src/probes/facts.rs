//! What one probe hands back: facts, and for every fact that could not be had, why.

use std::io;

use serde::Serialize;
use serde_json::{Map, Value, json};

/// The findings of one section while they are being gathered.
#[derive(Debug, Default)]
pub struct Facts {
    values: Map<String, Value>,
    problems: Vec<String>,
    unavailable: Option<String>,
    late: bool,
}

/// The findings of one section when they are complete.
#[derive(Debug)]
pub struct Found {
    /// The facts as they appear under `fleet.<section>`.
    pub facts: Value,
    /// One entry per fact that is missing, `fact: reason`.
    pub problems: Vec<String>,
    /// Set if the whole source is missing.
    pub unavailable: Option<String>,
    /// Whether every problem is a device that did not answer in time.
    pub late: bool,
}

impl Facts {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A section whose source does not exist here.
    #[must_use]
    pub fn unavailable(reason: impl Into<String>) -> Found {
        Found { facts: json!({}), problems: Vec::new(), unavailable: Some(reason.into()), late: false }
    }

    /// Adds a fact.
    pub fn set(&mut self, name: &str, value: impl Serialize) {
        match serde_json::to_value(value) {
            Ok(value) => {
                self.values.insert(name.to_owned(), value);
            }
            Err(error) => self.missing(name, error.to_string()),
        }
    }

    /// Adds a fact, or the reason why it is missing. The absence of what an error calls "not found" or "unsupported" is
    /// itself a fact (`null`), not a problem.
    pub fn take<T: Serialize>(&mut self, name: &str, value: io::Result<T>) -> Option<()> {
        match value {
            Ok(value) => {
                self.set(name, value);
                Some(())
            }
            Err(error) => {
                self.set(name, Value::Null);
                if !is_absence(&error) {
                    self.missing(name, reason(&error));
                }
                None
            }
        }
    }

    /// Notes that a fact is missing.
    pub fn missing(&mut self, name: &str, reason: impl AsRef<str>) {
        self.problems.push(format!("{name}: {}", reason.as_ref()));
    }

    /// Notes that a device did not answer in time.
    pub fn timed_out(&mut self, device: &str) {
        self.late = true;
        self.missing(device, "timeout");
    }

    /// The value of a fact that was set before.
    #[must_use]
    pub fn get(&self, name: &str) -> &Value {
        self.values.get(name).unwrap_or(&Value::Null)
    }

    /// Ends the gathering.
    #[must_use]
    pub fn done(self) -> Found {
        Found {
            facts: Value::Object(self.values),
            problems: self.problems,
            unavailable: self.unavailable,
            late: self.late,
        }
    }
}

/// Whether an error only says that the thing does not exist on this host.
#[must_use]
pub fn is_absence(error: &io::Error) -> bool {
    use nix::libc::{EAFNOSUPPORT, ENODEV, ENOTTY, ENXIO, EOPNOTSUPP};
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::Unsupported)
        || matches!(error.raw_os_error(), Some(EOPNOTSUPP | ENOTTY | ENXIO | ENODEV | EAFNOSUPPORT))
}

/// The short reason that a section reports for an error: `permission`, `timeout`, or the system's text.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission".to_owned(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "timeout".to_owned(),
        io::ErrorKind::NotFound => "not present".to_owned(),
        _ => error.to_string(),
    }
}
