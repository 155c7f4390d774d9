//! Windows: when a session may work (spec/maintenance.md §3.9).
//!
//! Zones need a database, which is outside of the core: it is given the offsets around the present as a fact.

use std::time::Duration;

use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::maintenance::policy::{Day, Window};

/// How many days ahead an opening is looked for: a year and some, so that every day of the week and every blackout passes.
const DAYS_AHEAD: i64 = 400;

const DAY: i64 = 86_400;
const SECOND: i64 = 1_000_000;

/// The offsets of a time zone from UTC, in seconds east: each counts from its moment on, the first also before it. Without any
/// it is UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone(pub Vec<(Timestamp, i32)>);

impl Zone {
    fn offset(&self, at: Timestamp) -> i64 {
        let later = self.0.partition_point(|(from, _)| *from <= at);
        self.0.get(later.saturating_sub(1)).map_or(0, |(_, offset)| i64::from(*offset))
    }

    /// The moment at which clocks of the zone show so many seconds since 1970 for the first time; where they skip that, the
    /// moment after the gap that is as far from its beginning.
    fn moment(&self, local: i64) -> Timestamp {
        let at = |offset: i64| Timestamp::from_micros((local - offset).saturating_mul(SECOND));
        let guess = at(self.offset(at(0)));
        let offsets = [self.offset(guess.before(Duration::from_secs(2 * DAY as u64))), self.offset(guess)];
        let shown = |offset: i64| self.offset(at(offset)) == offset;
        offsets.into_iter().find(|offset| shown(*offset)).map_or(at(offsets[0]), at)
    }
}

/// Whether a window is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Until then.
    Open(Timestamp),
    /// It opens then.
    Opens(Timestamp),
    /// It does not open within a year.
    Never,
}

/// Minutes since midnight that `HH:MM` says.
fn minutes(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes) = (hours.parse::<u8>().ok()?, minutes.parse::<u8>().ok()?);
    (hours < 24 && minutes < 60).then(|| i64::from(hours) * 60 + i64::from(minutes))
}

/// The year, the month and the day of a day counted from 1970-01-01, in the Gregorian calendar.
fn civil(day: i64) -> (i64, i64, i64) {
    // Counted from 0000-03-01, so that the leap day comes last: a well-known arithmetic over eras of 400 years.
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day_of_month)
}

fn weekday(day: i64) -> Day {
    // 1970-01-01 was a Thursday.
    const WEEK: [Day; 7] = [Day::Thu, Day::Fri, Day::Sat, Day::Sun, Day::Mon, Day::Tue, Day::Wed];
    WEEK[usize::try_from(day.rem_euclid(7)).unwrap_or(0)]
}

/// Reads the times of a window.
///
/// # Errors
/// Names the part that is wrong.
pub fn check(window: &Window) -> Result<(), String> {
    let time = |name: &str, text: &str| match minutes(text) {
        Some(_) => Ok(()),
        None => Err(format!("window.{name}: {text:?} is no time of day, HH:MM")),
    };
    time("start", &window.start)?;
    match (&window.end, window.duration) {
        (Some(end), None) => time("end", end),
        (None, Some(1..=10_080)) => Ok(()),
        (None, Some(_)) => Err("window.duration: from one minute to a week".into()),
        _ => Err("window: needs either end or duration".into()),
    }
}

/// Whether a window is open at a moment; one that cannot be read is never open.
#[must_use]
pub fn opening(window: &Window, zone: &Zone, now: Timestamp) -> Opening {
    let Some(start) = minutes(&window.start) else { return Opening::Never };
    let end = window.end.as_deref().and_then(minutes);
    let length = match (end, window.duration) {
        (Some(end), _) if end > start => end - start,
        (Some(end), _) => end + 24 * 60 - start,
        (None, Some(duration)) => i64::from(duration),
        (None, None) => return Opening::Never,
    };
    let local = now.as_micros().div_euclid(SECOND) + zone.offset(now);
    let today = local.div_euclid(DAY);
    let first = today - length / (24 * 60) - 1;
    let mut open_until: Option<Timestamp> = None;
    for day in first..today + DAYS_AHEAD {
        if !opens_on(window, day) {
            continue;
        }
        let opens = zone.moment(day * DAY + start * 60);
        let closes = zone.moment(day * DAY + (start + length) * 60);
        match open_until {
            // One that opens before the other closes goes on.
            Some(until) if opens <= until && day <= today + 8 => open_until = Some(until.max(closes)),
            Some(until) => return Opening::Open(until),
            None if closes <= now => {}
            None if opens <= now => open_until = Some(closes),
            None => return Opening::Opens(opens),
        }
    }
    open_until.map_or(Opening::Never, Opening::Open)
}

fn opens_on(window: &Window, day: i64) -> bool {
    let (year, month, of_month) = civil(day);
    let date = format!("{year:04}-{month:02}-{of_month:02}");
    (window.days.is_empty() || window.days.contains(&weekday(day))) && !window.blackout.contains(&date)
}

#[cfg(test)]
mod tests;
