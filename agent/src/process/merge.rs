//! Output of a script: both streams in the order of their arrival, its beginning and its end (spec/hooks.md §10).

use std::collections::VecDeque;

use hostler_common::job::{Captured, MARKS_MAX, Merged, Stream};

use super::capture::Capture;

/// Collects both streams within limits, however much there is.
#[derive(Debug)]
pub struct Merge {
    capture: Capture,
    head_max: u64,
    tail_max: u64,
    total: u64,
    last: Option<Stream>,
    head_marks: Vec<(u64, Stream)>,
    tail_marks: VecDeque<(u64, Stream)>,
}

impl Merge {
    /// Keeps at most so many of the first and so many of the last bytes.
    #[must_use]
    pub fn new(head_max: usize, tail_max: usize) -> Self {
        Self {
            capture: Capture::new(head_max, tail_max),
            head_max: head_max as u64,
            tail_max: tail_max as u64,
            total: 0,
            last: None,
            head_marks: Vec::new(),
            tail_marks: VecDeque::new(),
        }
    }

    /// How many bytes there were so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Takes what was written next.
    pub fn push(&mut self, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.last != Some(stream) {
            self.last = Some(stream);
            if self.total < self.head_max && self.head_marks.len() < MARKS_MAX / 2 {
                self.head_marks.push((self.total, stream));
            } else {
                self.tail_marks.push_back((self.total, stream));
            }
        }
        self.capture.push(bytes);
        self.total += bytes.len() as u64;
        // The mark of the first byte of the tail may lie before it; those before that one are of no more use.
        let tail_begins = self.total.saturating_sub(self.tail_max);
        while self.tail_marks.len() > MARKS_MAX / 2 || self.tail_marks.get(1).is_some_and(|mark| mark.0 <= tail_begins)
        {
            self.tail_marks.pop_front();
        }
    }

    /// What was kept; of it `dropped` bytes never reached who watched.
    #[must_use]
    pub fn finish(self, dropped: u64) -> Merged {
        let bytes: Captured = self.capture.finish();
        let tail_begins = self.total - bytes.tail.len() as u64;
        let mut marks = self.head_marks;
        // A stream that began in what was left out goes on where the tail begins.
        let tail = self.tail_marks.into_iter().map(|(at, stream)| (at.max(tail_begins), stream));
        marks.extend(tail.filter(|(at, _)| *at < self.total));
        Merged { bytes, marks, dropped }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stream(stderr: bool) -> Stream {
        if stderr { Stream::Stderr } else { Stream::Stdout }
    }

    #[test]
    fn many_changes_of_stream_are_bounded() {
        let mut merge = Merge::new(1 << 20, 1 << 20);
        for at in 0..100_000 {
            merge.push(stream(at % 2 == 0), b"x");
        }
        let merged = merge.finish(7);
        assert!(merged.marks.len() <= MARKS_MAX);
        assert!(merged.marks.is_sorted_by_key(|mark| mark.0));
        assert_eq!((merged.bytes.total, merged.dropped), (100_000, 7));
    }

    proptest! {
        #[test]
        fn marks_say_of_every_kept_byte_which_stream_it_is_of(
            pieces in prop::collection::vec((any::<bool>(), 0..30_usize), 0..40),
            head_max in 0..60_usize,
            tail_max in 0..60_usize,
        ) {
            let mut merge = Merge::new(head_max, tail_max);
            let mut whole = Vec::new();
            for (stderr, len) in &pieces {
                let bytes = vec![u8::from(*stderr); *len];
                merge.push(stream(*stderr), &bytes);
                whole.extend(bytes);
            }
            let merged = merge.finish(0);
            let tail_begins = whole.len() - merged.bytes.tail.len();
            let kept = (0..merged.bytes.head.len()).chain(tail_begins..whole.len());
            prop_assert!(merged.marks.is_sorted_by_key(|mark| mark.0));
            for at in kept {
                let mark = merged.marks.iter().rev().find(|mark| mark.0 <= at as u64);
                prop_assert_eq!(mark.map(|mark| mark.1), Some(stream(whole[at] == 1)), "byte {}", at);
            }
        }
    }
}
