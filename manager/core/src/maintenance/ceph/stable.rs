//! Whether a gate has been open for long enough (spec/maintenance.md §8.4 rule 6).

use std::time::Duration;

use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};

/// How often a cluster is looked at while a gate is awaited.
pub const EVERY: Duration = Duration::from_secs(10);

/// Two samples further apart than this are not consecutive: nobody knows what was between them.
const GAP: Duration = Duration::from_secs(60);

/// Since when all samples are good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stability {
    /// The first good sample of the unbroken row; `None` after a bad one.
    since: Option<Timestamp>,
    /// The last good sample.
    last: Option<Timestamp>,
}

impl Stability {
    /// Takes in a sample.
    pub fn observe(&mut self, good: bool, now: Timestamp) {
        if !good {
            *self = Self::default();
            return;
        }
        if self.last.is_some_and(|last| now.since(last) > GAP) {
            self.since = None;
        }
        self.since.get_or_insert(now);
        self.last = Some(now);
    }

    /// Whether all samples of so long a time were good.
    #[must_use]
    pub fn holds(&self, time: Duration) -> bool {
        match (self.since, self.last) {
            (Some(since), Some(last)) => last.since(since) >= time,
            _ => false,
        }
    }

    /// For how long it has been good, for people.
    #[must_use]
    pub fn so_far(&self) -> Duration {
        match (self.since, self.last) {
            (Some(since), Some(last)) => last.since(since),
            _ => Duration::ZERO,
        }
    }
}
