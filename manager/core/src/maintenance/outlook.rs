//! What somebody who watches a session is told: what is being done or waited for right now, until when, and when it may all be
//! over (spec/maintenance.md §2.6, §5.7). Derived from what the machines remember, never stored.

mod ends;
mod phase;
mod stay;
mod waits;

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;

pub use ends::ends_at;
pub use phase::phase_of;
pub use stay::of_stay;
pub use waits::of_session;

/// Something that is being done, or waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// A stable word for what it is: `replies`, `start`, `window`, `approval`, `health`, `plugin`, `reboot`, …
    pub what: &'static str,
    /// The host concerned; `None` means the session as a whole.
    pub host: Option<HostId>,
    /// In words: what is waited for, or done.
    pub text: String,
    /// What was found when it was last looked at; empty if nothing was.
    pub detail: String,
    /// Since when.
    pub since: Option<Timestamp>,
    /// When it is given up, or over, if that is known.
    pub until: Option<Timestamp>,
    /// Whether nothing goes on until somebody does something.
    pub person: bool,
}

impl Wait {
    fn new(what: &'static str, text: impl Into<String>) -> Self {
        Self { what, host: None, text: text.into(), detail: String::new(), since: None, until: None, person: false }
    }

    fn within(mut self, since: Option<Timestamp>, until: Option<Timestamp>) -> Self {
        (self.since, self.until) = (since, until);
        self
    }

    fn of_people(mut self) -> Self {
        self.person = true;
        self
    }
}

#[cfg(test)]
mod tests;
