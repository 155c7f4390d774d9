//! What can be asked of a webhook, and the rows that it writes.

use std::time::Duration;

use hostler_common::id::{EventNumber, SessionId};
use uuid::Uuid;

use super::state::Spec;

/// What a new webhook is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct New {
    /// What is asked for.
    pub spec: Spec,
    /// Its secret, encrypted.
    pub sealed: String,
    /// The last event that it is not told of.
    pub after: EventNumber,
}

/// What a look at the events after the cursor found. It counts only for the cursor and the filter that it was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seek {
    /// The cursor that the look began at.
    pub from: EventNumber,
    /// The generation of the filter.
    pub generation: u32,
    /// The last event before the wanted one, or the last that there is; nothing in between is wanted.
    pub passed: EventNumber,
    /// The first wanted event.
    pub found: Option<EventNumber>,
    /// How many events after the cursor were removed before anybody looked at them.
    pub missed: u64,
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why, for people.
    pub reason: String,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make it.
    Create(Box<New>),
    /// Replace what is asked for.
    Change(Box<Spec>),
    /// Sign with a new secret; the one before signs too for a while.
    Rotate {
        /// The new one, encrypted.
        sealed: String,
        /// How long the one before counts.
        keep: Duration,
    },
    /// Switch it on, with a clean slate.
    Enable,
    /// Switch it off.
    Disable,
    /// Remove it.
    Delete,
    /// Whoever asks wants to deliver what is next.
    Claim(Seek),
    /// The receiver took the event.
    Delivered {
        /// Under this claim.
        claim: Uuid,
        /// The status of the answer.
        status: u16,
        /// What is next, if whoever delivers goes on with it.
        next: Option<Seek>,
    },
    /// The receiver did not take the event.
    Failed {
        /// Under this claim.
        claim: Uuid,
        /// How.
        failed: Failed,
    },
    /// The event was removed before it could be delivered.
    Lost {
        /// Under this claim.
        claim: Uuid,
    },
    /// Try a dead letter once more.
    Replay(EventNumber),
}

/// Rows that a decision writes besides the machine itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// An event is given up, or is so again.
    Bury {
        /// Which.
        event: EventNumber,
        /// How often it was tried this time.
        attempts: u32,
        /// The status of the last answer.
        status: Option<u16>,
        /// Why the last attempt failed.
        reason: String,
    },
    /// A dead letter is none any more.
    Exhume(EventNumber),
    /// For which project, and for which session alone if not for all, somebody listens from now on because of it (§4.6 of
    /// spec/maintenance.md).
    Listens(Option<(String, Option<SessionId>)>),
}
