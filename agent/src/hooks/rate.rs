//! How often a hook may be started on a host: once a second, and five times in a row after a pause (spec/hooks.md §10).
//! Counted by the monotonic clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hostler_common::id::HookId;

/// The time that each start costs.
const EACH: Duration = Duration::from_secs(1);

/// How many starts may come at once.
const BURST: u32 = 5;

/// When each hook has paid for its starts.
#[derive(Clone, Debug, Default)]
pub struct Rate {
    paid: BTreeMap<HookId, Instant>,
}

impl Rate {
    /// Whether `hook` may be started now; then that counts.
    pub fn start(&mut self, hook: HookId, now: Instant) -> bool {
        // Who has paid needs not to be remembered.
        self.paid.retain(|_, paid| *paid > now);
        let paid = self.paid.get(&hook).copied().unwrap_or(now) + EACH;
        if paid > now + EACH * BURST {
            return false;
        }
        self.paid.insert(hook, paid);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_at_once_and_then_one_a_second() {
        let (mut rate, begin) = (Rate::default(), Instant::now());
        let mut at = |hook, millis| rate.start(HookId(hook), begin + Duration::from_millis(millis));
        let begun: Vec<bool> = (0..7).map(|_| at(1, 0)).collect();
        assert_eq!(begun, [true, true, true, true, true, false, false]);
        assert!(at(2, 0), "another hook");
        assert!(!at(1, 999));
        assert!(at(1, 1000) && !at(1, 1001) && at(1, 2000));
        let later: Vec<bool> = (0..6).map(|_| at(1, 60_000)).collect();
        assert_eq!(later, [true, true, true, true, true, false]);
        assert_eq!(rate.paid.len(), 1);
    }
}
