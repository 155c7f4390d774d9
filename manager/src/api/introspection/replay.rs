//! `Idempotency-Key`: a mutation that is repeated with its key is answered and not done again (spec/introspection.md §1.8).
//!
//! What was done is remembered for a day in the store, so that a restart or another manager makes no difference. Only
//! success is remembered; what failed may be tried again under the same key.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use hostler_common::id::{HostId, RuleId};
use http::{Response, StatusCode};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::error::Failure;
use super::json;
use super::transport::Call;
use crate::store::Connection;
use crate::store::idempotency::{Entry, key_find, key_insert};

/// How long a key is remembered.
const MEMORY: Duration = Duration::from_secs(24 * 3600);

/// The longest key, in bytes.
const KEY_MAX: usize = 255;

/// What a mutation did. It is all that is needed to answer it once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// Something was begun.
    Accepted,
    /// Something was removed.
    Removed,
    /// A rule was made.
    Rule(RuleId),
    /// Data of a host were processed.
    Node(HostId),
}

impl Done {
    /// The answer, but for that of a rule, which is rendered where rules are.
    pub(super) fn into_response(self) -> Response<Body> {
        match self {
            Self::Accepted => json::accepted(),
            Self::Removed => json::no_content(),
            Self::Rule(id) => json::json(StatusCode::CREATED, &json!({ "uuid": id.to_string() })),
            Self::Node(id) => json::json(StatusCode::OK, &json!({ "uuid": id.to_string() })),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Accepted => "accepted".into(),
            Self::Removed => "removed".into(),
            Self::Rule(id) => format!("rule:{id}"),
            Self::Node(id) => format!("node:{id}"),
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None if text == "accepted" => Some(Self::Accepted),
            None if text == "removed" => Some(Self::Removed),
            Some(("rule", id)) => id.parse().ok().map(Self::Rule),
            Some(("node", id)) => id.parse().ok().map(Self::Node),
            _ => None,
        }
    }
}

/// Keys whose requests are being carried out by this manager.
pub(super) type Running = Arc<Mutex<HashSet<String>>>;

/// The right to carry out a request under its key. Dropped, it lets another request have the key.
pub(super) struct Ticket {
    key: String,
    request: String,
    running: Running,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// What is to be done with a request.
pub(super) enum Entrance {
    /// Carry it out; if it has a key, remember that.
    New(Option<Ticket>),
    /// It was carried out before.
    Again(Done),
}

/// Looks at the key of a request.
///
/// # Errors
/// 400 for an unusable key, 409 while the first request with it is under way, 422 if it was another request.
pub(super) async fn enter(call: &Call<'_>, body: &[u8]) -> Result<Entrance, Failure> {
    let Some(value) = call.parts.headers.get("idempotency-key") else { return Ok(Entrance::New(None)) };
    if value.is_empty() || value.len() > KEY_MAX {
        return Err(Failure::invalid(format!("Invalid Idempotency-Key: it must have 1 to {KEY_MAX} characters")));
    }
    let who = call.actor().unwrap_or_default();
    let key = digest(&[who.as_bytes(), value.as_bytes()]);
    let running = Arc::clone(&call.dialect.running);
    if !running.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone()) {
        return Err(Failure::new(StatusCode::CONFLICT, "A request with this Idempotency-Key is in progress"));
    }
    let ticket = Ticket { key, request: request_digest(call, body), running };
    let since = call.dialect.api.engine.clock.now().before(MEMORY);
    let mut connection = call.dialect.api.engine.store.read().await?;
    let Some(entry) = key_find(&mut connection, &ticket.key, since).await? else {
        return Ok(Entrance::New(Some(ticket)));
    };
    if entry.request != ticket.request {
        let text = "The Idempotency-Key was used for another request";
        return Err(Failure::new(StatusCode::UNPROCESSABLE_ENTITY, text));
    }
    Ok(Done::from_text(&entry.outcome).map_or(Entrance::New(Some(ticket)), Entrance::Again))
}

/// Remembers what a request did. If that fails, the request succeeded nevertheless, and says so.
pub(super) async fn remember(call: &Call<'_>, ticket: Option<Ticket>, done: Done) {
    let Some(ticket) = ticket else { return };
    let now = call.dialect.api.engine.clock.now();
    let (key, request) = (ticket.key.clone(), ticket.request.clone());
    let kept = call.dialect.api.engine.store.write(move |tx| {
        Box::pin(async move {
            let entry = Entry { request, outcome: done.text() };
            key_insert(tx, &key, &entry, now, now.before(MEMORY)).await
        })
    });
    if let Err(error) = kept.await {
        tracing::warn!(%error, "an Idempotency-Key is not remembered");
    }
}

/// A key that is remembered in the transaction of the mutation itself.
#[derive(Clone, Debug)]
pub(super) struct Memo {
    key: String,
    request: String,
}

impl Ticket {
    /// What the transaction needs of the ticket.
    pub(super) fn memo(&self) -> Memo {
        Memo { key: self.key.clone(), request: self.request.clone() }
    }
}

impl Memo {
    /// Remembers, in that transaction, what the request did.
    ///
    /// # Errors
    /// See [`crate::store::Error`].
    pub(super) async fn write(
        self,
        tx: &mut Connection,
        done: Done,
        now: hostler_common::time::Timestamp,
    ) -> crate::store::Result<()> {
        let entry = Entry { request: self.request, outcome: done.text() };
        key_insert(tx, &self.key, &entry, now, now.before(MEMORY)).await
    }
}

fn request_digest(call: &Call<'_>, body: &[u8]) -> String {
    let parts = call.parts;
    let query = parts.uri.query().unwrap_or_default();
    digest(&[parts.method.as_str().as_bytes(), parts.uri.path().as_bytes(), query.as_bytes(), body])
}

/// The SHA-256 of several texts, each with its length before it, so that their borders count.
fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}
