//! Every typed identifier of the product, in one list, so that mixing two kinds does not compile.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_ids {
    ($($(#[$meta:meta])* $name:ident;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }
    )*};
}

uuid_ids! {
    /// An application credential of a user.
    CredentialId;
    /// A physical or virtual machine that runs an agent.
    HostId;
    /// One stored inventory of a host.
    InventoryId;
    /// One piece of work on one host.
    JobId;
    /// A token with which hosts enrol.
    JoinTokenId;
    /// A state machine: for an introspection it is one per host, for all its runs.
    MachineId;
    /// A project of the embedded identity store.
    ProjectId;
    /// An introspection rule.
    RuleId;
    /// A maintenance session.
    SessionId;
    /// A user of the embedded identity store.
    UserId;
}

macro_rules! number_ids {
    ($($(#[$meta:meta])* $name:ident;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )*};
}

number_ids! {
    /// The number of an event: rises by one with each, never reused.
    EventNumber;
    /// The number of a hook: rises with each, never reused.
    HookId;
    /// The number of a script: rises with each, never reused.
    ScriptId;
    /// The number of a task: rises with each, never reused.
    TaskId;
    /// The number of a webhook: rises with each, never reused.
    WebhookId;
}

/// Reads a UUID in any of the spellings that count as UUID-like (spec/introspection.md §1.5): optional `urn:` and
/// `uuid:` prefixes, braces, hyphens anywhere, any case. `None` means that the text is not UUID-like and may be a name.
#[must_use]
pub fn uuid_like(text: &str) -> Option<Uuid> {
    let digits: String =
        text.replace("urn:", "").replace("uuid:", "").chars().filter(|c| !matches!(c, '{' | '}' | '-')).collect();
    if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    Uuid::try_parse(&digits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_uuid_are_one() {
        let plain = uuid_like("6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3");
        assert!(plain.is_some());
        for other in [
            "6F1D2C3A0B4E4A5F8C6D7E8F90A1B2C3",
            "{6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3}",
            "urn:uuid:6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3",
        ] {
            assert_eq!(uuid_like(other), plain, "{other}");
        }
    }

    #[test]
    fn names_are_not_uuid_like() {
        for name in ["", "host-01", "6f1d2c3a", "6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2cg", "é".repeat(16).as_str()] {
            assert_eq!(uuid_like(name), None, "{name}");
        }
    }
}
