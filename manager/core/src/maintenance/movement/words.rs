//! What moves are told, and what they write.

use hostler_common::id::HostId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::super::word::{MOVE, MoveOrder};
use crate::machine::Message;

/// What a move is told besides its [`MoveOrder`], which comes as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// By its session: nobody wants it any more. It ends as soon as that can be done without harm.
    Abort,
    /// By the compute side: an attempt ended.
    Ended {
        /// Which.
        attempt: Uuid,
        /// How.
        end: End,
    },
}

impl Word {
    /// The word as a message to that move.
    #[must_use]
    pub fn to(&self, mover: Uuid) -> Message {
        // A word is plain data: it always has a JSON form.
        let body = serde_json::to_value(self).unwrap_or(Value::Null);
        Message { kind: MOVE.into(), subject: mover.to_string(), body }
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Where the instance is now; `None` where it is on no host, or nobody knows.
    pub host: Option<HostId>,
    /// Why it did not move; `None` means that it did.
    pub failure: Option<Failure>,
}

impl End {
    /// It moved there.
    #[must_use]
    pub fn moved(host: HostId) -> Self {
        Self { host: Some(host), failure: None }
    }

    /// It did not.
    #[must_use]
    pub fn failed(host: Option<HostId>, failure: Failure) -> Self {
        Self { host, failure: Some(failure) }
    }
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stable code: `move.refused`, `move.interruption`, `move.aborted`, `instance.gone`.
    pub code: String,
    /// A sentence or two.
    pub text: String,
    /// Whether another attempt may end otherwise.
    pub retry: Retry,
}

/// See [`Failure::retry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// It would fail again.
    Never,
    /// After a while, to another place where there is one.
    Later,
}

/// A row that a move writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// This is to be ordered from the compute side, once.
    Order {
        /// The attempt: the id by which the compute side knows it.
        attempt: Uuid,
        /// What.
        order: Box<MoveOrder>,
    },
    /// That attempt is to be ended.
    Abort(Uuid),
}
