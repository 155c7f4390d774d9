//! What happened in a session: its steps, and its events (spec/maintenance.md §5.7).

use axum::body::Body;
use hostler_common::id::EventNumber;
use hostler_core::event::Recorded;
use http::Response;
use serde_json::{Value, json};

use super::error::{Failure, shown};
use super::moment::{maybe, text};
use super::render::{self, Names};
use super::session::{find, limit};
use super::transport::Call;
use crate::store::event::{event_before, event_list};
use crate::store::host::host_numbers;
use crate::store::maintenance::{StepFilter, StepRow, host_rows, step_rows};

/// How many entries a page has unless the caller says otherwise.
const PAGE: u32 = 100;

/// How many events are looked at in one go, and how often: a page may end early.
const LOOK: u32 = 500;
const LOOKS: usize = 40;

/// `GET /v1/maintenance/{session}/steps`.
pub(super) async fn steps(call: &Call<'_>, id: &str) -> Result<Response<Body>, Failure> {
    let row = find(call, id, true).await?;
    let size = limit(call, Some(PAGE))?.unwrap_or(PAGE);
    let after = after(call)?.unwrap_or(0);
    let mut connection = call.engine().store.read().await?;
    let hosts = host_rows(&mut connection, row.id).await?;
    let names = Names::new(host_numbers(&mut connection).await?, &hosts);
    let mut filter = StepFilter { kind: call.parameter("kind"), ..StepFilter::default() };
    if let Some(name) = call.parameter("host") {
        let wrong = || Failure::field("host", format_args!("there is no host {:?}", shown(&name)));
        filter.host = Some(names.find(&name).ok_or_else(wrong)?);
    }
    if let Some(state) = call.parameter("state") {
        let known = ["PENDING", "RUNNING", "DONE", "FAILED", "SKIPPED", "CANCELLED", "UNKNOWN"];
        if !known.contains(&state.as_str()) {
            return Err(Failure::field("state", format_args!("must be one of {}", known.join(", "))));
        }
        filter.state = Some(state);
    }
    let found = step_rows(&mut connection, row.id, &filter, after, size).await?;
    let full = found.len() >= size as usize;
    let next = found.last().filter(|_| full).map(|step| step.number);
    let shown: Vec<Value> = found.iter().map(|row| step(row, &names)).collect();
    Ok(render::json(&json!({ "steps": shown, "next": next })))
}

fn after(call: &Call<'_>) -> Result<Option<i64>, Failure> {
    let Some(text) = call.parameter("after") else { return Ok(None) };
    let number = text.parse().ok().filter(|number: &i64| *number >= 0);
    number.map(Some).ok_or_else(|| Failure::field("after", "must be a number from 0"))
}

fn step(row: &StepRow, names: &Names) -> Value {
    let took = row.finished_at.map(|end| u64::try_from(end.since(row.started_at).as_millis()).unwrap_or(u64::MAX));
    let error = row.error.as_ref().map(|reason| json!({ "code": reason.code, "text": reason.text }));
    json!({
        "id": row.number,
        "seq": row.number,
        "host": row.host.map(|host| names.of(host)),
        "instance_id": row.instance,
        "kind": row.kind,
        "name": row.name,
        "attempt": row.attempt,
        "state": row.state,
        "started_at": text(row.started_at),
        "finished_at": maybe(row.finished_at),
        "duration_ms": took,
        "input": row.input,
        "result": row.result,
        "error": error,
        "log_href": null,
        "job_id": row.job.map(|job| job.to_string()),
        "actor": row.actor,
    })
}

/// `GET /v1/maintenance/{session}/events`.
pub(super) async fn events(call: &Call<'_>, id: &str) -> Result<Response<Body>, Failure> {
    let row = find(call, id, true).await?;
    let size = limit(call, Some(PAGE))?.unwrap_or(PAGE) as usize;
    let mut connection = call.engine().store.read().await?;
    let mut at = match after(call)? {
        Some(number) => EventNumber(number),
        None => event_before(&mut connection, row.created_at).await?,
    };
    let session = row.id.to_string();
    let (mut found, mut end) = (Vec::new(), false);
    'pages: for _ in 0..LOOKS {
        let page = event_list(&mut connection, at, LOOK).await?;
        end = page.len() < LOOK as usize;
        for event in page {
            at = event.number;
            if event.subject == session || event.data["session_id"].as_str() == Some(&session) {
                found.push(shown_event(event));
            }
            if found.len() >= size {
                end = false;
                break 'pages;
            }
        }
        if end {
            break;
        }
    }
    Ok(render::json(&json!({ "events": found, "last": at.0, "next": if end { None } else { Some(at.0) } })))
}

fn shown_event(event: Recorded) -> Value {
    let event = event.shortened();
    json!({
        "id": event.number.0,
        "time": text(event.at),
        "type": event.kind,
        "subject": event.subject,
        "actor": event.actor,
        "data": event.data,
    })
}
