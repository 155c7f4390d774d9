//! Moments as the dialect writes them: `2031-04-12 22:00:00`, in UTC (spec/maintenance.md §1.1).

use hostler_common::time::Timestamp;

/// Where digits stand in the first 19 characters; the other places are separators.
const SHAPE: &[u8; 19] = b"dddd-dd-dd?dd:dd:dd";

/// Reads `2031-04-12 22:00:00`, or RFC 3339 with `T`, a fraction, `Z` or an offset. Without a zone it is UTC.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if !text.is_ascii() || !(SHAPE.len()..=40).contains(&text.len()) {
        return None;
    }
    let (head, rest) = text.split_at(SHAPE.len());
    let fits = head.bytes().zip(SHAPE).all(|(byte, shape)| match shape {
        b'd' => byte.is_ascii_digit(),
        b'?' => matches!(byte, b' ' | b'T' | b't'),
        separator => byte == *separator,
    });
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    let zoned = match zone.as_bytes() {
        [] | [b'Z' | b'z'] => true,
        [b'+' | b'-', offset @ ..] => offset.iter().all(|byte| byte.is_ascii_digit() || *byte == b':'),
        _ => false,
    };
    if !fits || !zoned {
        return None;
    }
    let (date, time) = (&head[..10], &head[11..]);
    let end = if zone.is_empty() { "Z" } else { "" };
    format!("{date}T{time}{rest}{end}").parse().ok()
}

/// The form that is sent.
pub(super) fn text(moment: Timestamp) -> String {
    let naive = moment.naive();
    naive.split_once('.').map_or(naive.as_str(), |(whole, _)| whole).replace('T', " ")
}

/// The same for a moment that there may be.
pub(super) fn maybe(moment: Option<Timestamp>) -> serde_json::Value {
    moment.map(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_clients() {
        let blank = parse("2031-04-12 22:00:00").unwrap();
        assert_eq!(text(blank), "2031-04-12 22:00:00");
        for same in [
            "2031-04-12T22:00:00",
            "2031-04-12T22:00:00Z",
            "2031-04-12 22:00:00.000000",
            "2031-04-12T22:00:00.0Z",
            "2031-04-13T00:00:00+02:00",
            "2031-04-12T20:30:00-01:30",
            " 2031-04-12 22:00:00 ",
        ] {
            assert_eq!(parse(same), Some(blank), "{same}");
        }
        for wrong in [
            "",
            "soon",
            "2031-04-12",
            "2031-04-12 22:00",
            "2031-13-12 22:00:00",
            "2031-02-30 22:00:00",
            "2031-04-12 25:00:00",
            "2031-04-12 22:00:00 UTC",
            "2031-04-12T22:00:00[Europe/Berlin]",
            "2031-04-12_22:00:00",
            "20310412220000000000",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
