//! Events as they happen: server-sent events that can be resumed at any number (docs/events.md).
//!
//! What is sent is read from the store, page by page, as fast as the client takes it: nothing is queued, and nothing is
//! lost by being slow or away. A wake-up only says when to look.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream;
use hostler_common::id::EventNumber;
use hostler_core::cloudevent;
use hostler_core::event::{Filter, Recorded};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::{Error, Result};
use super::filter;
use super::query::Query;
use crate::api::Api;
use crate::store::event::{event_list, event_newest};

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

/// What all streams share. Cheap to clone.
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

/// The form of the data of a message.
#[derive(Clone, Copy, Debug)]
enum Form {
    Cloudevents,
    Native,
}

impl Form {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "cloudevents" => Some(Self::Cloudevents),
            "native" => Some(Self::Native),
            _ => None,
        }
    }
}

/// `GET /events/stream`
///
/// # Errors
/// A parameter breaks a rule, or too many streams are open; see [`crate::store::Error`].
pub async fn follow(
    State(api): State<Api>,
    Extension(streams): Extension<Streams>,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response> {
    let filter = filter::of_query(&api, &mut query).await?;
    let form = query.word("format", "cloudevents, native", Form::from_name)?.unwrap_or(Form::Cloudevents);
    let after = query.take("after")?;
    query.finish()?;
    // A client that comes again says where it was in the header and repeats its first parameters.
    let (name, text) = match headers.get("last-event-id") {
        Some(value) => ("Last-Event-ID", Some(value.to_str().unwrap_or("?").to_owned())),
        None => ("after", after),
    };
    let newest = event_newest(&mut *api.engine.store.read().await?).await?;
    let position = match text.filter(|text| !text.is_empty()) {
        None => newest,
        Some(text) => number(&text).ok_or_else(|| Error::field(name, "must be the number of an event, or 0"))?,
    };
    let Ok(room) = Arc::clone(&streams.room).try_acquire_owned() else {
        let text = "as many clients as may follow events already; events.streams_max of the settings says how many";
        return Err(Error::new(StatusCode::SERVICE_UNAVAILABLE, text));
    };
    let mut first = format!("retry: 2000\nid: {position}\n\n");
    if position > newest {
        // Numbers of another store, or of one that a backup has replaced: waiting for them would be waiting for nothing.
        first.push_str(&gap(position, newest, 0));
    }
    let changes = api.engine.wake.watch();
    let now = Instant::now();
    let follower = Follower {
        api,
        filter,
        form,
        position: position.min(newest),
        told: position.min(newest),
        first: Some(first),
        changes,
        stop: streams.stop,
        pulse: now + PULSE,
        until: now + LIFE,
        _room: room,
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        // Proxies that gather answers would gather this one for ever.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(stream::unfold(follower, Follower::next))).into_response())
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
    api: Api,
    filter: Filter,
    form: Form,
    /// The last event that was looked at.
    position: EventNumber,
    /// The last number that the client knows.
    told: EventNumber,
    first: Option<String>,
    changes: watch::Receiver<u64>,
    stop: CancellationToken,
    pulse: Instant,
    until: Instant,
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
            let text = match self.read().await {
                Ok(text) => text,
                Err(error @ crate::store::Error::Unavailable(_)) => {
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
    async fn read(&mut self) -> crate::store::Result<String> {
        let mut text = String::new();
        loop {
            let page = event_list(&mut *self.api.engine.store.read().await?, self.position, PAGE).await?;
            let end = page.len() < PAGE as usize;
            for event in page {
                let before = EventNumber(event.number.0 - 1);
                if before > self.position {
                    // Numbers have no holes: what is not there was removed.
                    text.push_str(&gap(self.position, before, before.0 - self.position.0));
                }
                self.position = event.number;
                if self.filter.matches(&event) {
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
        let data = match self.form {
            Form::Cloudevents => cloudevent::structured(&self.api.config.events.name, &event),
            Form::Native => cloudevent::native(&event),
        };
        // JSON has no line breaks outside of texts, and none inside.
        text.push_str(&format!("id: {}\nevent: {}\ndata: {data}\n\n", event.number, event.kind));
    }
}
