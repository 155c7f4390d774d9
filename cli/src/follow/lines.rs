//! Output of many hosts at once: put together to whole lines, so that the lines of two hosts never mix.

/// The longest line that is waited for, in bytes; what is longer is shown in parts.
const LINE_MAX: usize = 64 << 10;

/// The beginning of a line whose end has not come yet.
#[derive(Debug, Default)]
pub struct Lines {
    open: Vec<u8>,
}

impl Lines {
    /// Takes bytes and hands out the lines that are whole by now, without their ends.
    pub fn push(&mut self, bytes: &[u8], mut whole: impl FnMut(&[u8])) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            if self.open.is_empty() {
                whole(&rest[..end]);
            } else {
                self.open.extend_from_slice(&rest[..end]);
                whole(&self.open);
                self.open.clear();
            }
            rest = &rest[end + 1..];
        }
        self.open.extend_from_slice(rest);
        while self.open.len() > LINE_MAX {
            let part: Vec<u8> = self.open.drain(..LINE_MAX).collect();
            whole(&part);
        }
    }

    /// Hands out what is left, if anything is: nothing more will come.
    pub fn finish(&mut self, whole: impl FnOnce(&[u8])) {
        if !self.open.is_empty() {
            whole(&self.open);
            self.open = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_wherever_they_were_cut() {
        let text = b"one\n\ntwo \xc3\xa9\nthree";
        for size in 1..text.len() {
            let (mut lines, mut seen) = (Lines::default(), Vec::new());
            for part in text.chunks(size) {
                lines.push(part, |line| seen.push(line.to_vec()));
            }
            lines.finish(|line| seen.push(line.to_vec()));
            lines.finish(|_| panic!("nothing is left"));
            assert_eq!(seen, [&b"one"[..], b"", b"two \xc3\xa9", b"three"], "{size}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_shown_in_parts() {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        for _ in 0..5 {
            lines.push(&vec![b'x'; LINE_MAX / 2], |line| seen.push(line.len()));
        }
        assert_eq!(seen, [LINE_MAX, LINE_MAX]);
        assert!(lines.open.len() <= LINE_MAX);
    }
}
