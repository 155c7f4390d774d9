//! Events as they happen: server-sent events that can be resumed at any number (docs/events.md, spec/maintenance.md §4.6).
//!
//! What is sent is read from the store, page by page, as fast as the client takes it: nothing is queued, and nothing is
//! lost by being slow or away. A wake-up only says when to look. Dialects say what is wanted and how it is written.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use hostler_common::id::{EventNumber, SessionId};
use hostler_common::time::Timestamp;
use hostler_core::event::Recorded;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::store;
use crate::store::event::{event_list, event_newest};
use crate::store::maintenance::listener_put_in;

/// How long nothing is said at the most, so that connections are not taken for dead.
const PULSE: Duration = Duration::from_secs(15);

/// The longest time without a look at the rows: what a lost wake-up costs at the most.
const POLL: Duration = Duration::from_secs(5);

/// How long changes are gathered before the rows are looked at.
const GATHER: Duration = Duration::from_millis(25);

/// How long a stream lasts. Then the client comes again by itself, and is asked again who it is.
const LIFE: Duration = Duration::from_secs(3600);

/// How many events are read at once.
const PAGE: u32 = 100;

/// How much is written in one go, in bytes; one event may be larger.
const CHUNK: usize = 64 << 10;

/// How long somebody who follows for a project counts as listening after they were seen last (spec/maintenance.md §4.6).
const PRESENT: Duration = Duration::from_secs(600);

/// How often it is written down that they are still there.
const SEEN: Duration = Duration::from_secs(120);

/// What all streams of a listener share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Streams {
    room: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Streams {
    /// Room for so many streams, all of which end at `stop`.
    #[must_use]
    pub fn new(most: u32, stop: CancellationToken) -> Self {
        Self { room: Arc::new(Semaphore::new(most as usize)), stop }
    }
}

/// What a client wants.
pub struct Interest {
    /// Which events.
    pub wants: Box<dyn Fn(&Recorded) -> bool + Send + Sync>,
    /// The data of a message.
    pub write: Box<dyn Fn(&Recorded) -> Value + Send + Sync>,
    /// For which project the client listens, and in which session alone if not in all.
    pub present: Option<(String, Option<SessionId>)>,
}

/// Why a client cannot follow.
#[derive(Debug)]
pub enum Refused {
    /// The parameter or the header of that name is no number of an event.
    Number(&'static str),
    /// As many follow already as may.
    Full,
    /// The store does not say where it is.
    Store(store::Error),
}

impl Refused {
    /// What is told of [`Refused::Full`].
    pub const FULL: &str =
        "as many clients as may follow events already; events.streams_max of the settings says how many";

    /// The rule that [`Refused::Number`] breaks.
    pub const NUMBER: &str = "must be the number of an event, or 0";
}

impl From<store::Error> for Refused {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

/// Answers with a stream of what is wanted: from where the client says that it was in its header, after `after`, or from
/// now on.
///
/// # Errors
/// See [`Refused`].
pub async fn open(
    engine: &Engine,
    streams: &Streams,
    headers: &HeaderMap,
    after: Option<String>,
    interest: Interest,
) -> Result<Response<Body>, Refused> {
    // A client that comes again says where it was in the header and repeats its first parameters.
    let (name, text) = match headers.get("last-event-id") {
        Some(value) => ("Last-Event-ID", Some(value.to_str().unwrap_or("?").to_owned())),
        None => ("after", after),
    };
    let newest = event_newest(&mut *engine.store.read().await?).await?;
    let position = match text.filter(|text| !text.is_empty()) {
        None => newest,
        Some(text) => number(&text).ok_or(Refused::Number(name))?,
    };
    let Ok(room) = Arc::clone(&streams.room).try_acquire_owned() else { return Err(Refused::Full) };
    let mut first = format!("retry: 2000\nid: {position}\n\n");
    if position > newest {
        // Numbers of another store, or of one that a backup has replaced: waiting for them would be waiting for nothing.
        first.push_str(&gap(position, newest, 0));
    }
    let changes = engine.wake.watch();
    let now = Instant::now();
    let mut follower = Follower {
        engine: engine.clone(),
        interest,
        position: position.min(newest),
        told: position.min(newest),
        first: Some(first),
        changes,
        stop: streams.stop.clone(),
        pulse: now + PULSE,
        until: now + LIFE,
        seen: None,
        _room: room,
    };
    // Whoever has the answer is listened for: what is asked from then on is asked of somebody.
    follower.show_presence().await;
    let mut response = Response::new(Body::from_stream(stream::unfold(follower, Follower::next)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // Proxies that gather answers would gather this one for ever.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

fn number(text: &str) -> Option<EventNumber> {
    text.parse().ok().filter(|number: &EventNumber| number.0 >= 0)
}

/// The message that says that events between two numbers cannot be had any more.
fn gap(after: EventNumber, resumes: EventNumber, missed: i64) -> String {
    let data = json!({ "after": after, "resumesAfter": resumes, "missed": missed });
    format!("id: {resumes}\nevent: gap\ndata: {data}\n\n")
}

/// A client and where it is.
struct Follower {
    engine: Engine,
    interest: Interest,
    /// The last event that was looked at.
    position: EventNumber,
    /// The last number that the client knows.
    told: EventNumber,
    first: Option<String>,
    changes: watch::Receiver<u64>,
    stop: CancellationToken,
    pulse: Instant,
    until: Instant,
    /// When it was last written down that the client is there.
    seen: Option<Timestamp>,
    _room: OwnedSemaphorePermit,
}

impl Follower {
    /// The next piece of the stream. It is asked for when the client took the one before.
    async fn next(mut self) -> Option<(std::result::Result<Bytes, Infallible>, Self)> {
        if let Some(first) = self.first.take() {
            return Some((Ok(first.into()), self));
        }
        while !self.stop.is_cancelled() && Instant::now() < self.until {
            self.changes.mark_unchanged();
            self.show_presence().await;
            let text = match self.read().await {
                Ok(text) => text,
                Err(error @ store::Error::Unavailable(_)) => {
                    tracing::debug!(%error, "a follower of events waits for the store");
                    String::new()
                }
                Err(error) => {
                    tracing::error!(%error, "a follower of events is sent away");
                    return None;
                }
            };
            if !text.is_empty() {
                self.pulse = Instant::now() + PULSE;
                return Some((Ok(text.into()), self));
            }
            if Instant::now() >= self.pulse {
                self.pulse = Instant::now() + PULSE;
                let text = self.sign_of_life();
                return Some((Ok(text.into()), self));
            }
            let wait = self.pulse.min(Instant::now() + POLL);
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep_until(wait) => {}
                _changed = self.changes.changed() => tokio::time::sleep(GATHER).await,
            }
        }
        None
    }

    /// A comment, or where the client is by now if what happened since was not for it.
    fn sign_of_life(&mut self) -> String {
        if self.told == self.position {
            return ": still here\n\n".into();
        }
        self.told = self.position;
        format!("id: {}\n\n", self.position)
    }

    /// What happened after the position and is wanted; empty if nothing did. Goes on until the end or until there is enough.
    async fn read(&mut self) -> store::Result<String> {
        let mut text = String::new();
        loop {
            let page = event_list(&mut *self.engine.store.read().await?, self.position, PAGE).await?;
            let end = page.len() < PAGE as usize;
            for event in page {
                let before = EventNumber(event.number.0 - 1);
                if before > self.position {
                    // Numbers have no holes: what is not there was removed.
                    text.push_str(&gap(self.position, before, before.0 - self.position.0));
                }
                self.position = event.number;
                if (self.interest.wants)(&event) {
                    self.told = self.position;
                    self.write(&mut text, event);
                }
                if text.len() >= CHUNK {
                    return Ok(text);
                }
            }
            if end || !text.is_empty() {
                return Ok(text);
            }
        }
    }

    fn write(&self, text: &mut String, event: Recorded) {
        let event = event.shortened();
        let data = (self.interest.write)(&event);
        // JSON has no line breaks outside of texts, and none inside.
        text.push_str(&format!("id: {}\nevent: {}\ndata: {data}\n\n", event.number, event.kind));
    }

    /// Writes down now and then that somebody listens.
    async fn show_presence(&mut self) {
        let Some((project, session)) = self.interest.present.clone() else { return };
        let now = self.engine.clock.now();
        if self.seen.is_some_and(|seen| now.since(seen) < SEEN) {
            return;
        }
        let listener = format!("events/{}", session.map(|session| session.to_string()).unwrap_or_default());
        let until = Some(now.after(PRESENT));
        let put = self
            .engine
            .store
            .write(move |tx| Box::pin(async move { listener_put_in(tx, &project, session, &listener, until).await }));
        match put.await {
            Ok(()) => self.seen = Some(now),
            Err(error) => tracing::debug!(%error, "it is not written down that somebody follows"),
        }
    }
}
