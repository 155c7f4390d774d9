//! The audit trail of identities: who did what from where. Never a password, a secret or a token.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hostler_common::text::clip;
use hostler_common::time::Timestamp;
use hostler_core::machine::Event;
use serde_json::{Value, json};

use super::Identity;

/// Who does something, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// The name in the audit trail, as in [`hostler_core::policy::Caller`].
    pub name: String,
    /// The address of the other end of the connection, where there is one.
    pub from: Option<IpAddr>,
}

/// An event of the audit trail.
pub(super) fn event(kind: &'static str, subject: &impl std::fmt::Display, data: Value) -> Event {
    Event { kind, subject: subject.to_string(), data }
}

/// The event with the address that its cause came from.
pub(super) fn with_origin(mut event: Event, from: Option<IpAddr>) -> Event {
    if let (Some(data), Some(from)) = (event.data.as_object_mut(), from) {
        data.insert("from".into(), Value::String(from.to_string()));
    }
    event
}

/// How many failed logins of one period get an event of their own; the others are counted in the next event, so that
/// nobody fills the store by guessing.
const PER_PERIOD: u32 = 60;

/// The length of a period.
const PERIOD: Duration = Duration::from_secs(60);

/// Counts failed logins.
#[derive(Debug, Default)]
pub(super) struct Failures {
    count: Mutex<Count>,
}

#[derive(Debug, Default)]
struct Count {
    since: Option<Timestamp>,
    seen: u32,
    unreported: u64,
}

impl Failures {
    /// Counts one. `Some` if it gets an event: the number of those before it that got none.
    fn count(&self, now: Timestamp) -> Option<u64> {
        // A panic while this is held would need one inside of these lines, and they have none.
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        if count.since.is_none_or(|since| now.since(since) >= PERIOD || now < since) {
            count.since = Some(now);
            count.seen = 0;
        }
        count.seen = count.seen.saturating_add(1);
        if count.seen > PER_PERIOD {
            count.unreported += 1;
            return None;
        }
        Some(std::mem::take(&mut count.unreported))
    }
}

impl Identity {
    /// Records that a proof did not hold. `who` is what the other end called itself; `reason` is for the audit trail only.
    pub async fn login_failed(&self, from: Option<IpAddr>, method: &str, who: &str, reason: &str) {
        let who = clip(who, 255);
        tracing::warn!(method, who, reason, ?from, "login failed");
        let Some(unreported) = self.inner.failures.count(self.now()) else { return };
        let mut data = json!({"method": method, "reason": reason});
        if unreported > 0 {
            data["unreported"] = unreported.into();
        }
        let event = with_origin(event("identity.login.failed", &who, data), from);
        if let Err(error) = self.inner.engine.emit(None, event).await {
            tracing::warn!(%error, "the failed login is not in the audit trail");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_failures_is_counted_and_not_written() {
        let failures = Failures::default();
        let start = Timestamp::from_micros(1_000_000);
        for _ in 0..PER_PERIOD {
            assert_eq!(failures.count(start), Some(0));
        }
        for _ in 0..7 {
            assert_eq!(failures.count(start.after(PERIOD / 2)), None);
        }
        assert_eq!(failures.count(start.after(PERIOD)), Some(7));
        assert_eq!(failures.count(start.after(PERIOD)), Some(0));
    }
}
