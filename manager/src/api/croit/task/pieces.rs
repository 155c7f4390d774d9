//! What a script wrote, cut where the stream changes, for readers that keep standard output and standard error apart.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hostler_common::job::{Captured, Stream};
use serde_json::{Value, json};

/// The stable name of a stream.
pub(super) fn stream_name(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    }
}

/// The kept bytes from an offset on: `{"offset", "stream", "data"}` with the bytes as base64, and `{"offset", "omitted"}` in the
/// place of those that are not kept. Bytes of which no stream is known count to standard output.
pub(super) fn pieces(captured: &Captured, marks: &[(u64, Stream)], offset: u64) -> Vec<Value> {
    let head = captured.head.len() as u64;
    let tail = captured.total.saturating_sub(captured.tail.len() as u64).max(head);
    let mut pieces = Vec::new();
    cut(&mut pieces, &captured.head, 0, marks, offset);
    let gap = head.max(offset);
    if gap < tail {
        pieces.push(json!({ "offset": gap, "omitted": tail - gap }));
    }
    cut(&mut pieces, &captured.tail, tail, marks, offset);
    pieces
}

/// Cuts bytes that begin at `begins` of all that was written.
fn cut(pieces: &mut Vec<Value>, bytes: &[u8], begins: u64, marks: &[(u64, Stream)], offset: u64) {
    let end = begins + bytes.len() as u64;
    let mut at = begins.max(offset);
    while at < end {
        let next = marks.partition_point(|(mark, _)| *mark <= at);
        let stream = next.checked_sub(1).map_or(Stream::Stdout, |last| marks[last].1);
        let until = marks.get(next).map_or(end, |(mark, _)| (*mark).min(end));
        let place = |offset: u64| usize::try_from(offset - begins).unwrap_or(bytes.len());
        let data = STANDARD.encode(&bytes[place(at)..place(until)]);
        pieces.push(json!({ "offset": at, "stream": stream_name(stream), "data": data }));
        at = until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `offset:stream:text` or `offset-omitted` of each piece.
    fn short(captured: &Captured, marks: &[(u64, Stream)], offset: u64) -> Vec<String> {
        let text = |piece: &Value| match piece["omitted"].as_u64() {
            Some(count) => format!("{}-{count}", piece["offset"]),
            None => {
                let bytes = STANDARD.decode(piece["data"].as_str().unwrap()).unwrap();
                let text = String::from_utf8(bytes).unwrap();
                format!("{}:{}:{text}", piece["offset"], piece["stream"].as_str().unwrap())
            }
        };
        pieces(captured, marks, offset).iter().map(text).collect()
    }

    #[test]
    fn outputs_are_cut_where_the_stream_changes() {
        let marks = [(0, Stream::Stdout), (2, Stream::Stderr), (8, Stream::Stdout), (9, Stream::Stderr)];
        let captured = Captured { head: b"abc".to_vec(), tail: b"xyz".to_vec(), total: 10 };
        assert_eq!(
            short(&captured, &marks, 0),
            ["0:stdout:ab", "2:stderr:c", "3-4", "7:stderr:x", "8:stdout:y", "9:stderr:z"]
        );
        assert_eq!(short(&captured, &marks, 5), ["5-2", "7:stderr:x", "8:stdout:y", "9:stderr:z"]);
        assert_eq!(short(&captured, &marks, 9), ["9:stderr:z"]);
        assert!(short(&captured, &marks, 10).is_empty() && short(&captured, &marks, 99).is_empty());
        let whole = Captured { head: b"abc".to_vec(), tail: Vec::new(), total: 3 };
        assert_eq!(short(&whole, &[], 1), ["1:stdout:bc"]);
        let forgotten = Captured { total: 3, ..Captured::default() };
        assert_eq!(short(&forgotten, &[], 0), ["0-3"]);
    }
}
