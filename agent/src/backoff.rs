//! How long to wait before the next attempt: full jitter, so that a thousand agents do not come back in one instant.

use std::time::Duration;

/// The first upper bound.
const BASE: Duration = Duration::from_millis(500);

/// The last upper bound.
const CAP: Duration = Duration::from_secs(30);

/// Counts attempts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The wait before the next attempt: evenly spread between zero and a bound that doubles with each. `random` is
    /// anything evenly spread.
    pub fn next(&mut self, random: u64) -> Duration {
        let bound = BASE.saturating_mul(1 << self.attempts.min(16)).min(CAP);
        self.attempts = self.attempts.saturating_add(1);
        let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(random % (micros + 1))
    }

    /// An attempt succeeded.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The next wait is up to the longest: the manager said no, and asking again soon will not change that.
    pub fn refused(&mut self) {
        self.attempts = 16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_up_to_the_cap() {
        let mut backoff = Backoff::default();
        for bound in [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            let bound = Duration::from_millis(bound);
            let micros = u64::try_from(bound.as_micros()).unwrap();
            // The bound itself can be drawn, and what is one more begins again at zero.
            assert_eq!(backoff.clone().next(micros), bound);
            assert_eq!(backoff.next(micros + 1), Duration::ZERO);
        }
    }

    #[test]
    fn waits_spread_over_the_whole_range() {
        let waits: Vec<Duration> = (0..100u64).map(|n| Backoff::default().next(n * 5000)).collect();
        assert_eq!(waits[0], Duration::ZERO);
        assert!(waits.iter().any(|wait| *wait > BASE * 9 / 10));
        assert!(waits.iter().all(|wait| *wait <= BASE));
    }

    #[test]
    fn a_refusal_waits_long_and_a_success_begins_anew() {
        let mut backoff = Backoff::default();
        backoff.refused();
        assert_eq!(backoff.next(30_000_000), CAP);
        backoff.reset();
        assert_eq!(backoff.next(500_000), BASE);
    }
}
