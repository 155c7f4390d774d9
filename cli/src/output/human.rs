//! Facts as people read them: sizes, times, durations; and text that cannot steer a terminal.
//!
//! Names, serial numbers and error texts come from hosts and are shown on an operator's terminal, so everything that is
//! printed in a table passes [`clean`].

use hostler_common::time::Timestamp;

/// `text` in one line, with control and direction characters replaced, so that it can do nothing but be read.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { harmless(c) }).collect()
}

/// Like [`clean`], but keeps line breaks.
#[must_use]
pub fn clean_lines(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { c } else { harmless(c) }).collect()
}

/// A line of a program's output without the sequences with which it meant to steer a terminal; tabs stay.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.strip_suffix('\r').unwrap_or(text).chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\t' => plain.push(c),
            // A control sequence ends with its first letter or another sign from `@` on.
            '\u{1b}' if rest.next_if_eq(&'[').is_some() => {
                while rest.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
            _ => plain.push(harmless(c)),
        }
    }
    plain
}

fn harmless(c: char) -> char {
    let steers = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || steers { char::REPLACEMENT_CHARACTER } else { c }
}

/// Bytes in binary units, three significant digits: `3.49 TiB`, `256 GiB`, `512 B`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let number = match value {
        v if unit == 0 || v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    };
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
    format!("{number} {}", UNITS[unit])
}

/// Bits per second of a link, from megabits: `25 Gbit/s`, `100 Mbit/s`.
#[must_use]
pub fn link_speed(mbps: u64) -> String {
    if mbps >= 1000 && mbps.is_multiple_of(100) {
        let tenths = mbps / 100;
        match tenths % 10 {
            0 => format!("{} Gbit/s", tenths / 10),
            tenth => format!("{}.{tenth} Gbit/s", tenths / 10),
        }
    } else {
        format!("{mbps} Mbit/s")
    }
}

/// A length of time: `0.34 s`, `12 s`, `3 min 5 s`, `2 h 7 min`, `4 d 2 h`.
#[must_use]
pub fn duration(length: std::time::Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..10 => format!("{:.2} s", length.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A moment to the second in UTC, `2026-01-02 03:04:05Z`; what is not a moment is shown as it is.
#[must_use]
pub fn moment(text: &str) -> String {
    match parse(text) {
        Some(moment) => format!("{}Z", moment.naive().split('.').next().unwrap_or_default().replace('T', " ")),
        None => clean(text),
    }
}

/// How long before `now` a moment was: `now`, `42 s ago`, `3 min ago`, `in 2 h`.
#[must_use]
pub fn ago(text: &str, now: Timestamp) -> String {
    let Some(moment) = parse(text) else { return clean(text) };
    let (past, future) = (now.since(moment).as_secs(), moment.since(now).as_secs());
    match (past, future) {
        (0, 0) => "now".into(),
        (past, 0) => format!("{} ago", coarse(past)),
        (_, future) => format!("in {}", coarse(future)),
    }
}

/// The time between two moments, if both are moments.
#[must_use]
pub fn between(start: &str, end: &str) -> Option<std::time::Duration> {
    Some(parse(end)?.since(parse(start)?))
}

/// Reads a moment as any of our dialects writes it: RFC 3339, or without a zone (the introspection dialect), which
/// means UTC.
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    text.parse().or_else(|_| format!("{text}Z").parse()).ok()
}

fn coarse(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn sizes() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (270_011_011_072, "251 GiB"),
            (3_840_755_982_336, "3.49 TiB"),
            (1_099_511_627_775, "1 TiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(bytes(count), text, "{count}");
        }
    }

    #[test]
    fn speeds_and_durations() {
        assert_eq!(link_speed(25_000), "25 Gbit/s");
        assert_eq!(link_speed(2500), "2.5 Gbit/s");
        assert_eq!(link_speed(100), "100 Mbit/s");
        assert_eq!(duration(Duration::from_millis(342)), "0.34 s");
        assert_eq!(duration(Duration::from_secs(185)), "3 min 5 s");
        assert_eq!(duration(Duration::from_secs(90_000)), "1 d 1 h");
    }

    #[test]
    fn moments() {
        assert_eq!(moment("2026-01-02T03:04:05.678901Z"), "2026-01-02 03:04:05Z");
        assert_eq!(moment("2026-01-02T03:04:05.678901"), "2026-01-02 03:04:05Z");
        assert_eq!(moment("soon"), "soon");
        let now = parse("2026-01-02T03:04:05Z").unwrap();
        assert_eq!(ago("2026-01-02T03:04:05.2Z", now), "now");
        assert_eq!(ago("2026-01-02T03:01:05Z", now), "3 min ago");
        assert_eq!(ago("2026-01-02T05:04:05Z", now), "in 2 h");
        assert_eq!(between("2026-01-02T03:01:05Z", "2026-01-02T03:04:05"), Some(Duration::from_secs(180)));
    }

    #[test]
    fn cleaned_text_cannot_steer_a_terminal() {
        assert_eq!(clean("a\u{1b}[31mb\nc\u{202e}d\u{9b}"), "a\u{fffd}[31mb c\u{fffd}d\u{fffd}");
        assert_eq!(clean_lines("a\nb\r"), "a\nb\u{fffd}");
        assert_eq!(clean("Größe ✓"), "Größe ✓");
        assert_eq!(plain("a\tb \u{1b}[1;31mred\u{1b}[0m\u{7} \u{1b}]0;x\r"), "a\tb red\u{fffd} \u{fffd}]0;x");
    }
}
