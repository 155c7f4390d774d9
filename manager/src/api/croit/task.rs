//! Tasks: every long-running thing, with the fields of the dialect and some more (spec/hooks.md §3, §9).

mod answer;
mod named;
mod pieces;
mod query;
mod stream;
mod targets;
mod view;

use std::collections::HashMap;

use axum::extract::State;
use axum::response::Response;
use hostler_common::id::TaskId;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use uuid::Uuid;

use super::Croit;
use super::body::{Json, empty};
use super::guard::Asker;
use super::page::{Page, Paging, Plan, row};
use super::parameters::Parameters;
use crate::api::native::error::{Error, Result};
use crate::store::Connection;
use crate::store::host::host_numbers;
use crate::store::target::{Live, task_text};
use crate::store::task::{Task, TaskQuery, step_list, task_active, task_find, task_page};
use answer::tagged;
use named::Named;
pub(super) use stream::events;
pub(super) use targets::{output, targets};
pub(super) use view::TaskView;

/// How much output lists carry of each task, in bytes.
const OUTPUT_IN_LIST: usize = 4 << 10;

/// How much output a single task carries, in bytes.
const OUTPUT_ALONE: usize = 1 << 20;

/// How many tasks a list has where no page is asked for (spec/hooks.md §2.3).
const LIMIT_USUAL: u32 = 50;

/// How many tasks a list has at the most.
const LIMIT_MAX: u32 = 1000;

/// How many of the newest tasks a pattern is looked for in.
const SCANNED: u32 = 5000;

/// The kinds of tasks whose output lies with their targets.
const RUNS: [&str; 2] = ["script", "hook"];

/// Names of hosts, for tasks that are about one.
async fn names(connection: &mut Connection, tasks: &[Task]) -> Result<HashMap<String, String>> {
    if tasks.iter().all(|task| task.object.is_some() || task.host.is_none()) {
        return Ok(HashMap::new());
    }
    let all = host_numbers(connection).await?;
    Ok(all.into_iter().map(|(id, _, name)| (id.to_string(), name)).collect())
}

/// The end of what the script of a task wrote, also while it runs.
async fn output_of(croit: &Croit, connection: &mut Connection, task: &Task, max: usize) -> Result<String> {
    let so_far = |job| croit.api.engine.outputs.so_far(job);
    let live: Option<Live<'_>> = if task.state.is_final() { None } else { Some(&so_far) };
    Ok(task_text(connection, task.id, max, live).await?)
}

/// The views of tasks as lists have them.
async fn in_list(croit: &Croit, connection: &mut Connection, tasks: Vec<Task>) -> Result<Vec<TaskView>> {
    let names = names(connection, &tasks).await?;
    let mut views = Vec::with_capacity(tasks.len());
    for mut task in tasks {
        if RUNS.contains(&task.kind.as_str()) && task.output.is_empty() {
            task.output = output_of(croit, connection, &task, OUTPUT_IN_LIST).await?;
        }
        task.output = view::plain(view::tail(&task.output, OUTPUT_IN_LIST));
        views.push(TaskView::of(croit, task, &names));
    }
    Ok(views)
}

/// The whole view of one task.
///
/// # Errors
/// There is none of that number.
pub(super) async fn whole(croit: &Croit, id: TaskId) -> Result<TaskView> {
    let mut connection = croit.api.engine.store.read().await?;
    let found = task_find(&mut connection, id).await?;
    let mut task = found.ok_or_else(|| Error::not_found(format!("there is no task {id}")))?;
    let steps = step_list(&mut connection, id).await?;
    if RUNS.contains(&task.kind.as_str()) && task.output.is_empty() {
        task.output = output_of(croit, &mut connection, &task, OUTPUT_ALONE).await?;
    }
    task.output = view::tail(&task.output, OUTPUT_ALONE).to_owned();
    let names = names(&mut connection, std::slice::from_ref(&task)).await?;
    Ok(TaskView::of(croit, task, &names).with_steps(steps))
}

/// `GET /tasks`
pub(super) async fn list(State(croit): State<Croit>, paging: Paging, headers: HeaderMap) -> Result<Response> {
    let plan = Plan::read(query::COLUMNS, paging.0.as_deref())?;
    let limit = match (&paging.0, plan.limit) {
        (None, _) => LIMIT_USUAL,
        (Some(_), limit) => limit.map_or(LIMIT_MAX, |limit| u32::try_from(limit).unwrap_or(LIMIT_MAX).min(LIMIT_MAX)),
    };
    let mut connection = croit.api.engine.store.read().await?;
    if plan.condition.as_ref().is_some_and(super::page::Condition::has_pattern) {
        // No engine of ours looks for patterns in the same way; the newest tasks are looked through here.
        let query = TaskQuery { limit: SCANNED, output: OUTPUT_IN_LIST as u32, ..TaskQuery::default() };
        let (tasks, _) = task_page(&mut connection, &query).await?;
        let names = names(&mut connection, &tasks).await?;
        let rows: Result<Vec<_>> = tasks.into_iter().map(|task| row(&TaskView::of(&croit, task, &names))).collect();
        return tagged(&headers, &plan.with_limit(u64::from(limit)).page(rows?));
    }
    let query = TaskQuery {
        condition: plan.condition.as_ref().map(query::condition).transpose()?,
        sort: query::sort(&plan.sort),
        after: plan.after,
        limit,
        output: OUTPUT_IN_LIST as u32,
    };
    let (tasks, total) = task_page(&mut connection, &query).await?;
    let data: Result<Vec<_>> = in_list(&croit, &mut connection, tasks).await?.iter().map(row).collect();
    tagged(&headers, &Page { data: data?, total, after: plan.after, limit: Some(u64::from(limit)) })
}

/// `GET /tasks/active`
pub(super) async fn active(State(croit): State<Croit>, headers: HeaderMap) -> Result<Response> {
    let mut connection = croit.api.engine.store.read().await?;
    let tasks = task_active(&mut connection, LIMIT_MAX).await?;
    let views = in_list(&croit, &mut connection, tasks).await?;
    tagged(&headers, &views)
}

/// `GET /tasks/status`
pub(super) async fn status(State(croit): State<Croit>, parameters: Parameters, headers: HeaderMap) -> Result<Response> {
    let mut ids: Vec<i64> = Vec::new();
    for text in parameters.all("id").flat_map(|text| text.split(',')).filter(|text| !text.trim().is_empty()) {
        ids.push(text.trim().parse().map_err(|_| Error::field("id", "must be numbers of tasks"))?);
    }
    ids.dedup();
    if ids.len() > LIMIT_MAX as usize {
        return Err(Error::field("id", format_args!("may be given at most {LIMIT_MAX} times")));
    }
    let mut connection = croit.api.engine.store.read().await?;
    let mut tasks = Vec::with_capacity(ids.len());
    for id in ids {
        tasks.extend(task_find(&mut connection, TaskId(id)).await?);
    }
    let views = in_list(&croit, &mut connection, tasks).await?;
    tagged(&headers, &views)
}

/// `GET /tasks/{id}`
pub(super) async fn show(State(croit): State<Croit>, Named(id): Named, headers: HeaderMap) -> Result<Response> {
    let view = whole(&croit, id).await?;
    tagged(&headers, &view)
}

/// `TaskQuestionAnswer`
#[derive(Clone, Debug, Deserialize)]
pub(super) struct AnswerBody {
    token: Uuid,
    response: String,
}

/// `POST /tasks/{id}/answer`
pub(super) async fn answer(
    State(croit): State<Croit>,
    asker: Asker,
    Named(id): Named,
    Json(body): Json<AnswerBody>,
) -> Result<Response> {
    croit.api.engine.task_answer(id, body.token, &body.response, asker.name()).await?;
    Ok(empty(StatusCode::CREATED))
}

/// `POST /tasks/{id}/cancel`
pub(super) async fn cancel(State(croit): State<Croit>, asker: Asker, Named(id): Named) -> Result<Response> {
    croit.api.engine.task_cancel(id, asker.name()).await?;
    Ok(empty(StatusCode::CREATED))
}
