//! A task as server-sent events: its view at once, then whenever it changes, until it has ended; and, where it is asked
//! for, what its script writes on all servers, as it comes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream;
use hostler_common::id::{JobId, TaskId};
use http::{HeaderValue, header};
use serde_json::json;
use tokio::sync::watch;

use super::super::Croit;
use super::super::parameters::Parameters;
use super::named::Named;
use super::pieces::stream_name;
use super::{TaskView, whole};
use crate::api::native::error::Result;
use crate::engine::output::{Live, Watcher};
use crate::store::task::{Seat, task_jobs};

/// How long nothing is said at the most, so that connections are not taken for dead.
const PULSE: Duration = Duration::from_secs(15);

/// How long changes are gathered before the task is looked at.
const GATHER: Duration = Duration::from_millis(50);

/// `GET /tasks/{id}/events`
pub(in super::super) async fn events(
    State(croit): State<Croit>,
    Named(id): Named,
    parameters: Parameters,
) -> Result<Response> {
    let watcher = parameters.flag("output")?.then(|| croit.api.engine.outputs.watch());
    let first = whole(&croit, id).await?;
    let jobs = match watcher {
        Some(_) => task_jobs(&mut *croit.api.engine.store.read().await?, id).await?,
        None => HashMap::new(),
    };
    let changes = croit.api.engine.wake.watch();
    let (said, ready, exact) = (String::new(), Some(first), parameters.flag("bytes")?);
    let stream = TaskStream { croit, id, said, ready, over: false, changes, watcher, jobs, exact };
    let media = HeaderValue::from_static("text/event-stream");
    Ok(([(header::CONTENT_TYPE, media)], Body::from_stream(stream::unfold(stream, TaskStream::next))).into_response())
}

struct TaskStream {
    croit: Croit,
    id: TaskId,
    said: String,
    ready: Option<TaskView>,
    over: bool,
    changes: watch::Receiver<u64>,
    watcher: Option<Watcher>,
    jobs: HashMap<JobId, Seat>,
    /// Whether output is given as base64 rather than as text.
    exact: bool,
}

impl TaskStream {
    async fn next(mut self) -> Option<(std::result::Result<Bytes, Infallible>, Self)> {
        while !self.over {
            if let Some(view) = self.ready.take() {
                self.over = view.done;
                let text = serde_json::to_string(&view).ok()?;
                if text != self.said {
                    let event = format!("event: task\ndata: {text}\n\n");
                    self.said = text;
                    return Some((Ok(event.into()), self));
                }
                continue;
            }
            tokio::select! {
                // What was written before the end is said before the end.
                biased;
                live = heard(self.watcher.as_mut()) => {
                    if let Some(event) = self.written(live?) {
                        return Some((Ok(event), self));
                    }
                }
                changed = tokio::time::timeout(PULSE, self.changes.changed()) => {
                    if changed.is_err() {
                        return Some((Ok(Bytes::from_static(b": still here\n\n")), self));
                    }
                    tokio::time::sleep(GATHER).await;
                    self.changes.mark_unchanged();
                    // A task that retention took ends the stream.
                    self.ready = Some(whole(&self.croit, self.id).await.ok()?);
                }
            }
        }
        None
    }

    /// What a script of this task wrote, as an event.
    fn written(&self, live: Live) -> Option<Bytes> {
        let event = match live {
            Live::Piece { job, offset, stream, bytes } => {
                let seat = self.jobs.get(&job)?;
                let (form, content) =
                    if self.exact { ("data", STANDARD.encode(&bytes)) } else { ("text", text(&bytes)) };
                json!({
                    "server": seat.number, "name": seat.name, "stream": stream_name(stream), "offset": offset,
                    form: content,
                })
            }
            Live::Missed(count) => json!({ "missed": count }),
            Live::Ended(_) => return None,
        };
        Some(format!("event: output\ndata: {event}\n\n").into())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What scripts write; nothing ever where nobody asked for it. `None` if the manager stops.
async fn heard(watcher: Option<&mut Watcher>) -> Option<Live> {
    match watcher {
        Some(watcher) => watcher.next().await,
        None => std::future::pending().await,
    }
}
