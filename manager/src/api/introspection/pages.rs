//! Rendered pages of the list, kept while nothing changes (spec/introspection.md §1.7.3).
//!
//! A page is served again only if this manager committed nothing since the store was asked for it, and for one second at
//! the most, as other managers on the same store do not tell of their commits. While many ask for a page that must be
//! rendered anew, one does it for all that asked before it began.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use hostler_core::introspection::state::State;
use http::HeaderValue;
use tokio::sync::watch;
use tokio::time::Instant;

use super::error::Failure;
use super::render::{STATUS_SIZE, write_status};
use crate::store::Store;
use crate::store::introspection::{Position, Status, status_list};

/// How long a page is served again at the most.
const MAX_AGE: Duration = Duration::from_secs(1);

/// How many pages are kept.
const SLOTS: usize = 64;

/// Pages over this size, in bytes, are not kept: those with many long error texts.
const KEEP_MAX: usize = 1 << 20;

/// What a page shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Request {
    /// The link of the list.
    pub(super) collection: String,
    /// After which record it begins.
    pub(super) after: Option<Position>,
    /// How many records it has at the most.
    pub(super) limit: u32,
    /// The states of its records; empty means all.
    pub(super) states: Vec<State>,
}

/// A page.
#[derive(Debug)]
pub(super) struct Page {
    /// The whole body.
    pub(super) body: Bytes,
    /// Its last record.
    pub(super) last: Option<Position>,
    /// Where the next page is, if this one is full.
    pub(super) next: Option<HeaderValue>,
    generation: u64,
    asked_at: Instant,
}

#[derive(Default)]
struct Slot {
    page: ArcSwapOption<Page>,
    rendering: tokio::sync::Mutex<()>,
}

/// The pages that are kept.
pub(super) struct Pages {
    generation: watch::Receiver<u64>,
    slots: Mutex<HashMap<Request, Arc<Slot>>>,
}

impl Pages {
    /// No pages yet; `generation` changes with every commit of this manager.
    pub(super) fn new(generation: watch::Receiver<u64>) -> Self {
        Self { generation, slots: Mutex::default() }
    }

    /// The page that was asked for, showing everything that was committed before the call.
    ///
    /// # Errors
    /// The store does not answer.
    pub(super) async fn get(&self, store: &Store, request: Request) -> Result<Arc<Page>, Failure> {
        let asked = self.now();
        let slot = self.slot(&request);
        if let Some(page) = slot.page.load_full()
            && page.serves(asked)
        {
            return Ok(page);
        }
        let _turn = slot.rendering.lock().await;
        if let Some(page) = slot.page.load_full()
            && page.serves(asked)
        {
            return Ok(page);
        }
        let (generation, asked_at) = (self.now(), Instant::now());
        let statuses = {
            let mut connection = store.read().await?;
            status_list(&mut connection, request.after, &request.states, request.limit).await?
        };
        let page = Arc::new(render(&request, &statuses, generation, asked_at));
        if page.body.len() <= KEEP_MAX {
            slot.page.store(Some(Arc::clone(&page)));
        }
        Ok(page)
    }

    fn now(&self) -> u64 {
        *self.generation.borrow()
    }

    fn slot(&self, request: &Request) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(request) {
            return Arc::clone(slot);
        }
        if slots.len() >= SLOTS {
            slots.clear();
        }
        Arc::clone(slots.entry(request.clone()).or_default())
    }
}

impl Page {
    fn serves(&self, asked: u64) -> bool {
        self.generation >= asked && self.asked_at.elapsed() < MAX_AGE
    }
}

fn render(request: &Request, statuses: &[Status], generation: u64, asked_at: Instant) -> Page {
    let mut body = Vec::with_capacity(32 + statuses.len() * (STATUS_SIZE + request.collection.len()));
    body.extend_from_slice(b"{\"introspection\":[");
    for (index, status) in statuses.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        write_status(&mut body, status, &request.collection);
    }
    body.extend_from_slice(b"]}\n");
    let last = statuses.last().map(|status| (status.started_at, status.host));
    let full = u32::try_from(statuses.len()).is_ok_and(|count| count >= request.limit);
    let next = last.filter(|_| full).and_then(|last| next_link(request, last));
    Page { body: body.into(), last, next, generation, asked_at }
}

/// The link to the page after this one. It carries the position besides the marker, so that it holds whatever happens to
/// the marker's record, and with any manager.
fn next_link(request: &Request, (at, host): Position) -> Option<HeaderValue> {
    let mut link = format!("{}?limit={}&marker={host}&position={}", request.collection, request.limit, at.as_micros());
    if !request.states.is_empty() {
        let names: Vec<&str> = request.states.iter().map(|state| state.name()).collect();
        link.push_str("&state=");
        link.push_str(&names.join(","));
    }
    HeaderValue::from_str(&link).ok()
}
