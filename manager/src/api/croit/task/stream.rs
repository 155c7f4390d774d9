//! A task as server-sent events: its view at once, then whenever it changes, until it has ended.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream;
use hostler_common::id::TaskId;
use http::{HeaderValue, header};

use super::super::Croit;
use super::{TaskView, whole};
use crate::api::native::error::Result;
use crate::api::native::path::Id;

/// How long nothing is said at the most, so that connections are not taken for dead.
const PULSE: Duration = Duration::from_secs(15);

/// How long changes are gathered before the task is looked at.
const GATHER: Duration = Duration::from_millis(50);

/// `GET /tasks/{id}/events`
pub(in super::super) async fn events(State(croit): State<Croit>, Id(id): Id<TaskId>) -> Result<Response> {
    let first = whole(&croit, id).await?;
    let watcher = Watcher { croit, id, said: String::new(), first: Some(first), over: false };
    let media = HeaderValue::from_static("text/event-stream");
    let body = Body::from_stream(stream::unfold(watcher, Watcher::next));
    Ok(([(header::CONTENT_TYPE, media)], body).into_response())
}

struct Watcher {
    croit: Croit,
    id: TaskId,
    said: String,
    first: Option<TaskView>,
    over: bool,
}

impl Watcher {
    async fn next(mut self) -> Option<(std::result::Result<Bytes, Infallible>, Self)> {
        let mut changes = self.croit.api.engine.wake.watch();
        while !self.over {
            let view = match self.first.take() {
                Some(view) => view,
                // A task that retention took ends the stream.
                None => whole(&self.croit, self.id).await.ok()?,
            };
            self.over = view.done;
            let text = serde_json::to_string(&view).ok()?;
            if text != self.said {
                let event = format!("event: task\ndata: {text}\n\n");
                self.said = text;
                return Some((Ok(event.into()), self));
            }
            if !self.over {
                if tokio::time::timeout(PULSE, changes.changed()).await.is_err() {
                    return Some((Ok(Bytes::from_static(b": still here\n\n")), self));
                }
                tokio::time::sleep(GATHER).await;
            }
        }
        None
    }
}
