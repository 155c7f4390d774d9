//! The hosts of a run: how each stands, and what the script wrote there. Extensions of the dialect.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json as Answer;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream;
use hostler_common::id::{HostId, JobId, TaskId};
use hostler_common::job::{Captured, Stream};
use hostler_common::time::Timestamp;
use hostler_core::run::target::Summary;
use http::{HeaderName, HeaderValue, header};
use serde::Serialize;
use serde_json::json;

use super::super::Croit;
use super::super::parameters::Parameters;
use super::named::Named;
use super::pieces::pieces;
use crate::api::native::error::{Error, Result};
use crate::engine::output::{Live, Watcher};
use crate::store::Connection;
use crate::store::target::{target_job, target_list, target_output};
use crate::store::task::task_find;

/// How many targets an answer has at the most.
const TARGETS_MAX: u32 = 1000;

/// How long a follower waits before it looks again by itself: output may come to another manager.
const LOOK: Duration = Duration::from_secs(2);

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
    Named(id): Named,
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
    Named(id): Named,
    parameters: Parameters,
) -> Result<Response> {
    let offset = parameters.number::<u64>("offset")?.unwrap_or(0);
    let follow = parameters.flag("follow")?;
    let mut connection = croit.api.engine.store.read().await?;
    check(&mut connection, id).await?;
    let host = chosen(&mut connection, id, parameters.get("server")).await?;
    let target = Target { task: id, host, job: target_job(&mut connection, id, host).await? };
    // Whoever follows listens first and looks then, so that nothing falls between.
    let watcher = croit.api.engine.outputs.watch();
    let kept = target.kept(&croit, &mut connection).await?;
    drop(connection);
    if parameters.flag("pieces")? {
        let pieces = pieces(&kept.bytes, &kept.marks, offset);
        let total = kept.bytes.total;
        return Ok(Answer(json!({ "pieces": pieces, "total": total, "over": kept.over })).into_response());
    }
    let first = from(&kept.bytes, offset, kept.over);
    let total = HeaderValue::from(first.total);
    let media = HeaderValue::from_static("application/octet-stream");
    let body = if follow {
        let follower = Follower { croit, target, offset, watcher, ready: Some(first), over: false };
        Body::from_stream(stream::unfold(follower, Follower::next))
    } else {
        Body::from(first.bytes)
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

/// One host of a run.
#[derive(Clone, Copy)]
struct Target {
    task: TaskId,
    host: HostId,
    job: Option<JobId>,
}

/// What is there of the output of one host.
struct Kept {
    bytes: Captured,
    marks: Vec<(u64, Stream)>,
    over: bool,
}

impl Target {
    /// What the script wrote: what is recorded, or what came so far.
    async fn kept(self, croit: &Croit, connection: &mut Connection) -> Result<Kept> {
        let missing = || Error::not_found(format!("task {} has no such server", self.task));
        let all = target_list(connection, self.task, None, 20_000).await?;
        let over = all.iter().find(|target| target.host == self.host).ok_or_else(missing)?.state.is_final();
        let kept = target_output(connection, self.task, self.host).await?.ok_or_else(missing)?;
        let live = if over { None } else { self.job.and_then(|job| croit.api.engine.outputs.so_far(job)) };
        Ok(match live {
            Some(live) => Kept { bytes: live.bytes, marks: live.marks, over },
            None => Kept { bytes: kept.bytes, marks: kept.marks, over },
        })
    }

    /// The same from an offset on.
    async fn piece(self, croit: &Croit, connection: &mut Connection, offset: u64) -> Result<Piece> {
        let kept = self.kept(croit, connection).await?;
        Ok(from(&kept.bytes, offset, kept.over))
    }
}

/// What is kept of an output from an offset on. Offsets count what was written, so a reader knows how much is not there.
fn from(captured: &Captured, offset: u64, over: bool) -> Piece {
    let head = captured.head.len() as u64;
    let tail_begins = captured.total.saturating_sub(captured.tail.len() as u64).max(head);
    let part = |bytes: &[u8], begins: u64| {
        let skip = usize::try_from(offset.saturating_sub(begins)).unwrap_or(usize::MAX);
        bytes.get(skip..).unwrap_or_default().to_vec()
    };
    let mut bytes = part(&captured.head, 0);
    if offset < tail_begins && tail_begins > head {
        let omitted = tail_begins - head.max(offset);
        bytes.extend_from_slice(format!("\n… {omitted} bytes omitted …\n").as_bytes());
    }
    bytes.extend(part(&captured.tail, tail_begins));
    Piece { bytes, total: captured.total, end: captured.total.max(offset), over }
}

/// Sends what comes until the target has ended.
struct Follower {
    croit: Croit,
    target: Target,
    offset: u64,
    watcher: Watcher,
    /// What was read and not sent.
    ready: Option<Piece>,
    over: bool,
}

impl Follower {
    async fn next(mut self) -> Option<(std::result::Result<Bytes, Infallible>, Self)> {
        while !self.over {
            if let Some(piece) = self.ready.take() {
                self.over = piece.over;
                self.offset = piece.end;
                if !piece.bytes.is_empty() {
                    return Some((Ok(piece.bytes.into()), self));
                }
                continue;
            }
            let live = tokio::time::timeout(LOOK, self.watcher.next()).await;
            match live {
                Ok(Some(Live::Piece { job, offset, bytes, .. })) if Some(job) == self.target.job => {
                    if offset > self.offset {
                        self.look().await?;
                        continue;
                    }
                    let known = usize::try_from(self.offset - offset).unwrap_or(usize::MAX);
                    if known < bytes.len() {
                        self.offset = offset + bytes.len() as u64;
                        return Some((Ok(bytes.slice(known..)), self));
                    }
                }
                Ok(Some(Live::Piece { .. })) => {}
                Ok(Some(Live::Ended(job))) if Some(job) != self.target.job => {}
                Ok(Some(Live::Ended(_) | Live::Missed(_))) | Err(_) => self.look().await?,
                Ok(None) => return None,
            }
        }
        None
    }

    /// Reads what is there. `None` ends the answer: the task is gone, or the store is.
    async fn look(&mut self) -> Option<()> {
        let mut connection = self.croit.api.engine.store.read().await.ok()?;
        self.ready = Some(self.target.piece(&self.croit, &mut connection, self.offset).await.ok()?);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_count_what_was_written() {
        let captured = Captured { head: b"abc".to_vec(), tail: b"xyz".to_vec(), total: 10 };
        let text = |offset| String::from_utf8(from(&captured, offset, false).bytes).unwrap();
        assert_eq!(text(0), "abc\n… 4 bytes omitted …\nxyz");
        assert_eq!(text(2), "c\n… 4 bytes omitted …\nxyz");
        assert_eq!(text(5), "\n… 2 bytes omitted …\nxyz");
        assert_eq!(text(8), "yz");
        assert_eq!((text(10), text(99)), (String::new(), String::new()));
        let whole = Captured { head: b"abc".to_vec(), tail: Vec::new(), total: 3 };
        assert_eq!(from(&whole, 1, true).bytes, b"bc");
        assert_eq!((from(&whole, 1, true).end, from(&whole, 9, true).end), (3, 9));
    }
}
