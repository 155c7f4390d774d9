//! What is known of targets, for decisions and for lists.

use std::collections::HashMap;

use hostler_common::id::{HookId, HostId, JobId, TaskId};
use hostler_common::job::JobState;
use hostler_common::time::Timestamp;
use hostler_core::hook::Candidate;
use hostler_core::run::Spec;
use hostler_core::run::target::{Begun, Seat, Summary, TargetState, Waiting};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::CHUNK;
use crate::store::dialect::numbered;
use crate::store::host::parse_host;
use crate::store::tx::{Connection, Error, Result};

pub(super) fn parse_job(text: &str) -> Result<JobId> {
    text.parse().map_err(|_| Error::Broken(format!("not a job id: {text}")))
}

fn parse_state(text: &str) -> Result<TargetState> {
    TargetState::from_name(text).ok_or_else(|| Error::Broken(format!("unknown target state {text}")))
}

fn position(row: &AnyRow) -> Result<u32> {
    let number: i64 = row.try_get("position")?;
    u32::try_from(number).map_err(|_| Error::Broken(format!("not a position: {number}")))
}

fn moment(row: &AnyRow, name: &str) -> Result<Option<Timestamp>> {
    Ok(row.try_get::<Option<i64>, _>(name)?.map(Timestamp::from_micros))
}

/// What a run is to do, without its hosts.
///
/// # Errors
/// See [`Error`].
pub async fn spec_find(connection: &mut Connection, task: TaskId) -> Result<Option<Spec>> {
    let row: Option<(String,)> =
        sqlx::query_as("select spec from run where task = $1").bind(task.0).fetch_optional(connection).await?;
    Ok(row.map(|(spec,)| serde_json::from_str(&spec)).transpose()?)
}

/// The task of the run of that subject.
///
/// # Errors
/// See [`Error`].
pub async fn run_task(connection: &mut Connection, subject: &str) -> Result<Option<TaskId>> {
    let row: Option<(i64,)> =
        sqlx::query_as("select task from run where subject = $1").bind(subject).fetch_optional(connection).await?;
    Ok(row.map(|(task,)| TaskId(task)))
}

/// The subject of the run of that task.
///
/// # Errors
/// See [`Error`].
pub async fn run_subject(connection: &mut Connection, task: TaskId) -> Result<Option<String>> {
    let row: Option<(String,)> =
        sqlx::query_as("select subject from run where task = $1").bind(task.0).fetch_optional(connection).await?;
    Ok(row.map(|(subject,)| subject))
}

/// The targets from a position on, with what is known of their hosts.
///
/// # Errors
/// See [`Error`].
pub async fn target_waiting(connection: &mut Connection, task: TaskId, first: u32, limit: u32) -> Result<Vec<Waiting>> {
    let rows = sqlx::query(
        "select target.position, target.host_id, target.job_id, host.number, host.name, host.agent_state, \
         host.last_seen_at from target left join host on host.id = target.host_id \
         where target.task = $1 and target.position >= $2 order by target.position limit $3",
    )
    .bind(task.0)
    .bind(i64::from(first))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let state: Option<String> = row.try_get("agent_state")?;
            let seat = match state {
                Some(state) => Some(Seat {
                    number: row.try_get("number")?,
                    name: row.try_get("name")?,
                    connected: state == "online",
                    seen_at: moment(row, "last_seen_at")?,
                    revoked: state == "revoked",
                }),
                None => None,
            };
            let host: String = row.try_get("host_id")?;
            let job: String = row.try_get("job_id")?;
            Ok(Waiting { position: position(row)?, host: parse_host(&host)?, job: parse_job(&job)?, seat })
        })
        .collect()
}

/// The places of jobs in their runs.
///
/// # Errors
/// See [`Error`].
pub async fn target_of_jobs(connection: &mut Connection, jobs: &[JobId]) -> Result<HashMap<JobId, (u32, TargetState)>> {
    let mut places = HashMap::with_capacity(jobs.len());
    for chunk in jobs.chunks(CHUNK) {
        let text = format!("select job_id, position, state from target where job_id in ({})", numbered(1, chunk.len()));
        let query = sqlx::query(sqlx::AssertSqlSafe(text));
        let query = chunk.iter().fold(query, |query, job| query.bind(job.to_string()));
        for row in query.fetch_all(&mut *connection).await? {
            let job: String = row.try_get("job_id")?;
            places.insert(parse_job(&job)?, (position(&row)?, parse_state(row.try_get("state")?)?));
        }
    }
    Ok(places)
}

/// The targets that have begun and not ended.
///
/// # Errors
/// See [`Error`].
pub async fn target_begun(connection: &mut Connection, task: TaskId) -> Result<Vec<Begun>> {
    let rows = sqlx::query(
        "select target.position, target.job_id, target.state, target.begun_at, job.state as job_state, \
         host.agent_state from target left join job on job.id = target.job_id \
         left join host on host.id = target.host_id \
         where target.task = $1 and target.state in ('delivering', 'running') order by target.position",
    )
    .bind(task.0)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let job: String = row.try_get("job_id")?;
            let job_state: Option<String> = row.try_get("job_state")?;
            let agent: Option<String> = row.try_get("agent_state")?;
            Ok(Begun {
                position: position(row)?,
                job: parse_job(&job)?,
                state: parse_state(row.try_get("state")?)?,
                begun_at: moment(row, "begun_at")?.unwrap_or(Timestamp::from_micros(0)),
                job_state: job_state.as_deref().and_then(JobState::from_name),
                connected: agent.as_deref() == Some("online"),
            })
        })
        .collect()
}

/// The targets of a task with greater positions than `after`, in the order of positions.
///
/// # Errors
/// See [`Error`].
pub async fn target_list(
    connection: &mut Connection,
    task: TaskId,
    after: Option<u32>,
    limit: u32,
) -> Result<Vec<Summary>> {
    let rows = sqlx::query(
        "select position, host_id, host_number, host_name, state, exit_code, signal, started_at, finished_at, \
         output_bytes, truncated, error from target where task = $1 and position > $2 order by position limit $3",
    )
    .bind(task.0)
    .bind(after.map_or(-1, i64::from))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(summary).collect()
}

fn summary(row: &AnyRow) -> Result<Summary> {
    let small = |name: &str| -> Result<Option<i32>> {
        Ok(row.try_get::<Option<i64>, _>(name)?.and_then(|number| i32::try_from(number).ok()))
    };
    let host: String = row.try_get("host_id")?;
    Ok(Summary {
        position: position(row)?,
        host: parse_host(&host)?,
        number: row.try_get("host_number")?,
        name: row.try_get("host_name")?,
        state: parse_state(row.try_get("state")?)?,
        exit_code: small("exit_code")?,
        signal: small("signal")?,
        started_at: moment(row, "started_at")?,
        finished_at: moment(row, "finished_at")?,
        output_bytes: u64::try_from(row.try_get::<i64, _>("output_bytes")?).unwrap_or(0),
        truncated: row.try_get::<i64, _>("truncated")? != 0,
        error: row.try_get("error")?,
    })
}

/// The hosts on which hooks may run: those that are connected.
///
/// # Errors
/// See [`Error`].
pub async fn candidates(connection: &mut Connection) -> Result<Vec<Candidate>> {
    let rows: Vec<(String, i64, String)> =
        sqlx::query_as("select id, number, roles from host where agent_state = 'online' order by number")
            .fetch_all(connection)
            .await?;
    rows.into_iter()
        .map(|(id, number, roles)| {
            let roles: Vec<String> = serde_json::from_str(&roles)?;
            let management = roles.iter().any(|role| role == "management");
            Ok(Candidate { id: parse_host(&id)?, number, connected: true, management })
        })
        .collect()
}

/// When a hook may begin again on a host, as remembered.
///
/// # Errors
/// See [`Error`].
pub async fn pace_find(connection: &mut Connection, hook: HookId, host: HostId) -> Result<Option<Timestamp>> {
    let row: Option<(i64,)> = sqlx::query_as("select next_at from hook_pace where hook_id = $1 and host_id = $2")
        .bind(hook.0)
        .bind(host.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|(next,)| Timestamp::from_micros(next)))
}
