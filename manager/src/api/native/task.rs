//! Tasks: list, show, cancel. Their fields are those of the croit dialect (spec/hooks.md §3, §9) and more.

use axum::Json;
use axum::extract::State;
use hostler_common::id::TaskId;
use hostler_common::text::clip;
use hostler_common::time::Timestamp;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;

use super::error::{Error, Result};
use super::guard::Actor;
use super::path::{Id, find_host};
use super::query::{Page, Query};
use crate::api::Api;
use crate::store::task::{StepRecord, Task, TaskFilter, TaskState, step_list, task_find, task_list};

/// How much output lists carry of each task, in bytes.
const OUTPUT_IN_LIST: usize = 4 << 10;

/// How much output a single task carries, in bytes.
const OUTPUT_ALONE: usize = 1 << 20;

/// `Task` of docs/native-api.md.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskView {
    id: i64,
    kind: String,
    name: String,
    state: &'static str,
    done: bool,
    status_code: i32,
    started_at: String,
    started_by: String,
    finished_at: Option<String>,
    object: Option<String>,
    progress: Progress,
    output: String,
    result: Option<Value>,
    cancelled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<Vec<StepView>>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Progress {
    complete: i64,
    total: i64,
}

/// `Step` of docs/native-api.md.
#[derive(Clone, Debug, Serialize)]
pub struct StepView {
    at: String,
    what: String,
    host: Option<String>,
    outcome: String,
    detail: String,
}

impl TaskView {
    fn of(task: Task, output_max: usize, steps: Option<Vec<StepRecord>>) -> Self {
        Self {
            id: task.id.0,
            state: task.state.name(),
            done: task.state.is_final(),
            status_code: status_code(task.state),
            kind: task.kind,
            name: task.name,
            started_at: task.started_at.rfc3339(),
            started_by: task.started_by,
            finished_at: task.finished_at.map(Timestamp::rfc3339),
            object: task.host.map(|host| host.to_string()),
            progress: Progress { complete: task.complete, total: task.total },
            output: tail(&task.output, output_max).to_owned(),
            result: None,
            cancelled: task.cancelled,
            steps: steps.map(|steps| steps.into_iter().map(StepView::of).collect()),
        }
    }
}

impl StepView {
    fn of(step: StepRecord) -> Self {
        Self {
            at: step.at.rfc3339(),
            what: step.what,
            host: step.host.map(|host| host.to_string()),
            outcome: step.outcome,
            detail: clip(&step.detail, OUTPUT_ALONE).to_owned(),
        }
    }
}

/// The one number that says how a task ended, as the croit dialect counts (spec/hooks.md §9).
fn status_code(state: TaskState) -> i32 {
    match state {
        TaskState::Waiting | TaskState::Running | TaskState::Finished => 0,
        TaskState::Failed => 1,
        TaskState::Canceled => -256,
    }
}

/// The last bytes of a text, from a character's beginning on.
fn tail(text: &str, max: usize) -> &str {
    let mut begin = text.len().saturating_sub(max);
    while !text.is_char_boundary(begin) {
        begin += 1;
    }
    &text[begin..]
}

/// `GET /tasks`
///
/// # Errors
/// A parameter breaks a rule; see [`crate::store::Error`].
pub async fn list(State(api): State<Api>, mut query: Query) -> Result<Json<Page<TaskView>>> {
    let state = query.word("state", "WAITING, RUNNING, FINISHED, FAILED, CANCELED", TaskState::from_name)?;
    let kind = query.take("kind")?;
    let host = query.take("host")?;
    let (limit, before) = (query.limit()?, query.after()?);
    query.finish()?;
    let host = match host {
        None => None,
        Some(name) => Some(host_id(&api, &name).await?),
    };
    let filter = TaskFilter { state, kind, host, before };
    let mut connection = api.engine.store.read().await?;
    let found = task_list(&mut connection, &filter, limit + 1).await?;
    Ok(Json(Page::new(found, limit, |task| task.id, |task| TaskView::of(task, OUTPUT_IN_LIST, None))))
}

/// The host of a filter. One that is named by its UUID may be gone: its tasks outlive it.
async fn host_id(api: &Api, name: &str) -> Result<hostler_common::id::HostId> {
    if let Some(uuid) = hostler_common::id::uuid_like(name) {
        return Ok(hostler_common::id::HostId(uuid));
    }
    let found = find_host(api, name).await?;
    found
        .map(|host| host.id)
        .ok_or_else(|| Error::field("host", "there is no such host; one that is gone has its UUID"))
}

/// `GET /tasks/{id}`
///
/// # Errors
/// There is no such task; see [`crate::store::Error`].
pub async fn show(State(api): State<Api>, Id(id): Id<TaskId>, query: Query) -> Result<Json<TaskView>> {
    query.finish()?;
    let mut connection = api.engine.store.read().await?;
    let found = task_find(&mut connection, id).await?;
    let task = found.ok_or_else(|| Error::not_found(format!("there is no task {id}")))?;
    let steps = step_list(&mut connection, id).await?;
    Ok(Json(TaskView::of(task, OUTPUT_ALONE, Some(steps))))
}

/// `POST /tasks/{id}/cancel`
///
/// # Errors
/// There is no such task, it has ended or cannot be cancelled now; see [`crate::store::Error`].
pub async fn cancel(
    State(api): State<Api>,
    Actor(actor): Actor,
    Id(id): Id<TaskId>,
) -> Result<(StatusCode, Json<Value>)> {
    api.engine.task_cancel(id, &actor).await?;
    Ok((StatusCode::ACCEPTED, Json(serde_json::json!({}))))
}

#[cfg(test)]
mod tests {
    use super::tail;

    #[test]
    fn tails_keep_characters_whole() {
        assert_eq!(tail("abc", 5), "abc");
        assert_eq!(tail("abc", 2), "bc");
        assert_eq!(tail("aéb", 2), "b");
        assert_eq!(tail("", 2), "");
    }
}
