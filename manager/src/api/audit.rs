//! The audit trail of all dialects (spec/hooks.md §7.12): a row for every call that could change something.
//!
//! [`record`] lies around every route. The answer is sent when the row is durable; a caller that goes away in between leaves
//! a row too. Calls of which nobody knows the caller and that were refused leave none, so that nobody fills the store by
//! guessing. What hooks make of the rows comes after, and is lost rather than waited for.

mod body;
mod redact;
mod trail;

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::StatusCode;

use super::maintenance;
use super::peer::Peer;
use super::request_id::RequestId;
use crate::store::audit::Entry;
use body::Kept;
pub use trail::Trail;

/// The status of a call whose caller did not wait for its answer.
const GONE: u16 = 499;

/// The longest path and query that are recorded, in bytes.
const TEXT_MAX: usize = 2048;

tokio::task_local! {
    static CALL: Slot;
}

type Slot = Arc<Mutex<Option<Known>>>;

/// Who calls.
#[derive(Clone, Debug)]
struct Known {
    name: String,
    of_hook: bool,
}

/// Tells the trail who makes the call that is being answered; `of_hook` says that it is a script of a hook.
pub(super) fn called_by(name: &str, of_hook: bool) {
    let known = Known { name: name.to_owned(), of_hook };
    // Where no call is being recorded, nobody needs to know.
    let _outside = CALL.try_with(|slot| *lock(slot) = Some(known));
}

fn lock(slot: &Slot) -> std::sync::MutexGuard<'_, Option<Known>> {
    // One assignment is never half done.
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers a request and records it.
pub async fn record(State(trail): State<Trail>, request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let (request, kept) = body::kept(request);
    let slot = Slot::default();
    let pending = Pending { trail: trail.clone(), draft: Some(draft(&trail, &request, kept)), slot: Arc::clone(&slot) };
    let response = CALL.scope(slot, next.run(request)).await;
    pending.answered(response.status()).await;
    response
}

/// What is known before the answer.
struct Draft {
    entry: Entry,
    kept: Kept,
}

fn draft(trail: &Trail, request: &Request, kept: Kept) -> Draft {
    let extensions = request.extensions();
    let peer = extensions.get::<Peer>().cloned().unwrap_or_default();
    let source = peer.source(request.headers(), trail.trusted_proxies());
    let path = request.uri().path();
    let method = request.method().as_str().to_owned();
    let clip = |text: &str| hostler_common::text::clip(text, TEXT_MAX).to_owned();
    let entry = Entry {
        id: 0,
        at: trail.now(),
        category: category(path).to_owned(),
        operation: format!("{method} {}", clip(&nameless(path))),
        username: String::new(),
        ip: source.map(|ip| ip.to_string()),
        method,
        status: 0,
        endpoint: clip(path),
        query_params: redact::query(request.uri().query().unwrap_or_default(), TEXT_MAX),
        body: None,
        request_id: extensions.get::<RequestId>().map(|id| id.as_str().to_owned()).unwrap_or_default(),
        from_hook: false,
    };
    Draft { entry, kept }
}

/// What a call is about: the noun of the native and the croit dialect, else the dialect.
fn category(path: &str) -> &str {
    let mut words = path.split('/').filter(|word| !word.is_empty());
    match words.next() {
        Some("api") => match (words.next(), words.next()) {
            (Some("events"), Some(noun)) | (Some(noun), _) => noun,
            (None, _) => "api",
        },
        Some("identity") => "identity",
        Some("maintenance") => "maintenance",
        Some("v1") if words.next().is_some_and(|word| maintenance::WORDS.contains(&word)) => "maintenance",
        Some("introspection" | "v1") => "introspection",
        _ => "other",
    }
}

/// A path without the ids in it, so that equal operations read alike.
fn nameless(path: &str) -> String {
    let is_id = |word: &&str| word.bytes().all(|b| b.is_ascii_digit()) || hostler_common::id::uuid_like(word).is_some();
    let words = path.split('/').filter(|word| !word.is_empty());
    words.map(|word| if is_id(&word) { "/{id}".to_owned() } else { format!("/{word}") }).collect()
}

/// A call that has no row yet. One that is dropped leaves its row too.
struct Pending {
    trail: Trail,
    draft: Option<Draft>,
    slot: Slot,
}

impl Pending {
    fn entry(&mut self, status: u16) -> Option<Entry> {
        let Draft { mut entry, kept } = self.draft.take()?;
        let known = lock(&self.slot).take();
        if known.is_none() && !(200..300).contains(&status) {
            return None;
        }
        if let Some(known) = known {
            entry.username = known.name;
            entry.from_hook = known.of_hook;
        }
        entry.status = status;
        entry.body = kept.shown(&entry.endpoint);
        Some(entry)
    }

    async fn answered(mut self, status: StatusCode) {
        if let Some(entry) = self.entry(status.as_u16()) {
            self.trail.write(entry).await;
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(entry) = self.entry(GONE) {
            self.trail.leave(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{category, nameless};

    #[test]
    fn what_calls_are_about() {
        for (path, about) in [
            ("/api/events/scripts/3", "scripts"),
            ("/api/events", "events"),
            ("/api//hosts/a", "hosts"),
            ("/api", "api"),
            ("/identity/v3/users", "identity"),
            ("/v1/rules", "introspection"),
            ("/v1//maintenance/x", "maintenance"),
            ("/maintenance/v1/instance/x", "maintenance"),
            ("/x", "other"),
        ] {
            assert_eq!(category(path), about, "{path}");
        }
        assert_eq!(nameless("/api//events/scripts/3"), "/api/events/scripts/{id}");
        assert_eq!(nameless("/identity/v3/users/6f1d2c3a0b4e4a5f8c6d7e8f90a1b2c3"), "/identity/v3/users/{id}");
    }
}
