//! The hosts of a run: how each stands, and what the script wrote there. Extensions of the dialect.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json as Answer;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream;
use hostler_common::id::{HostId, TaskId};
use hostler_common::time::Timestamp;
use hostler_core::run::target::Summary;
use http::{HeaderName, HeaderValue, header};
use serde::Serialize;

use super::super::Croit;
use super::super::parameters::Parameters;
use crate::api::native::error::{Error, Result};
use crate::api::native::path::Id;
use crate::store::Connection;
use crate::store::target::{target_list, target_output};
use crate::store::task::task_find;

/// How many targets an answer has at the most.
const TARGETS_MAX: u32 = 1000;

/// How long a follower waits for a change before it looks again by itself.
const LOOK: Duration = Duration::from_secs(2);

/// How long changes are gathered before a follower looks.
const GATHER: Duration = Duration::from_millis(20);

/// Says how many bytes the script wrote, also those that are not kept.
const TOTAL: HeaderName = HeaderName::from_static("x-output-total");

/// A host of a run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TargetView {
    position: u32,
    id: Option<i64>,
    host: String,
    name: String,
    state: &'static str,
    exit_code: Option<i32>,
    signal: Option<i32>,
    started_at: Option<String>,
    finished_at: Option<String>,
    output_bytes: u64,
    truncated: bool,
    error: Option<String>,
}

impl TargetView {
    fn of(target: Summary) -> Self {
        Self {
            position: target.position,
            id: target.number,
            host: target.host.to_string(),
            name: target.name,
            state: target.state.name(),
            exit_code: target.exit_code,
            signal: target.signal,
            started_at: target.started_at.map(Timestamp::rfc3339),
            finished_at: target.finished_at.map(Timestamp::rfc3339),
            output_bytes: target.output_bytes,
            truncated: target.truncated,
            error: target.error,
        }
    }
}

async fn check(connection: &mut Connection, id: TaskId) -> Result<()> {
    let found = task_find(connection, id).await?;
    found.map(|_| ()).ok_or_else(|| Error::not_found(format!("there is no task {id}")))
}

/// `GET /tasks/{id}/targets`
pub(in super::super) async fn targets(
    State(croit): State<Croit>,
    Id(id): Id<TaskId>,
    parameters: Parameters,
) -> Result<Response> {
    let limit = parameters.number("limit")?.unwrap_or(TARGETS_MAX).clamp(1, TARGETS_MAX);
    let after = parameters.number("after")?;
    let mut connection = croit.api.engine.store.read().await?;
    check(&mut connection, id).await?;
    let found = target_list(&mut connection, id, after, limit).await?;
    Ok(Answer(found.into_iter().map(TargetView::of).collect::<Vec<_>>()).into_response())
}

/// `GET /tasks/{id}/output`
pub(in super::super) async fn output(
    State(croit): State<Croit>,
    Id(id): Id<TaskId>,
    parameters: Parameters,
) -> Result<Response> {
    let offset = parameters.number::<u64>("offset")?.unwrap_or(0);
    let follow = parameters.flag("follow")?;
    let mut connection = croit.api.engine.store.read().await?;
    check(&mut connection, id).await?;
    let host = chosen(&mut connection, id, parameters.get("server")).await?;
    let piece = piece(&mut connection, id, host, offset).await?;
    drop(connection);
    let total = HeaderValue::from(piece.total);
    let media = HeaderValue::from_static("application/octet-stream");
    let body = if follow {
        let follower = Follower { croit, task: id, host, offset, over: false };
        Body::from_stream(stream::unfold(follower, Follower::next))
    } else {
        Body::from(piece.bytes)
    };
    Ok(([(header::CONTENT_TYPE, media), (TOTAL, total)], body).into_response())
}

/// The host of which the output is wanted: by number, name or UUID; the only one where none is named.
async fn chosen(connection: &mut Connection, task: TaskId, named: Option<&str>) -> Result<HostId> {
    let all = target_list(connection, task, None, 20_000).await?;
    let found = match named {
        None if all.len() == 1 => all.first(),
        None if all.is_empty() => return Err(Error::not_found(format!("task {task} runs no script"))),
        None => {
            return Err(Error::field("server", "is required for a task on several servers; see /targets"));
        }
        Some(named) => all.iter().find(|target| {
            target.name == named
                || target.number.is_some_and(|number| number.to_string() == named)
                || target.host.to_string() == named
        }),
    };
    let missing = || Error::not_found(format!("task {task} has no such server"));
    found.map(|target| target.host).ok_or_else(missing)
}

/// Bytes from an offset of all that was written.
struct Piece {
    bytes: Vec<u8>,
    /// How many bytes were written.
    total: u64,
    /// The offset after the last of the bytes.
    end: u64,
    over: bool,
}

async fn piece(connection: &mut Connection, task: TaskId, host: HostId, offset: u64) -> Result<Piece> {
    let kept = target_output(connection, task, host).await?;
    let kept = kept.ok_or_else(|| Error::not_found(format!("task {task} has no such server")))?;
    let state = target_list(connection, task, None, 20_000).await?;
    let over = state.iter().find(|target| target.host == host).is_none_or(|target| target.state.is_final());
    let captured = kept.bytes;
    let head = captured.head.len() as u64;
    let tail_begins = captured.total.saturating_sub(captured.tail.len() as u64).max(head);
    let from = |bytes: &[u8], begins: u64| {
        let skip = usize::try_from(offset.saturating_sub(begins)).unwrap_or(usize::MAX);
        bytes.get(skip..).unwrap_or_default().to_vec()
    };
    let mut bytes = from(&captured.head, 0);
    if offset < tail_begins && tail_begins > head {
        // Offsets count what was written, so a reader knows how much it did not get.
        bytes.extend_from_slice(format!("\n… {} bytes omitted …\n", tail_begins - head.max(offset)).as_bytes());
    }
    bytes.extend(from(&captured.tail, tail_begins));
    Ok(Piece { bytes, total: captured.total, end: captured.total.max(offset), over })
}

/// Sends what comes until the target has ended.
struct Follower {
    croit: Croit,
    task: TaskId,
    host: HostId,
    offset: u64,
    over: bool,
}

impl Follower {
    async fn next(mut self) -> Option<(std::result::Result<Bytes, Infallible>, Self)> {
        let mut changes = self.croit.api.engine.wake.watch();
        while !self.over {
            let mut connection = self.croit.api.engine.store.read().await.ok()?;
            let piece = piece(&mut connection, self.task, self.host, self.offset).await.ok()?;
            drop(connection);
            self.over = piece.over;
            self.offset = piece.end;
            if !piece.bytes.is_empty() {
                return Some((Ok(piece.bytes.into()), self));
            }
            if !self.over {
                // Whether it was a change or the time, it is looked again; if the manager stops, the connection ends.
                let _either = tokio::time::timeout(LOOK, changes.changed()).await;
                tokio::time::sleep(GATHER).await;
            }
        }
        None
    }
}
