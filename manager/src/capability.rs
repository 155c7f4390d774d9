//! Links that carry the right to answer one question (spec/maintenance.md §1.12): for receivers of notifications that have no
//! token of their project.
//!
//! What a link allows is sealed in it under the name of the question's path, so that it opens for no other project, session or
//! instance. Whoever makes links and whoever reads them share the manager's vault and nothing else.

use hostler_common::time::Timestamp;
use hostler_core::maintenance::state::State;
use secrecy::ExposeSecret as _;

use crate::hooks::Vault;

/// The parameter behind the question mark of a link.
pub const PARAMETER: &str = "cap";

/// How long a sealed text may be, in bytes: more is none of ours.
const LONGEST: usize = 1024;

/// What a link allows: to look at the question, and to answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// The state that may be answered.
    pub state: State,
    /// Until when.
    pub until: Timestamp,
}

/// Under which name the right to a path is sealed. Paths begin with `/v1/maintenance/` and have no slash at the end.
fn name(path: &str) -> String {
    format!("reply to {path}")
}

impl Capability {
    /// A link to the path of a question, with this right in it; `None` if the system gives no random numbers.
    #[must_use]
    pub fn link(&self, vault: &Vault, path: &str) -> Option<String> {
        let place = State::ALL.iter().position(|state| *state == self.state)?;
        // Short: a link must fit into 255 signs (§4.5).
        let sealed = vault.seal(&name(path), &format!("{place} {}", self.until.as_micros())).ok()?;
        // As it can stand in a URL.
        let text = sealed.replace('+', "-").replace('/', "_");
        Some(format!("{path}?{PARAMETER}={}", text.trim_end_matches('=')))
    }

    /// What the text behind the question mark allows for the question of that path, if it is from this manager.
    #[must_use]
    pub fn read(vault: &Vault, path: &str, text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let padding = "=".repeat((4 - text.len() % 4) % 4);
        let sealed = format!("{}{padding}", text.replace('-', "+").replace('_', "/"));
        let opened = vault.unseal(&name(path), &sealed).ok()?;
        let (place, until) = opened.expose_secret().split_once(' ')?;
        let state = *State::ALL.get(place.parse::<usize>().ok()?)?;
        Some(Self { state, until: Timestamp::from_micros(until.parse().ok()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_for_one_question() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let vault = Vault::open(dir.path()).unwrap();
        let right = Capability { state: State::PlannedMaintenance, until: Timestamp::from_micros(7) };
        for path in ["/v1/maintenance/s/p", "/v1/maintenance/s/p/i", "/v1/maintenance/s/longer-project"] {
            let link = right.link(&vault, path).unwrap();
            let (before, text) = link.split_once("?cap=").unwrap();
            assert_eq!(before, path);
            assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')), "{text}");
            assert_eq!(Capability::read(&vault, path, text), Some(right));
            assert_eq!(Capability::read(&vault, "/v1/maintenance/s/q", text), None);
            assert_eq!(Capability::read(&Vault::open(other.path()).unwrap(), path, text), None);
            assert_eq!(Capability::read(&vault, path, &text[1..]), None);
            assert_eq!(Capability::read(&vault, path, ""), None);
        }
    }
}
