//! How old the facts of a section are, and how old they may be (spec/introspection.md §6.4, staleness).

use std::time::Duration;

use hostler_common::time::Timestamp;

use super::command::Settings;
use super::schedule::Group;

/// How many times its interval a section may be old.
const MISSED: u32 = 3;

/// When a section was last read, by the manager's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The section.
    pub name: String,
    /// When its facts arrived.
    pub collected_at: Timestamp,
    /// How long the agent says that they count as fresh.
    pub ttl: Duration,
    /// How the collection went: `ok`, `partial` or `unavailable`.
    pub status: String,
}

/// How old the facts of a section may be: three times what lies between two readings.
#[must_use]
pub fn limit(settings: &Settings, mark: &Mark) -> Duration {
    let interval = Group::of(&mark.name).and_then(|group| settings.intervals.of(group));
    interval.unwrap_or(mark.ttl).saturating_mul(MISSED)
}

/// Whether facts may not be what is: they are too old, or nobody could have noticed a change, as the agent is away.
#[must_use]
pub fn is_stale(settings: &Settings, mark: &Mark, online: bool, now: Timestamp) -> bool {
    !online || now.since(mark.collected_at) > limit(settings, mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_stale_after_three_intervals_or_without_its_agent() {
        let at = |seconds: u64| Timestamp::from_micros(0).after(Duration::from_secs(seconds));
        let settings = Settings::default();
        let mark = |name: &str, ttl| Mark {
            name: name.into(),
            collected_at: at(0),
            ttl: Duration::from_secs(ttl),
            status: "ok".into(),
        };
        for (name, ttl, online, age, stale) in [
            ("storage", 1, true, 1800, false),
            ("storage", 1, true, 1801, true),
            ("storage", 1, false, 0, true),
            ("cpu", 1, true, 3 * 86_400, false),
            ("cpu", 1, true, 3 * 86_400 + 1, true),
            ("gpu", 100, true, 300, false),
            ("gpu", 100, true, 301, true),
        ] {
            assert_eq!(is_stale(&settings, &mark(name, ttl), online, at(age)), stale, "{name} {online} {age}");
        }
    }
}
