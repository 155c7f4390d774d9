//! Time that moves when the simulation says so, and randomness that repeats.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hostler_common::time::{Clock, Timestamp};
use hostler_manager::engine::Seeds;

use super::Random;

/// The simulated clock; it begins on 2026-01-01.
#[derive(Debug)]
pub struct SimClock(AtomicI64);

impl Default for SimClock {
    fn default() -> Self {
        Self(AtomicI64::new(1_767_225_600_000_000))
    }
}

impl SimClock {
    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap_or(0), Ordering::SeqCst);
    }

    /// Somebody sets the clock back.
    pub fn set_back(&self, by: Duration) {
        self.0.fetch_sub(i64::try_from(by.as_micros()).unwrap_or(0), Ordering::SeqCst);
    }

    /// Lets time pass until `at`, if that lies ahead.
    pub fn reach(&self, at: Timestamp) {
        self.0.fetch_max(at.as_micros(), Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Identifiers from a seed.
#[derive(Debug)]
pub struct SimSeeds(Mutex<Random>);

impl SimSeeds {
    /// Identifiers from that seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(Random::new(seed)))
    }
}

impl Seeds for SimSeeds {
    fn seed(&self) -> u128 {
        let mut random = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        (u128::from(random.draw()) << 64) | u128::from(random.draw())
    }
}
