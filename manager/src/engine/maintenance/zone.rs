//! Time zones of windows, from the database of this machine.

use hostler_common::error::Class;
use hostler_common::time::Timestamp;
use hostler_core::maintenance::policy::Policy;
use hostler_core::maintenance::session::window::Zone;
use hostler_core::maintenance::spec::Spec;
use jiff::tz::TimeZone;

use crate::store::{Error, Result};

/// How far around the present offsets are told: a year and a half ahead, and some days back.
const AHEAD_S: i64 = 550 * 86_400;
const BACK_S: i64 = 10 * 86_400;

/// Refuses a time zone that is not known here.
pub(super) fn check(spec: &Spec) -> Result<()> {
    check_policy(&spec.policy)
}

/// See [`check`].
pub(super) fn check_policy(policy: &Policy) -> Result<()> {
    let Some(name) = policy.window.as_ref().and_then(|window| window.timezone.as_deref()) else { return Ok(()) };
    match TimeZone::get(name) {
        Ok(_) => Ok(()),
        Err(_) => {
            Err(Error::Refused(Class::Invalid, format!("policy.window.timezone: {name:?} is no known time zone")))
        }
    }
}

/// The offsets of the zone of a policy's window around a moment. A zone that is not known any more counts as UTC: it was
/// checked when it was asked for, and the log says so.
pub(super) fn zone(policy: &Policy, now: Timestamp) -> Zone {
    let Some(name) = policy.window.as_ref().and_then(|window| window.timezone.as_deref()) else {
        return Zone::default();
    };
    match TimeZone::get(name) {
        Ok(zone) => offsets(&zone, now),
        Err(error) => {
            tracing::error!(zone = name, %error, "a time zone is not known any more and counts as UTC");
            Zone::default()
        }
    }
}

fn offsets(zone: &TimeZone, now: Timestamp) -> Zone {
    let seconds = now.as_micros().div_euclid(1_000_000);
    let at = |second: i64| jiff::Timestamp::from_second(second).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let (first, last) = (at(seconds - BACK_S), at(seconds + AHEAD_S));
    let own = |moment: jiff::Timestamp| Timestamp::from_micros(moment.as_microsecond());
    let mut all = vec![(own(first), zone.to_offset(first).seconds())];
    let later = zone.following(first).take_while(|next| next.timestamp() <= last);
    all.extend(later.map(|next| (own(next.timestamp()), next.offset().seconds())));
    Zone(all)
}

#[cfg(test)]
mod tests {
    use hostler_core::maintenance::policy::{Outside, Window};

    use super::*;

    fn policy(timezone: &str) -> Policy {
        let window = Window {
            days: Vec::new(),
            start: "22:00".into(),
            end: Some("04:00".into()),
            duration: None,
            timezone: Some(timezone.into()),
            outside: Outside::default(),
            blackout: Vec::new(),
        };
        Policy { window: Some(window), ..Policy::default() }
    }

    #[test]
    fn zones_have_their_offsets_before_and_after_each_change() {
        // 2026-01-01: winter, with summer and winter ahead.
        let now = Timestamp::from_micros(1_767_225_600_000_000);
        let Zone(offsets) = zone(&policy("Europe/Berlin"), now);
        let seen: Vec<i32> = offsets.iter().map(|(_, offset)| *offset).collect();
        assert_eq!(seen, [3600, 7200, 3600, 7200], "{offsets:?}");
        // 2026-03-29T01:00:00Z.
        assert_eq!(offsets[1].0, Timestamp::from_micros(1_774_746_000_000_000));
        assert_eq!(zone(&Policy::default(), now), Zone::default());
    }

    #[test]
    fn unknown_zones_are_refused() {
        assert!(check_policy(&policy("Europe/Berlin")).is_ok());
        let error = check_policy(&policy("Europe/Atlantis")).unwrap_err();
        assert_eq!(error.class(), Class::Invalid);
        assert!(error.to_string().contains("Atlantis"));
    }
}
