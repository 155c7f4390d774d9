//! Tasks: what people asked for and can watch (design §1), and the steps of their history.

mod jobs;
mod page;

use hostler_common::id::{HostId, MachineId, TaskId};
use hostler_common::time::Timestamp;
use hostler_core::machine::{Question, Step, TaskEnd};
use serde_json::Value;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::dialect::storable;
use super::host::parse_host;
use super::tx::{Connection, Error, Result, next_number};

pub use jobs::{Seat, task_jobs};
pub use page::{Bound, Comparison, TaskColumn, TaskCondition, TaskQuery, task_active, task_page};

/// Where a task stands; the names are those of the croit dialect (spec/hooks.md §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Nothing of it began.
    Waiting,
    /// Some of it began.
    Running,
    /// It ended as it should.
    Finished,
    /// It ended otherwise.
    Failed,
    /// It ended because somebody asked for that.
    Canceled,
}

impl TaskState {
    const ALL: [Self; 5] = [Self::Waiting, Self::Running, Self::Finished, Self::Failed, Self::Canceled];

    /// The stable name, as stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Canceled => "CANCELED",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing can come after it.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

/// A task.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its number.
    pub id: TaskId,
    /// What kind of work.
    pub kind: String,
    /// A sentence for people.
    pub name: String,
    /// Where it stands.
    pub state: TaskState,
    /// The host that it is about.
    pub host: Option<HostId>,
    /// The machine that does it.
    pub machine: Option<MachineId>,
    /// Who asked.
    pub started_by: String,
    /// When.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How many parts are done.
    pub complete: i64,
    /// How many parts there are.
    pub total: i64,
    /// Whether a cancel was accepted.
    pub cancelled: bool,
    /// What people should read.
    pub output: String,
    /// 0, or what went wrong (spec/hooks.md §9).
    pub status_code: i32,
    /// The particulars of the end.
    pub result: Option<Value>,
    /// What it is about, for people.
    pub object: Option<String>,
    /// What it asks now.
    pub question: Option<Question>,
}

fn task_from(row: &AnyRow) -> Result<Task> {
    let state: String = row.try_get("state")?;
    let host: Option<String> = row.try_get("host_id")?;
    let machine: Option<String> = row.try_get("machine_id")?;
    Ok(Task {
        id: TaskId(row.try_get("id")?),
        kind: row.try_get("kind")?,
        name: row.try_get("name")?,
        state: TaskState::from_name(&state).ok_or_else(|| Error::Broken(format!("unknown task state {state}")))?,
        host: host.as_deref().map(parse_host).transpose()?,
        machine: machine
            .map(|id| id.parse().map_err(|_| Error::Broken(format!("not a machine id: {id}"))))
            .transpose()?,
        started_by: row.try_get("started_by")?,
        started_at: Timestamp::from_micros(row.try_get("started_at")?),
        finished_at: row.try_get::<Option<i64>, _>("finished_at")?.map(Timestamp::from_micros),
        complete: row.try_get("progress_complete")?,
        total: row.try_get("progress_total")?,
        cancelled: row.try_get::<i64, _>("cancelled")? != 0,
        output: row.try_get("output")?,
        status_code: i32::try_from(row.try_get::<i64, _>("status_code")?).unwrap_or(i32::MAX),
        result: document(row, "result")?,
        object: row.try_get("object")?,
        question: document(row, "question")?,
    })
}

fn document<T: serde::de::DeserializeOwned>(row: &AnyRow, name: &str) -> Result<Option<T>> {
    let text: Option<String> = row.try_get(name)?;
    Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
}

/// What a new task is.
#[derive(Clone, Debug)]
pub struct NewTask<'a> {
    /// What kind of work.
    pub kind: &'a str,
    /// A sentence for people.
    pub name: &'a str,
    /// The host that it is about.
    pub host: Option<HostId>,
    /// The machine that does it.
    pub machine: MachineId,
    /// Who asked.
    pub started_by: &'a str,
    /// How many parts there are.
    pub total: u32,
}

/// A new task, waiting.
///
/// # Errors
/// See [`Error`].
pub async fn task_insert(connection: &mut Connection, new: &NewTask<'_>, at: Timestamp) -> Result<TaskId> {
    let id = next_number(connection, "task").await?;
    sqlx::query(
        "insert into task (id, kind, name, state, host_id, machine_id, started_by, started_at, progress_complete, \
         progress_total, cancelled, output) values ($1, $2, $3, 'WAITING', $4, $5, $6, $7, 0, $8, 0, '')",
    )
    .bind(id)
    .bind(new.kind)
    .bind(new.name)
    .bind(new.host.map(|host| host.to_string()))
    .bind(new.machine.to_string())
    .bind(new.started_by)
    .bind(at.as_micros())
    .bind(i64::from(new.total))
    .execute(connection)
    .await?;
    Ok(TaskId(id))
}

/// Records that work on a task began.
///
/// # Errors
/// See [`Error`].
pub async fn task_running(connection: &mut Connection, id: TaskId) -> Result<()> {
    sqlx::query("update task set state = 'RUNNING' where id = $1 and state = 'WAITING'")
        .bind(id.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// Records how many parts of a task are done.
///
/// # Errors
/// See [`Error`].
pub async fn task_progress(connection: &mut Connection, id: TaskId, complete: u32) -> Result<()> {
    sqlx::query("update task set progress_complete = $2 where id = $1 and finished_at is null")
        .bind(id.0)
        .bind(i64::from(complete))
        .execute(connection)
        .await?;
    Ok(())
}

/// Records what a task is about.
///
/// # Errors
/// See [`Error`].
pub async fn task_about(connection: &mut Connection, id: TaskId, object: &str) -> Result<()> {
    sqlx::query("update task set object = $2 where id = $1")
        .bind(id.0)
        .bind(storable(object))
        .execute(connection)
        .await?;
    Ok(())
}

/// A task asks something, and waits.
///
/// # Errors
/// See [`Error`].
pub async fn task_ask(connection: &mut Connection, id: TaskId, question: &Question) -> Result<()> {
    sqlx::query("update task set question = $2, state = 'WAITING' where id = $1 and finished_at is null")
        .bind(id.0)
        .bind(serde_json::to_string(question)?)
        .execute(connection)
        .await?;
    Ok(())
}

/// The question of a task is answered, and it goes on.
///
/// # Errors
/// See [`Error`].
pub async fn task_answered(connection: &mut Connection, id: TaskId) -> Result<()> {
    sqlx::query("update task set question = null, state = 'RUNNING' where id = $1 and finished_at is null")
        .bind(id.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// Records what came of a task that is about to end.
///
/// # Errors
/// See [`Error`].
pub async fn task_result(
    connection: &mut Connection,
    id: TaskId,
    status_code: i32,
    result: Option<&Value>,
) -> Result<()> {
    sqlx::query("update task set status_code = $2, result = $3 where id = $1 and finished_at is null")
        .bind(id.0)
        .bind(i64::from(status_code))
        .bind(result.map(|result| storable(&result.to_string())))
        .execute(connection)
        .await?;
    Ok(())
}

/// Records that a cancel was accepted.
///
/// # Errors
/// See [`Error`].
pub async fn task_cancelling(connection: &mut Connection, id: TaskId) -> Result<()> {
    sqlx::query("update task set cancelled = 1 where id = $1").bind(id.0).execute(connection).await?;
    Ok(())
}

/// Ends a task; one that has ended already stays as it is.
///
/// # Errors
/// See [`Error`].
pub async fn task_close(
    connection: &mut Connection,
    id: TaskId,
    end: TaskEnd,
    output: &str,
    at: Timestamp,
) -> Result<()> {
    let (state, complete) = match end {
        TaskEnd::Finished => (TaskState::Finished, true),
        TaskEnd::Failed => (TaskState::Failed, true),
        TaskEnd::Cancelled => (TaskState::Canceled, false),
    };
    sqlx::query(
        "update task set state = $2, finished_at = $3, output = $4, question = null, cancelled = case when $2 = 'CANCELED' then 1 else \
         cancelled end, progress_complete = case when $5 = 1 then progress_total else progress_complete end \
         where id = $1 and finished_at is null",
    )
    .bind(id.0)
    .bind(state.name())
    .bind(at.as_micros())
    .bind(storable(output))
    .bind(i64::from(complete))
    .execute(connection)
    .await?;
    Ok(())
}

/// The task of that number.
///
/// # Errors
/// See [`Error`].
pub async fn task_find(connection: &mut Connection, id: TaskId) -> Result<Option<Task>> {
    let row = sqlx::query("select * from task where id = $1").bind(id.0).fetch_optional(connection).await?;
    row.as_ref().map(task_from).transpose()
}

/// Which tasks a list has.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Only those in this state.
    pub state: Option<TaskState>,
    /// Only those of this kind.
    pub kind: Option<String>,
    /// Only those about this host.
    pub host: Option<HostId>,
    /// Only those with a smaller number.
    pub before: Option<TaskId>,
}

/// Tasks, newest first.
///
/// # Errors
/// See [`Error`].
pub async fn task_list(connection: &mut Connection, filter: &TaskFilter, limit: u32) -> Result<Vec<Task>> {
    let rows = sqlx::query(
        "select * from task where id < $1 and ($2 = '' or state = $2) and ($3 = '' or kind = $3) \
         and ($4 = '' or host_id = $4) order by id desc limit $5",
    )
    .bind(filter.before.map_or(i64::MAX, |before| before.0))
    .bind(filter.state.map_or("", TaskState::name))
    .bind(filter.kind.as_deref().unwrap_or(""))
    .bind(filter.host.map(|host| host.to_string()).unwrap_or_default())
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(task_from).collect()
}

/// A line of a task's history.
#[derive(Clone, Debug)]
pub struct StepRecord {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: String,
    /// On which host.
    pub host: Option<HostId>,
    /// `done`, `failed` or `skipped`.
    pub outcome: String,
    /// More, for people.
    pub detail: String,
}

/// Appends a line to a task's history; a task that is gone by retention gets none.
///
/// # Errors
/// [`Error::Moved`] if somebody else appended one at the same time; see [`Error`].
pub async fn step_insert(connection: &mut Connection, task: TaskId, step: &Step, at: Timestamp) -> Result<()> {
    sqlx::query(
        "insert into step (task, number, at, what, host_id, outcome, detail) select $1, \
         coalesce((select max(number) from step where task = $1), 0) + 1, $2, $3, $4, $5, $6 \
         where exists (select 1 from task where id = $1)",
    )
    .bind(task.0)
    .bind(at.as_micros())
    .bind(storable(&step.what))
    .bind(step.host.map(|host| host.to_string()))
    .bind(step.outcome.name())
    .bind(storable(&step.detail))
    .execute(connection)
    .await
    .map_err(|error| match Error::from(error) {
        Error::Exists(_) => Error::Moved,
        other => other,
    })?;
    Ok(())
}

/// The history of a task, oldest first.
///
/// # Errors
/// See [`Error`].
pub async fn step_list(connection: &mut Connection, task: TaskId) -> Result<Vec<StepRecord>> {
    let rows: Vec<(i64, String, Option<String>, String, String)> =
        sqlx::query_as("select at, what, host_id, outcome, detail from step where task = $1 order by number")
            .bind(task.0)
            .fetch_all(connection)
            .await?;
    rows.into_iter()
        .map(|(at, what, host, outcome, detail)| {
            let host = host.as_deref().map(parse_host).transpose()?;
            Ok(StepRecord { at: Timestamp::from_micros(at), what, host, outcome, detail })
        })
        .collect()
}

/// Removes at most `limit` tasks that ended before `until`, with their histories; returns how many.
///
/// # Errors
/// See [`Error`].
pub async fn task_prune(connection: &mut Connection, until: Timestamp, limit: u32) -> Result<u64> {
    sqlx::query(
        "delete from step where task in (select id from task where finished_at < $1 order by finished_at, id limit $2)",
    )
    .bind(until.as_micros())
    .bind(i64::from(limit))
    .execute(&mut *connection)
    .await?;
    for table in ["target", "run"] {
        let text = format!(
            "delete from {table} where task in \
             (select id from task where finished_at < $1 order by finished_at, id limit $2)"
        );
        sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(until.as_micros())
            .bind(i64::from(limit))
            .execute(&mut *connection)
            .await?;
    }
    // Machines that are about one task only end with it; those of a host stay.
    sqlx::query(
        "delete from machine where kind in ('run', 'operation', 'chain') and task in \
         (select id from task where finished_at < $1 order by finished_at, id limit $2)",
    )
    .bind(until.as_micros())
    .bind(i64::from(limit))
    .execute(&mut *connection)
    .await?;
    let text =
        "delete from task where id in (select id from task where finished_at < $1 order by finished_at, id limit $2)";
    let done = sqlx::query(text).bind(until.as_micros()).bind(i64::from(limit)).execute(connection).await?;
    Ok(done.rows_affected())
}
