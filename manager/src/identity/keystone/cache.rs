//! What Keystone said of tokens a moment ago.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hostler_common::time::Timestamp;
use hostler_core::policy::Caller;

use super::super::token::Hash;

/// How many tokens of either kind are remembered. Those that count and those that do not are kept apart: nobody drives
/// the former out by guessing.
const KEPT_MAX: usize = 4096;

/// How long it is remembered, at the most, that a token does not count.
const UNKNOWN: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Cache {
    life: Duration,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    known: HashMap<Hash, (Arc<Caller>, Span)>,
    unknown: HashMap<Hash, Span>,
}

/// From when to when something is believed; a clock that was set back ends it too.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: Timestamp,
    until: Timestamp,
}

impl Span {
    fn holds(self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }
}

impl Cache {
    /// A cache that believes what it was told for that long.
    pub(super) fn new(life: Duration) -> Self {
        Self { life, kept: Mutex::default() }
    }

    /// What is known: `Some(None)` is a token that does not count.
    pub(super) fn get(&self, key: &Hash, now: Timestamp) -> Option<Option<Arc<Caller>>> {
        let kept = self.lock();
        if let Some((caller, _)) = kept.known.get(key).filter(|(_, span)| span.holds(now)) {
            return Some(Some(Arc::clone(caller)));
        }
        kept.unknown.get(key).filter(|span| span.holds(now)).map(|_| None)
    }

    /// Remembers an answer, but never beyond the end of the token.
    pub(super) fn put(&self, key: Hash, caller: Option<Arc<Caller>>, now: Timestamp, end: Option<Timestamp>) {
        let life = if caller.is_some() { self.life } else { self.life.min(UNKNOWN) };
        let until = now.after(life);
        let span = Span { from: now, until: end.map_or(until, |end| end.min(until)) };
        let mut kept = self.lock();
        match caller {
            Some(caller) => {
                make_room(&mut kept.known, |(_, span)| span.holds(now));
                kept.known.insert(key, (caller, span));
            }
            None => {
                make_room(&mut kept.unknown, |span| span.holds(now));
                kept.unknown.insert(key, span);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // The maps are whole after any panic: every critical section ends with one operation on one of them.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room for one more: first what does not hold any more goes, and if that is nothing, all.
fn make_room<V>(map: &mut HashMap<Hash, V>, holds: impl Fn(&V) -> bool) {
    if map.len() < KEPT_MAX {
        return;
    }
    map.retain(|_, value| holds(value));
    if map.len() >= KEPT_MAX {
        map.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000).after(Duration::from_secs(seconds))
    }

    fn key(n: u16) -> Hash {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&n.to_be_bytes());
        key
    }

    #[test]
    fn answers_are_believed_for_their_time_only() {
        let cache = Cache::new(Duration::from_secs(60));
        let caller = Arc::new(Caller::anonymous());
        cache.put(key(1), Some(Arc::clone(&caller)), at(100), Some(at(10_000)));
        cache.put(key(2), Some(Arc::clone(&caller)), at(100), Some(at(110)));
        cache.put(key(3), None, at(100), None);
        let counts = |n, second| cache.get(&key(n), at(second)).map(|known| known.is_some());
        assert_eq!((counts(1, 159), counts(1, 160), counts(1, 99)), (Some(true), None, None));
        assert_eq!((counts(2, 109), counts(2, 110)), (Some(true), None));
        assert_eq!((counts(3, 104), counts(3, 105)), (Some(false), None));
        assert_eq!(counts(4, 100), None);
    }

    #[test]
    fn without_a_life_nothing_is_believed() {
        let cache = Cache::new(Duration::ZERO);
        cache.put(key(1), Some(Arc::new(Caller::anonymous())), at(1), None);
        cache.put(key(2), None, at(1), None);
        assert!(cache.get(&key(1), at(1)).is_none() && cache.get(&key(2), at(1)).is_none());
    }

    #[test]
    fn guesses_are_bounded_and_drive_nobody_out() {
        let cache = Cache::new(Duration::from_secs(60));
        cache.put(key(0), Some(Arc::new(Caller::anonymous())), at(0), None);
        for n in 1..=10_000 {
            cache.put(key(n), None, at(0), None);
        }
        assert!(cache.get(&key(0), at(1)).is_some_and(|known| known.is_some()));
        assert!(cache.lock().unknown.len() <= KEPT_MAX);
        for n in 1..=10_000 {
            cache.put(key(n), Some(Arc::new(Caller::anonymous())), at(0), None);
        }
        assert!(cache.lock().known.len() <= KEPT_MAX);
    }
}
