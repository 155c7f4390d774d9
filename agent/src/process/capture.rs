//! Output of a program: its first and its last bytes, byte-exact, and how much there was.

use std::collections::VecDeque;

use hostler_common::job::Captured;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Collects output within limits, however much there is.
#[derive(Debug)]
pub struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
    head_max: usize,
    tail_max: usize,
}

impl Capture {
    /// Keeps at most so many of the first and so many of the last bytes.
    #[must_use]
    pub fn new(head_max: usize, tail_max: usize) -> Self {
        Self { head: Vec::new(), tail: VecDeque::new(), total: 0, head_max, tail_max }
    }

    /// Takes what was written next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let (head, rest) = bytes.split_at(bytes.len().min(self.head_max - self.head.len()));
        self.head.extend_from_slice(head);
        let rest = &rest[rest.len().saturating_sub(self.tail_max)..];
        let excess = (self.tail.len() + rest.len()).saturating_sub(self.tail_max);
        self.tail.drain(..excess);
        self.tail.extend(rest);
    }

    /// What was kept.
    #[must_use]
    pub fn finish(self) -> Captured {
        Captured { head: self.head, tail: self.tail.into(), total: self.total }
    }
}

/// Reads a pipe to its end.
pub async fn pump(mut pipe: impl AsyncRead + Unpin, capture: &mut Capture) {
    let mut buffer = vec![0; 64 << 10];
    // A pipe that cannot be read has ended as far as we can know.
    while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
        capture.push(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn head_and_tail_are_those_of_the_whole(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
            head_max in 0..50usize,
            tail_max in 0..50usize,
        ) {
            let mut capture = Capture::new(head_max, tail_max);
            for chunk in &chunks {
                capture.push(chunk);
            }
            let whole = chunks.concat();
            let kept = capture.finish();
            let head = whole.len().min(head_max);
            let tail = (whole.len() - head).min(tail_max);
            prop_assert_eq!(&kept.head, &whole[..head]);
            prop_assert_eq!(&kept.tail, &whole[whole.len() - tail..]);
            prop_assert_eq!(kept.total, whole.len() as u64);
            prop_assert_eq!(kept.complete(), whole.len() <= head_max + tail_max);
        }
    }
}
