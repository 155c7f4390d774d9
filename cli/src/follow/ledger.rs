//! What of the output of a run was shown already. Pure: it only counts.
//!
//! Output comes in two ways, as a stream while it is written and in pieces when it is asked for, and either may say again what
//! the other said, or leave something out. Each byte has an offset, so nothing is shown twice and nothing is left out.

/// The first so many bytes of an output are kept when it has ended, so one may wait for them.
const KEPT_AT_THE_END: u64 = hostler_common::script::OUTPUT_HEAD as u64;

/// How the output of one host stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The bytes before this offset were shown, or are known to be gone.
    pub shown: u64,
    /// Something is missing: what comes is shown when that was asked for.
    pub behind: bool,
}

/// What to do with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// All of them were shown.
    Old,
    /// Show them from this one on.
    From(usize),
    /// Something before them is missing.
    Gap,
}

/// What to do about bytes that the manager does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Omission {
    /// They were shown already.
    Old,
    /// So many are gone: say so.
    Gone(u64),
    /// The manager will have them when the script has ended.
    Wait,
}

impl Ledger {
    /// Bytes came. Those that are to be shown count as shown.
    pub fn bytes(&mut self, offset: u64, count: usize) -> News {
        if offset > self.shown {
            self.behind = true;
            return News::Gap;
        }
        let known = usize::try_from(self.shown - offset).unwrap_or(usize::MAX);
        if known >= count {
            return News::Old;
        }
        self.shown = offset + count as u64;
        News::From(known)
    }

    /// The manager says that it does not have some bytes; `over` means that there is no more to come from the script.
    pub fn omitted(&mut self, offset: u64, count: u64, over: bool) -> Omission {
        let end = offset.saturating_add(count);
        if end <= self.shown {
            return Omission::Old;
        }
        if !over && end <= KEPT_AT_THE_END {
            self.behind = true;
            return Omission::Wait;
        }
        let gone = end - self.shown.max(offset);
        self.shown = end;
        Omission::Gone(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows the pieces of `text` in any order and repetition, as stream and answers may bring them.
    fn show(text: &[u8], pieces: &[(usize, usize)]) -> Vec<u8> {
        let (mut ledger, mut shown) = (Ledger::default(), Vec::new());
        for (from, to) in pieces {
            if let News::From(skip) = ledger.bytes(*from as u64, to - from) {
                shown.extend_from_slice(&text[from + skip..*to]);
            }
        }
        shown
    }

    #[test]
    fn nothing_is_shown_twice_and_nothing_out_of_order() {
        let text = b"abcdefghij";
        assert_eq!(show(text, &[(0, 3), (0, 5), (2, 4), (5, 5), (4, 10), (0, 10)]), text);
        assert_eq!(show(text, &[(0, 3), (5, 7), (3, 7), (7, 10)]), text, "after a gap the rest is asked for");
        assert_eq!(show(text, &[(4, 10)]), b"");
    }

    #[test]
    fn a_gap_is_remembered() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.bytes(4, 2), News::Gap);
        assert!(ledger.behind && ledger.shown == 0);
    }

    #[test]
    fn what_the_manager_does_not_have_is_said_once_or_waited_for() {
        let mut ledger = Ledger { shown: 10, behind: false };
        assert_eq!(ledger.omitted(4, 6, false), Omission::Old);
        assert_eq!(ledger.omitted(10, 5, false), Omission::Wait, "the record will have it");
        assert_eq!((ledger.shown, ledger.behind), (10, true));
        assert_eq!(ledger.omitted(10, 5, true), Omission::Gone(5));
        assert_eq!(ledger.omitted(10, KEPT_AT_THE_END, false), Omission::Gone(KEPT_AT_THE_END - 5));
        assert_eq!(ledger.shown, KEPT_AT_THE_END + 10);
    }
}
