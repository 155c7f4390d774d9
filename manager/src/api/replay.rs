//! `Idempotency-Key`: a mutation that is repeated with its key is answered and not done again (spec/introspection.md §1.8,
//! spec/maintenance.md §1.1).
//!
//! What was done is remembered for a day in the store, so that a restart or another manager makes no difference. Only
//! success is remembered; what failed may be tried again under the same key. What a dialect remembers of it is its own.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hostler_common::time::Timestamp;
use http::request::Parts;
use sha2::{Digest as _, Sha256};

use crate::engine::Engine;
use crate::store::idempotency::{Entry, key_find, key_insert};
use crate::store::{self, Connection};

/// How long a key is remembered.
const MEMORY: Duration = Duration::from_secs(24 * 3600);

/// The longest key, in bytes.
const KEY_MAX: usize = 255;

/// Keys whose requests are being carried out by this manager.
pub(super) type Running = Arc<Mutex<HashSet<String>>>;

/// The right to carry out a request under its key. Dropped, it lets another request have the key.
#[derive(Debug)]
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
#[derive(Debug)]
pub(super) enum Entrance {
    /// Carry it out; if it has a key, remember that.
    New(Option<Ticket>),
    /// It was carried out before; that is what was remembered. Where it makes no sense, the ticket allows to do it again.
    Again(String, Ticket),
}

/// Why a request is neither carried out nor answered as before.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// 400.
    #[error("Invalid Idempotency-Key: it must have 1 to {KEY_MAX} characters")]
    Unusable,
    /// 409.
    #[error("A request with this Idempotency-Key is in progress")]
    Running,
    /// 422.
    #[error("The Idempotency-Key was used for another request")]
    Other,
    /// The store does not say.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Looks at the key of a request of `who`.
pub(super) async fn enter(
    engine: &Engine,
    running: &Running,
    who: &str,
    parts: &Parts,
    body: &[u8],
) -> Result<Entrance, Refused> {
    let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Entrance::New(None)) };
    if value.is_empty() || value.len() > KEY_MAX {
        return Err(Refused::Unusable);
    }
    let key = digest(&[who.as_bytes(), value.as_bytes()]);
    let running = Arc::clone(running);
    if !running.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone()) {
        return Err(Refused::Running);
    }
    let ticket = Ticket { key, request: request_digest(parts, body), running };
    let since = engine.clock.now().before(MEMORY);
    let mut connection = engine.store.read().await?;
    let Some(entry) = key_find(&mut connection, &ticket.key, since).await? else {
        return Ok(Entrance::New(Some(ticket)));
    };
    if entry.request != ticket.request {
        return Err(Refused::Other);
    }
    Ok(Entrance::Again(entry.outcome, ticket))
}

/// Remembers what a request did. If that fails, the request succeeded nevertheless, and says so.
pub(super) async fn remember(engine: &Engine, ticket: Option<Ticket>, outcome: String) {
    let Some(ticket) = ticket else { return };
    let (memo, now) = (ticket.memo(), engine.clock.now());
    let kept = engine.store.write(move |tx| Box::pin(async move { memo.write(tx, outcome, now).await }));
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
    pub(super) async fn write(self, tx: &mut Connection, outcome: String, now: Timestamp) -> store::Result<()> {
        let entry = Entry { request: self.request, outcome };
        key_insert(tx, &self.key, &entry, now, now.before(MEMORY)).await
    }
}

fn request_digest(parts: &Parts, body: &[u8]) -> String {
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
