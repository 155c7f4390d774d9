//! Time in which no manager is there: it is nobody's fault, and nothing fails of it (spec/maintenance.md §2.6).
//!
//! A manager that comes back finds deadlines that passed long ago, and no agent connected. Whoever judges by a deadline, or by
//! whether an agent is connected, asks here whether anybody could have met it.

use std::time::Duration;

use hostler_common::time::Timestamp;

use crate::machine::Context;

/// How late it may be looked at something before that counts as an outage.
const LATE: Duration = Duration::from_secs(60);

/// How long agents get to come back after an outage.
pub const COMEBACK: Duration = Duration::from_secs(120);

/// Whether nobody was there to look in time at what came due at `due`.
fn late(due: Timestamp, now: Timestamp) -> bool {
    now.since(due) > LATE
}

impl<F> Context<F> {
    /// Until when agents that are away count as about to come back, because no manager was there before.
    #[must_use]
    pub fn back(&self) -> Timestamp {
        self.since.after(COMEBACK)
    }

    /// Whether agents that are away count as about to come back.
    #[must_use]
    pub fn coming_back(&self) -> bool {
        self.now < self.back()
    }

    /// Until when agents get to come back where something is found too late.
    #[must_use]
    pub fn grace(&self) -> Timestamp {
        if self.coming_back() { self.back() } else { self.now.after(COMEBACK) }
    }

    /// Whether what came due at `due` is nobody's fault: no manager was there to see it met, or only just is.
    #[must_use]
    pub fn missed(&self, due: Timestamp) -> bool {
        self.coming_back() || late(due, self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_no_outage_and_after_one_there_are_two_minutes() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        assert!(!late(at(10), at(5)) && !late(at(10), at(70)) && late(at(10), at(71)));
        let cx = |now| Context { now: at(now), since: at(100), actor: None, seed: 0, facts: () };
        assert!(cx(219).coming_back() && !cx(220).coming_back());
        assert!(cx(219).missed(at(219)) && !cx(220).missed(at(219)) && cx(300).missed(at(219)));
        assert_eq!((cx(150).grace(), cx(300).grace()), (at(220), at(420)));
    }
}
