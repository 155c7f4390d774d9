//! When a session begins and may work, as operators write it.

use std::time::Duration;

use hostler_common::time::Timestamp;
use serde_json::{Map, Value, json};

use crate::commands::values;
use crate::output::human;

/// A day in microseconds.
const DAY: i64 = 86_400_000_000;

/// The days of the week as the manager writes them.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// When a session begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// So long from now.
    In(Duration),
    /// At that moment.
    At(Timestamp),
    /// When the clock next shows so many seconds after midnight, UTC.
    Next(u32),
}

impl Start {
    /// The moment that is meant.
    #[must_use]
    pub fn moment(self, now: Timestamp) -> Timestamp {
        match self {
            Self::In(length) => now.after(length),
            Self::At(moment) => moment,
            Self::Next(second) => {
                let midnight = now.as_micros().div_euclid(DAY) * DAY;
                let today = Timestamp::from_micros(midnight + i64::from(second) * 1_000_000);
                if today > now { today } else { today.after(Duration::from_secs(86_400)) }
            }
        }
    }
}

/// Reads when a session begins: `now`, `+2h`, `22:00`, `2031-04-12 22:00` or RFC 3339. What has no zone is UTC.
///
/// # Errors
/// What is wrong with it, for the usage error.
pub fn start(text: &str) -> Result<Start, String> {
    let wrong = || "expected now, +2h, 22:00, \"2031-04-12 22:00\" or 2031-04-12T22:00:00Z (UTC)".to_owned();
    if text == "now" {
        return Ok(Start::In(Duration::ZERO));
    }
    if let Some(length) = text.strip_prefix('+') {
        return values::length(length).map(Start::In);
    }
    if let Some(second) = clock(text) {
        return Ok(Start::Next(second));
    }
    let full = text.replacen(' ', "T", 1);
    let minutes = full.len() == 16 && full.as_bytes().get(13) == Some(&b':');
    let full = if minutes { format!("{full}:00") } else { full };
    human::parse(&full).map(Start::At).ok_or_else(wrong)
}

/// The seconds after midnight of `HH:MM`.
fn clock(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':').filter(|(hour, minute)| hour.len() <= 2 && minute.len() == 2)?;
    let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then_some(hour * 3600 + minute * 60)
}

/// Reads a window: `22:00-04:00`, with days before it and a time zone behind it if wanted, as in
/// `sat,sun 22:00-04:00 Europe/Berlin`.
///
/// # Errors
/// What is wrong with it, for the usage error.
pub fn window(text: &str) -> Result<Value, String> {
    let wrong = || "expected a window such as 22:00-04:00 or \"mon-fri 22:00-04:00 Europe/Berlin\"".to_owned();
    let mut window = Map::new();
    for word in text.split_whitespace() {
        let span = word.split_once('-').filter(|(start, end)| clock(start).is_some() && clock(end).is_some());
        if let Some((start, end)) = span {
            window.insert("start".into(), padded(start).into());
            window.insert("end".into(), padded(end).into());
        } else if let Some(days) = days(word) {
            window.insert("days".into(), json!(days));
        } else if window.contains_key("start") && !window.contains_key("timezone") {
            window.insert("timezone".into(), word.into());
        } else {
            return Err(wrong());
        }
    }
    if window.contains_key("start") { Ok(window.into()) } else { Err(wrong()) }
}

fn padded(clock: &str) -> String {
    format!("{clock:0>5}")
}

/// Days with commas, or from one to another.
fn days(word: &str) -> Option<Vec<&'static str>> {
    let number = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
    let mut found = Vec::new();
    for part in word.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(part)?, number(part)?),
        };
        let count = (last + DAYS.len() - first) % DAYS.len();
        found.extend((first..=first + count).map(|day| DAYS[day % DAYS.len()]));
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        human::parse(text).unwrap()
    }

    #[test]
    fn starts() {
        let now = at("2031-04-12T21:00:00Z");
        for (text, moment) in [
            ("now", "2031-04-12T21:00:00Z"),
            ("+90m", "2031-04-12T22:30:00Z"),
            ("22:00", "2031-04-12T22:00:00Z"),
            ("9:30", "2031-04-13T09:30:00Z"),
            ("21:00", "2031-04-13T21:00:00Z"),
            ("2031-05-01 22:00", "2031-05-01T22:00:00Z"),
            ("2031-05-01 22:00:30", "2031-05-01T22:00:30Z"),
            ("2031-05-01T22:00:00Z", "2031-05-01T22:00:00Z"),
        ] {
            assert_eq!(start(text).unwrap().moment(now), at(moment), "{text}");
        }
        for bad in ["", "soon", "+2x", "25:00", "2031-13-01 22:00", "tomorrow 22:00"] {
            assert!(start(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn windows() {
        assert_eq!(window("22:00-04:00"), Ok(json!({"start": "22:00", "end": "04:00"})));
        assert_eq!(
            window("fri-sun,tue 9:00-17:30 Europe/Berlin"),
            Ok(json!({"days": ["fri", "sat", "sun", "tue"], "start": "09:00", "end": "17:30",
                "timezone": "Europe/Berlin"}))
        );
        for bad in ["", "22:00", "sat", "22:00-25:00", "Europe/Berlin 22:00-04:00", "22:00-04:00 a b"] {
            assert!(window(bad).is_err(), "{bad}");
        }
    }
}
