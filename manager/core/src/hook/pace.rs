//! How often a hook may begin on a host: once a second, five times at once (spec/hooks.md §10).

use std::time::Duration;

use hostler_common::time::Timestamp;

/// The time between two beginnings, in the long run.
const PERIOD: Duration = Duration::from_secs(1);

/// How many may begin at once.
const BURST: u32 = 5;

/// How long a beginning may be put off; longer, and it does not happen.
const BACKLOG: Duration = Duration::from_secs(60);

/// When a hook begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The moment.
    pub at: Timestamp,
    /// What is to be remembered for the next time.
    pub next: Timestamp,
}

/// When the next beginning may happen; `known` is what was remembered. `None` means never: there are too many.
#[must_use]
pub fn slot(known: Option<Timestamp>, now: Timestamp) -> Option<Slot> {
    let due = known.map_or(now, |known| known.max(now));
    let at = due.before(PERIOD * (BURST - 1)).max(now);
    (at.since(now) <= BACKLOG).then(|| Slot { at, next: due.after(PERIOD) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_at_once_then_one_a_second_then_none() {
        let now = Timestamp::from_micros(1_000_000_000_000);
        let (mut known, mut delays) = (None, Vec::new());
        while let Some(slot) = slot(known, now) {
            delays.push(slot.at.since(now).as_secs());
            known = Some(slot.next);
        }
        assert_eq!(delays[..7], [0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(delays.len(), 65, "five at once and a minute of backlog");
        let later = now.after(Duration::from_secs(600));
        assert_eq!(slot(known, later).map(|slot| slot.at), Some(later));
    }
}
