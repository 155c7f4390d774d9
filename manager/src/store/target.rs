//! Runs and their targets: which hosts a script was to run on, and what came of it on each (spec/hooks.md §9).

mod output;
mod read;

use hostler_common::id::{HookId, HostId, JobId, TaskId};
use hostler_common::job::Outcome;
use hostler_common::time::Timestamp;
use hostler_core::run::Spec;
use hostler_core::run::command::NewTarget;
use hostler_core::run::target::TargetState;

use super::dialect::{numbered, storable};
use super::tx::{Connection, Result};

pub use output::{Kept, Live, output_prune, target_output, task_text};
pub use read::{
    candidates, pace_find, run_subject, run_task, spec_find, target_begun, target_list, target_of_jobs, target_waiting,
};

/// How many rows one statement inserts or names.
const CHUNK: usize = 200;

/// A new run and its targets, all pending.
///
/// # Errors
/// See [`super::Error`].
pub async fn run_insert(
    connection: &mut Connection,
    task: TaskId,
    subject: &str,
    spec: &Spec,
    targets: &[NewTarget],
) -> Result<()> {
    sqlx::query("insert into run (task, subject, hook_id, digest, spec) values ($1, $2, $3, $4, $5)")
        .bind(task.0)
        .bind(subject)
        .bind(spec.hook().map(|hook| hook.hook.0))
        .bind(spec.script.digest.to_string())
        .bind(serde_json::to_string(&Spec { hosts: Vec::new(), ..spec.clone() })?)
        .execute(&mut *connection)
        .await?;
    for chunk in targets.chunks(CHUNK) {
        let rows: Vec<String> =
            (0..chunk.len()).map(|n| format!("(${}, ${}, ${})", 3 * n + 2, 3 * n + 3, 3 * n + 4)).collect();
        let text = format!(
            "with fresh (position, host_id, job_id) as (values {}) \
             insert into target (task, position, host_id, host_number, host_name, job_id, state, output_bytes, truncated) \
             select $1, fresh.position, fresh.host_id, host.number, coalesce(host.name, fresh.host_id), fresh.job_id, \
             'pending', 0, 0 from fresh left join host on host.id = fresh.host_id",
            rows.join(", ")
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(task.0);
        for target in chunk {
            query = query.bind(i64::from(target.position)).bind(target.host.to_string()).bind(target.job.to_string());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Targets from the first to the last position begin.
///
/// # Errors
/// See [`super::Error`].
pub async fn target_launched(
    connection: &mut Connection,
    task: TaskId,
    (first, last): (u32, u32),
    at: Timestamp,
) -> Result<()> {
    sqlx::query("update target set state = 'delivering', begun_at = $4 where task = $1 and position between $2 and $3")
        .bind(task.0)
        .bind(i64::from(first))
        .bind(i64::from(last))
        .bind(at.as_micros())
        .execute(connection)
        .await?;
    Ok(())
}

/// The scripts of these targets were started.
///
/// # Errors
/// See [`super::Error`].
pub async fn target_running(connection: &mut Connection, task: TaskId, positions: &[u32], at: Timestamp) -> Result<()> {
    for chunk in positions.chunks(CHUNK) {
        let text = format!(
            "update target set state = 'running', started_at = $2, begun_at = coalesce(begun_at, $2) \
             where task = $1 and position in ({})",
            numbered(3, chunk.len())
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(task.0).bind(at.as_micros());
        let query = chunk.iter().fold(query, |query, position| query.bind(i64::from(*position)));
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// How a target ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// In which state; `None` leaves the state that it has.
    pub state: Option<TargetState>,
    /// What its job left.
    pub outcome: Option<&'a Outcome>,
    /// Why it is not `ok`.
    pub error: Option<&'a str>,
}

/// A target ends, or what came of it arrives after it was given up.
///
/// # Errors
/// See [`super::Error`].
pub async fn target_ended(
    connection: &mut Connection,
    task: TaskId,
    position: u32,
    ended: Ended<'_>,
    at: Timestamp,
) -> Result<()> {
    let outcome = ended.outcome;
    let merged = outcome.and_then(|outcome| outcome.merged.as_ref());
    let bytes = merged.map(|merged| &merged.bytes).or_else(|| outcome.map(|outcome| &outcome.stdout));
    let marks = merged.filter(|merged| !merged.marks.is_empty()).map(|merged| serde_json::to_string(&merged.marks));
    let usage = outcome.and_then(|outcome| outcome.usage.as_ref()).map(serde_json::to_string);
    let dropped = merged.map_or(0, |merged| merged.dropped);
    let truncated = bytes.is_some_and(|bytes| !bytes.complete()) || dropped > 0;
    sqlx::query(
        "update target set state = coalesce($3, state), finished_at = coalesce(finished_at, $4), \
         started_at = coalesce(started_at, $5), exit_code = $6, signal = $7, error = coalesce($8, error), \
         output_bytes = $9, truncated = $10, head = $11, tail = $12, marks = $13, usage = $14 \
         where task = $1 and position = $2",
    )
    .bind(task.0)
    .bind(i64::from(position))
    .bind(ended.state.map(TargetState::name))
    .bind(at.as_micros())
    .bind(outcome.and_then(|outcome| outcome.started_at).map(Timestamp::as_micros))
    .bind(outcome.and_then(|outcome| outcome.exit_code).map(i64::from))
    .bind(outcome.and_then(|outcome| outcome.signal).map(i64::from))
    .bind(ended.error.map(storable))
    .bind(bytes.map_or(0, |bytes| i64::try_from(bytes.total).unwrap_or(i64::MAX)))
    .bind(i64::from(truncated))
    .bind(bytes.filter(|bytes| !bytes.head.is_empty()).map(|bytes| bytes.head.as_slice()))
    .bind(bytes.filter(|bytes| !bytes.tail.is_empty()).map(|bytes| bytes.tail.as_slice()))
    .bind(marks.transpose()?)
    .bind(usage.transpose()?)
    .execute(connection)
    .await?;
    Ok(())
}

/// All targets from a position on end without having begun.
///
/// # Errors
/// See [`super::Error`].
pub async fn target_rest(
    connection: &mut Connection,
    task: TaskId,
    first: u32,
    (state, error): (TargetState, &str),
    at: Timestamp,
) -> Result<()> {
    sqlx::query("update target set state = $3, error = $4, finished_at = $5 where task = $1 and position >= $2")
        .bind(task.0)
        .bind(i64::from(first))
        .bind(state.name())
        .bind(storable(error))
        .bind(at.as_micros())
        .execute(connection)
        .await?;
    Ok(())
}

/// Records that an agent reported an occurrence; `false` if it had done so before.
///
/// # Errors
/// See [`super::Error`].
pub async fn report_insert(
    connection: &mut Connection,
    host: HostId,
    occurrence: uuid::Uuid,
    number: u64,
    at: Timestamp,
) -> Result<bool> {
    let done = sqlx::query(
        "insert into host_report (host_id, occurrence_id, number, at) values ($1, $2, $3, $4) on conflict do nothing",
    )
    .bind(host.to_string())
    .bind(occurrence.to_string())
    .bind(i64::try_from(number).unwrap_or(i64::MAX))
    .bind(at.as_micros())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Records that something happened; `false` if it is known.
///
/// # Errors
/// See [`super::Error`].
pub async fn occurrence_insert(
    connection: &mut Connection,
    occurrence: &hostler_common::hook::Occurrence,
    host: Option<HostId>,
    at: Timestamp,
) -> Result<bool> {
    let done =
        sqlx::query("insert into occurrence (id, point, host_id, at) values ($1, $2, $3, $4) on conflict do nothing")
            .bind(occurrence.id.to_string())
            .bind(occurrence.point.name())
            .bind(host.map(|host| host.to_string()))
            .bind(at.as_micros())
            .execute(connection)
            .await?;
    Ok(done.rows_affected() > 0)
}

/// Remembers when a hook may begin again on a host.
///
/// # Errors
/// See [`super::Error`].
pub async fn pace_put(connection: &mut Connection, hook: HookId, host: HostId, next: Timestamp) -> Result<()> {
    sqlx::query(
        "insert into hook_pace (hook_id, host_id, next_at) values ($1, $2, $3) \
         on conflict (hook_id, host_id) do update set next_at = excluded.next_at",
    )
    .bind(hook.0)
    .bind(host.to_string())
    .bind(next.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes at most `limit` records of occurrences from before `until`, the oldest first; returns how many.
///
/// # Errors
/// See [`super::Error`].
pub async fn occurrence_prune(connection: &mut Connection, until: Timestamp, limit: u32) -> Result<u64> {
    let text = "delete from occurrence where id in (select id from occurrence where at < $1 order by at limit $2)";
    let done = sqlx::query(text).bind(until.as_micros()).bind(i64::from(limit)).execute(connection).await?;
    Ok(done.rows_affected())
}

/// Removes at most `limit` records of reports from before `until`, the oldest first; returns how many.
///
/// # Errors
/// See [`super::Error`].
pub async fn report_prune(connection: &mut Connection, until: Timestamp, limit: u32) -> Result<u64> {
    let text = "delete from host_report where (host_id, occurrence_id) in \
                (select host_id, occurrence_id from host_report where at < $1 order by at limit $2)";
    let done = sqlx::query(text).bind(until.as_micros()).bind(i64::from(limit)).execute(connection).await?;
    Ok(done.rows_affected())
}

/// Removes at most `limit` moments before `until` at which hooks might have begun again; returns how many.
///
/// # Errors
/// See [`super::Error`].
pub async fn pace_prune(connection: &mut Connection, until: Timestamp, limit: u32) -> Result<u64> {
    let text = "delete from hook_pace where (hook_id, host_id) in \
                (select hook_id, host_id from hook_pace where next_at < $1 limit $2)";
    let done = sqlx::query(text).bind(until.as_micros()).bind(i64::from(limit)).execute(connection).await?;
    Ok(done.rows_affected())
}

/// Removes at most `limit` chains of hooks that nothing happened to since `until`, and that have no task of their own with
/// which they would go; returns how many.
///
/// # Errors
/// See [`super::Error`].
pub async fn chain_prune(connection: &mut Connection, until: Timestamp, limit: u32) -> Result<u64> {
    let text = "delete from machine where id in \
                (select id from machine where kind = 'chain' and updated_at < $1 limit $2)";
    let done = sqlx::query(text).bind(until.as_micros()).bind(i64::from(limit)).execute(connection).await?;
    Ok(done.rows_affected())
}

/// The task in whose run that job is.
///
/// # Errors
/// See [`super::Error`].
pub async fn job_task(connection: &mut Connection, job: JobId) -> Result<Option<TaskId>> {
    let row: Option<(i64,)> = sqlx::query_as("select task from target where job_id = $1")
        .bind(job.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|(task,)| TaskId(task)))
}

/// The job of a target, for those who watch it: the host's place in a task.
///
/// # Errors
/// See [`super::Error`].
pub async fn target_job(connection: &mut Connection, task: TaskId, host: HostId) -> Result<Option<JobId>> {
    let row: Option<(String,)> = sqlx::query_as("select job_id from target where task = $1 and host_id = $2")
        .bind(task.0)
        .bind(host.to_string())
        .fetch_optional(connection)
        .await?;
    row.map(|(id,)| read::parse_job(&id)).transpose()
}
