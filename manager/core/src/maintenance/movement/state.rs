//! The document of a move.

use std::time::Duration;

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::state::Reason;
use super::super::word::MoveOrder;

/// How long each further attempt waits after the one before.
pub const BACKOFF: [Duration; 3] = [Duration::from_secs(15), Duration::from_secs(30), Duration::from_secs(60)];

/// How long an attempt that is to be ended may take for that before it is asked for again.
pub const ENDING: Duration = Duration::from_secs(60);

/// How often that is asked for before the outcome counts as unknown.
pub const ENDINGS: u32 = 5;

/// Where a move stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing was ordered of it yet.
    Fresh,
    /// An attempt is under way.
    Moving,
    /// The last attempt failed, and the next one waits for its moment.
    Waiting,
    /// The attempt is to be ended: it took too long, or nobody wants it any more.
    Ending,
    /// Its session was told.
    Over,
}

/// A move; the subject is its id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// Which.
    pub id: Uuid,
    /// Where it stands.
    pub phase: Phase,
    /// What was ordered.
    pub order: Option<MoveOrder>,
    /// The attempt under way, or the last one.
    pub attempt: Option<Uuid>,
    /// How many attempts there were.
    pub attempts: u32,
    /// Places that refused.
    pub tried: Vec<HostId>,
    /// When it is given up on.
    pub deadline: Option<Timestamp>,
    /// Why it is to be ended, or why the last attempt failed.
    pub reason: Option<Reason>,
    /// How often it was asked for that the attempt be ended.
    pub endings: u32,
}

impl Move {
    /// A move of which nothing was ordered.
    #[must_use]
    pub fn new(id: Uuid) -> Self {
        Self {
            id,
            phase: Phase::Fresh,
            order: None,
            attempt: None,
            attempts: 0,
            tried: Vec::new(),
            deadline: None,
            reason: None,
            endings: 0,
        }
    }

    /// The order of the next attempt: to the first place that did not refuse yet; when all have, they are asked once more.
    pub(super) fn next_order(&self, order: &MoveOrder) -> MoveOrder {
        let places = order.to.iter().chain(&order.others);
        let untried = places.clone().find(|place| !self.tried.contains(place));
        let count = order.others.len() + usize::from(order.to.is_some());
        let again = (count > 0).then(|| places.clone().nth(self.attempts as usize % count)).flatten();
        MoveOrder { to: untried.or(again).copied(), others: Vec::new(), ..order.clone() }
    }
}
