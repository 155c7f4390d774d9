//! Values of secrets are taken out of output before anybody keeps or sends it (spec/hooks.md §10): as they are, and encoded
//! as base64 at any of the three positions that a value can have in what was encoded.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// What stands in the place of a value.
const MASK: &[u8] = b"***";

/// The shortest line of a value of several lines that is taken out by itself; shorter ones are no secrets.
const LINE_MIN: usize = 8;

/// The shortest value that is looked for in base64: of shorter ones too little is left that is its own.
const BASE64_MIN: usize = 4;

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    /// The longest first, so that a value is not half hidden by another that it begins with.
    all: Vec<Vec<u8>>,
    begins: Vec<bool>,
}

impl Patterns {
    /// All forms of these values.
    #[must_use]
    pub fn new(values: &[Vec<u8>]) -> Self {
        let mut all = Vec::new();
        for value in values {
            let bare = value.trim_ascii_end();
            all.extend([value.clone(), bare.to_vec()]);
            all.extend(bare.split(|byte| *byte == b'\n').filter(|line| line.len() >= LINE_MIN).map(<[u8]>::to_vec));
            all.extend(encoded(value));
            all.extend(encoded(bare));
        }
        all.retain(|pattern| !pattern.is_empty());
        all.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        all.dedup();
        let mut begins = vec![false; 256];
        for pattern in &all {
            begins[usize::from(pattern[0])] = true;
        }
        Self { all, begins }
    }

    /// How many of the first bytes of `bytes` are one of the patterns; zero if none.
    fn found(&self, bytes: &[u8]) -> usize {
        self.all.iter().find(|pattern| bytes.starts_with(pattern)).map_or(0, Vec::len)
    }

    /// Whether `bytes`, which end where output ended so far, may be the beginning of one.
    fn may_become(&self, bytes: &[u8]) -> bool {
        self.all.iter().any(|pattern| pattern.len() > bytes.len() && pattern.starts_with(bytes))
    }
}

/// The characters of base64 that depend on nothing but `value`, for each of the three positions.
fn encoded(value: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    if value.len() < BASE64_MIN {
        return found;
    }
    for lead in 0..3_usize {
        let mut whole = vec![0; lead];
        whole.extend_from_slice(value);
        // Characters that hold bits of what is before or behind are left out.
        let first = (lead * 8).div_ceil(6);
        let last = whole.len() * 8 / 6;
        for text in [STANDARD_NO_PAD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)] {
            found.push(text.as_bytes()[first..last].to_vec());
        }
    }
    found
}

/// Takes values out of one stream, also where they come in pieces.
#[derive(Debug)]
pub struct Masker {
    patterns: std::sync::Arc<Patterns>,
    /// What may be the beginning of a value.
    held: Vec<u8>,
}

impl Masker {
    /// Of the beginning of a stream.
    #[must_use]
    pub fn new(patterns: std::sync::Arc<Patterns>) -> Self {
        Self { patterns, held: Vec::new() }
    }

    /// Takes what came next and gives what is safe to show.
    pub fn push<'a>(&mut self, bytes: &'a [u8]) -> std::borrow::Cow<'a, [u8]> {
        if self.patterns.all.is_empty() {
            return bytes.into();
        }
        self.held.extend_from_slice(bytes);
        let (mut at, mut shown) = (0, Vec::with_capacity(self.held.len()));
        while let Some(byte) = self.held.get(at) {
            let rest = &self.held[at..];
            if self.patterns.begins[usize::from(*byte)] {
                // First whether it may become a longer one, then whether it is one.
                if self.patterns.may_become(rest) {
                    break;
                }
                let len = self.patterns.found(rest);
                if len > 0 {
                    shown.extend_from_slice(MASK);
                    at += len;
                    continue;
                }
            }
            shown.push(*byte);
            at += 1;
        }
        self.held.drain(..at);
        shown.into()
    }

    /// What was held back when the stream ends.
    #[must_use]
    pub fn finish(&mut self) -> Vec<u8> {
        let (held, mut at, mut shown) = (std::mem::take(&mut self.held), 0, Vec::new());
        while at < held.len() {
            let len = self.patterns.found(&held[at..]);
            if len > 0 {
                shown.extend_from_slice(MASK);
            } else {
                shown.push(held[at]);
            }
            at += len.max(1);
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn masked(values: &[&str], pieces: &[&[u8]]) -> Vec<u8> {
        let values: Vec<Vec<u8>> = values.iter().map(|value| value.as_bytes().to_vec()).collect();
        let mut masker = Masker::new(Arc::new(Patterns::new(&values)));
        let mut shown = Vec::new();
        for piece in pieces {
            shown.extend_from_slice(&masker.push(piece));
        }
        shown.extend(masker.finish());
        shown
    }

    #[test]
    fn values_are_hidden_wherever_the_pieces_end() {
        assert_eq!(masked(&["hunter2"], &[b"pw=hunter2\n"]), b"pw=***\n");
        assert_eq!(masked(&["hunter2"], &[b"pw=hun", b"ter", b"2\nhunt", b"er\n"]), b"pw=***\nhunter\n");
        assert_eq!(masked(&["aab"], &[b"aa", b"aab"]), b"aa***");
        assert_eq!(masked(&["ab", "abcd"], &[b"abcd", b"abc"]), b"******c");
        assert_eq!(masked(&["", "x"], &[b"nothing"]), b"nothing");
        assert_eq!(masked(&["line one is\nline two is\n"], &[b"> line two is <"]), b"> *** <");
        assert_eq!(masked(&["token\n"], &[b"token!"]), b"***!");
    }

    #[test]
    fn values_are_hidden_in_base64_at_every_position() {
        for lead in ["", "u", "us", "use", "user:"] {
            let text = STANDARD.encode(format!("{lead}correct horse battery"));
            let shown = String::from_utf8(masked(&["correct horse battery"], &[text.as_bytes()])).unwrap();
            assert!(shown.contains("***") && shown.len() < 20, "{lead}: {shown}");
        }
    }

    proptest! {
        #[test]
        fn nothing_of_a_value_is_left_and_the_rest_is_whole(
            parts in prop::collection::vec("[a-c]{0,6}", 0..6),
            cuts in prop::collection::vec(1..5_usize, 0..40),
        ) {
            let text = parts.join("SECRET-abc");
            let (mut pieces, mut rest) = (Vec::new(), text.as_bytes());
            for cut in cuts {
                let (piece, left) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = left;
            }
            pieces.push(rest);
            let shown = masked(&["SECRET-abc"], &pieces);
            prop_assert_eq!(String::from_utf8(shown).unwrap(), parts.join("***"));
        }
    }
}
