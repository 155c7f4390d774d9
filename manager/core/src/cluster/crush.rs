//! Whose change of the CRUSH map it was (spec/hooks.md §7.6).

use std::collections::BTreeMap;
use std::time::Duration;

use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::command::CrushMove;

/// An operation that did not say that it ended is given up after this: longer than any may take (spec/hooks.md §8: 900 s).
const OPERATION_MAX: Duration = Duration::from_secs(1200);

/// What is known of a cluster's CRUSH map.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crush {
    /// The version that was last judged; `None` before the first report.
    pub version: Option<u64>,
    /// The hash of that version, without `choose_args`; `None` means that it is not known.
    pub hash: Option<String>,
    /// Operations of ours that are under way, with when they began.
    pub operations: BTreeMap<Uuid, Timestamp>,
}

impl Crush {
    /// An operation of ours begins.
    pub fn begin(&mut self, operation: Uuid, now: Timestamp) {
        self.operations.insert(operation, now);
    }

    /// An operation of ours ended; answers with versions from and to which others moved the map before it.
    pub fn end(&mut self, operation: Uuid, change: Option<CrushMove>) -> Option<(u64, u64)> {
        self.operations.remove(&operation);
        let change = change?;
        let known = self.version?;
        if change.to <= known {
            return None;
        }
        self.version = Some(change.to);
        self.hash = change.hash;
        (change.from > known).then_some((known, change.from))
    }

    /// Judges a report; answers with versions from and to which others moved the map. Changes of `choose_args` alone leave the
    /// hash as it was and are not told; nothing is judged while an operation of ours is under way or the hash is missing.
    pub fn report(&mut self, version: Option<u64>, hash: Option<&str>, now: Timestamp) -> Option<(u64, u64)> {
        self.operations.retain(|_, began| now.since(*began) < OPERATION_MAX);
        let (version, hash) = (version?, hash?);
        let Some(known) = self.version else {
            self.take(version, hash);
            return None;
        };
        if version == known && self.hash.is_none() {
            self.take(version, hash);
        }
        if version <= known || !self.operations.is_empty() {
            return None;
        }
        let same = self.hash.as_deref() == Some(hash);
        self.take(version, hash);
        (!same).then_some((known, version))
    }

    fn take(&mut self, version: u64, hash: &str) {
        self.version = Some(version);
        self.hash = Some(hash.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATION: Uuid = Uuid::from_u128(1);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    fn known() -> Crush {
        Crush { version: Some(9), hash: Some("a".into()), ..Crush::default() }
    }

    /// Version and hash that are reported; what is told, and the version that is known then.
    type Case = (Option<u64>, Option<&'static str>, Option<(u64, u64)>, u64);

    #[test]
    fn changes_of_others() {
        let cases: &[Case] = &[
            (Some(9), Some("a"), None, 9),
            (Some(10), Some("b"), Some((9, 10)), 10),
            (Some(14), Some("b"), Some((9, 14)), 14),
            // Only `choose_args` differ.
            (Some(10), Some("a"), None, 10),
            // Not known: the next report decides.
            (Some(10), None, None, 9),
            (None, None, None, 9),
            // A monitor that lags behind.
            (Some(8), Some("z"), None, 9),
        ];
        for (version, hash, told, then) in cases {
            let mut crush = known();
            assert_eq!(crush.report(*version, *hash, at(0)), *told, "{version:?} {hash:?}");
            assert_eq!(crush.version, Some(*then), "{version:?} {hash:?}");
        }
        assert_eq!(Crush::default().report(Some(3), Some("x"), at(0)), None, "the first sight is the baseline");
    }

    #[test]
    fn our_own_change_is_not_told_however_late_its_end_is_known() {
        let mut crush = known();
        crush.begin(OPERATION, at(0));
        assert_eq!(crush.report(Some(10), Some("b"), at(1)), None);
        assert_eq!(crush.end(OPERATION, Some(CrushMove { from: 9, to: 10, hash: None })), None);
        assert_eq!(crush.report(Some(10), Some("b"), at(2)), None);
        assert_eq!(crush.hash.as_deref(), Some("b"), "the hash is made up for");
        assert_eq!(crush.report(Some(11), Some("c"), at(3)), Some((10, 11)));
    }

    #[test]
    fn others_between_report_and_operation_are_told() {
        let mut crush = known();
        crush.begin(OPERATION, at(0));
        assert_eq!(crush.end(OPERATION, Some(CrushMove { from: 11, to: 12, hash: Some("d".into()) })), Some((9, 11)));
        assert_eq!(crush.report(Some(12), Some("d"), at(1)), None);
    }

    #[test]
    fn an_operation_that_changed_nothing_hides_nothing() {
        let mut crush = known();
        crush.begin(OPERATION, at(0));
        assert_eq!(crush.report(Some(10), Some("b"), at(1)), None);
        assert_eq!(crush.end(OPERATION, None), None);
        assert_eq!(crush.report(Some(10), Some("b"), at(2)), Some((9, 10)));
    }

    #[test]
    fn an_operation_without_end_is_given_up() {
        let mut crush = known();
        crush.begin(OPERATION, at(0));
        assert_eq!(crush.report(Some(10), Some("b"), at(1199)), None);
        assert_eq!(crush.report(Some(10), Some("b"), at(1200)), Some((9, 10)));
    }
}
