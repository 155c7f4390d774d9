//! What it means to a session that no manager was there (spec/maintenance.md §2.6).

use hostler_common::time::Timestamp;

use super::Turn;

impl Turn<'_> {
    /// Since when it counts that something lasts: only a manager that is there sees how it goes on.
    pub(super) fn attended(&self, since: Timestamp) -> Timestamp {
        since.max(self.cx.since)
    }

    /// Until when agents that are away count as about to come back, if some are. What is chosen without them would be chosen
    /// for want of them.
    pub(super) fn awaits_agents(&self) -> Option<Timestamp> {
        let away = self.facts().fleet.iter().any(|host| !host.connected);
        (away && self.cx.coming_back()).then(|| self.cx.back())
    }
}
