//! What happens when a host is not let in: the log says why, an event says why, and a flood of strangers fills neither.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hostler_common::time::Timestamp;
use hostler_core::machine::Event;
use serde_json::json;

use crate::engine::Engine;

/// How many refusals within [`PERIOD`] become events and lines of the log; further ones are only counted.
const PER_PERIOD: u32 = 30;

const PERIOD: Duration = Duration::from_secs(60);

/// Records refusals.
#[derive(Debug, Default)]
pub struct Refusals {
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    began: Option<Timestamp>,
    count: u32,
}

impl Refusals {
    /// Records that the agent at `address` was refused.
    pub async fn record(&self, engine: &Engine, address: SocketAddr, subject: &str, reason: &str) {
        match self.count(engine.clock.now()) {
            count if count < PER_PERIOD => {}
            PER_PERIOD => {
                tracing::warn!("many agents are refused; further refusals of this minute are not recorded");
                return;
            }
            _ => return,
        }
        tracing::warn!(%address, subject, reason, "agent refused");
        let event = Event {
            kind: "agent.refused",
            subject: subject.to_owned(),
            data: json!({ "address": address.ip().to_string(), "reason": reason }),
        };
        if let Err(error) = engine.emit(None, event).await {
            tracing::warn!(%error, "the event of a refusal cannot be stored");
        }
    }

    /// How many refusals there were in this period before this one.
    fn count(&self, now: Timestamp) -> u32 {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.began.is_none_or(|began| now.since(began) >= PERIOD) {
            *window = Window { began: Some(now), count: 0 };
        }
        window.count = window.count.saturating_add(1);
        window.count - 1
    }
}
