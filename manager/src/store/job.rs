//! Jobs: what hosts are to do, from the decision until the outcome is recorded (design §4).

use std::collections::HashMap;

use hostler_common::id::{HostId, JobId, MachineId};
use hostler_common::job::{JobSpec, JobState, Outcome};
use hostler_common::time::Timestamp;

use super::dialect::numbered;
use super::tx::{Connection, Error, Result};

/// A stored job.
#[derive(Clone, Debug)]
pub struct Record {
    /// What it is.
    pub spec: JobSpec,
    /// Whose decision it was.
    pub machine: MachineId,
    /// Where it stands.
    pub state: JobState,
    /// Whether it is to be ended.
    pub cancel: bool,
}

type Row = (String, String, String, i64);

fn record_from((spec, machine, state, cancel): Row) -> Result<Record> {
    Ok(Record {
        spec: serde_json::from_str(&spec)?,
        machine: machine.parse().map_err(|_| Error::Broken(format!("not a machine id: {machine}")))?,
        state: JobState::from_name(&state).ok_or_else(|| Error::Broken(format!("unknown job state {state}")))?,
        cancel: cancel != 0,
    })
}

/// A new job, `queued`.
///
/// # Errors
/// See [`Error`].
pub async fn job_insert(connection: &mut Connection, machine: MachineId, spec: &JobSpec, at: Timestamp) -> Result<()> {
    sqlx::query(
        "insert into job (id, host_id, machine_id, kind, spec, state, cancel, created_at) \
         values ($1, $2, $3, $4, $5, 'queued', 0, $6)",
    )
    .bind(spec.id.to_string())
    .bind(spec.host.to_string())
    .bind(machine.to_string())
    .bind(spec.work.kind())
    .bind(serde_json::to_string(spec)?)
    .bind(at.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// How many rows one statement inserts or names.
const CHUNK: usize = 100;

/// New jobs of one machine, all `queued`.
///
/// # Errors
/// See [`Error`].
pub async fn job_insert_all(
    connection: &mut Connection,
    machine: MachineId,
    specs: &[JobSpec],
    at: Timestamp,
) -> Result<()> {
    for chunk in specs.chunks(CHUNK) {
        let rows: Vec<String> = (0..chunk.len())
            .map(|n| 4 * n + 3)
            .map(|n| format!("(${n}, ${}, $1, ${}, ${}, 'queued', 0, $2)", n + 1, n + 2, n + 3))
            .collect();
        let text = format!(
            "insert into job (id, host_id, machine_id, kind, spec, state, cancel, created_at) values {}",
            rows.join(", ")
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(machine.to_string()).bind(at.as_micros());
        for spec in chunk {
            query = query
                .bind(spec.id.to_string())
                .bind(spec.host.to_string())
                .bind(spec.work.kind())
                .bind(serde_json::to_string(spec)?);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// A job that an agent gave itself, running.
///
/// # Errors
/// See [`Error`].
pub async fn job_adopt(connection: &mut Connection, machine: MachineId, spec: &JobSpec, at: Timestamp) -> Result<()> {
    job_insert(connection, machine, spec, at).await?;
    sqlx::query("update job set state = 'running' where id = $1").bind(spec.id.to_string()).execute(connection).await?;
    Ok(())
}

/// How many scripts are on their way or running.
///
/// # Errors
/// See [`Error`].
pub async fn job_scripts(connection: &mut Connection) -> Result<u32> {
    let (count,): (i64,) = sqlx::query_as("select count(*) from job where kind = 'script' and finished_at is null")
        .fetch_one(connection)
        .await?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The job of that id.
///
/// # Errors
/// See [`Error`].
pub async fn job_find(connection: &mut Connection, id: JobId) -> Result<Option<Record>> {
    let row: Option<Row> = sqlx::query_as("select spec, machine_id, state, cancel from job where id = $1")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?;
    row.map(record_from).transpose()
}

/// Where a job stands and whose it is: what a report of it is judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The host that does it.
    pub host: HostId,
    /// Where it stands.
    pub state: JobState,
    /// The kind of machine that decided on it.
    pub kind: String,
    /// Which of that kind.
    pub subject: String,
}

/// The places of those of the jobs that are on record.
///
/// # Errors
/// See [`Error`].
pub async fn job_places(connection: &mut Connection, ids: &[JobId]) -> Result<HashMap<JobId, Place>> {
    let mut places = HashMap::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK) {
        let text = format!(
            "select job.id, job.host_id, job.state, machine.kind, machine.subject from job \
             join machine on machine.id = job.machine_id where job.id in ({})",
            numbered(1, chunk.len())
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(text));
        let query = chunk.iter().fold(query, |query, id| query.bind(id.to_string()));
        let rows: Vec<(String, String, String, String, String)> = query.fetch_all(&mut *connection).await?;
        for (id, host, state, kind, subject) in rows {
            let id = id.parse().map_err(|_| Error::Broken(format!("not a job id: {id}")))?;
            let state =
                JobState::from_name(&state).ok_or_else(|| Error::Broken(format!("unknown job state {state}")))?;
            places.insert(id, Place { host: super::host::parse_host(&host)?, state, kind, subject });
        }
    }
    Ok(places)
}

/// The jobs of a host that have no outcome, oldest first.
///
/// # Errors
/// See [`Error`].
pub async fn job_open(connection: &mut Connection, host: HostId) -> Result<Vec<Record>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select spec, machine_id, state, cancel from job \
         where host_id = $1 and state in ('queued', 'delivered', 'running') order by id",
    )
    .bind(host.to_string())
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(record_from).collect()
}

/// All jobs that have no outcome, oldest first.
///
/// # Errors
/// See [`Error`].
pub async fn job_all_open(connection: &mut Connection) -> Result<Vec<Record>> {
    let rows: Vec<Row> =
        sqlx::query_as("select spec, machine_id, state, cancel from job where finished_at is null order by id")
            .fetch_all(connection)
            .await?;
    rows.into_iter().map(record_from).collect()
}

/// How many jobs are on record in each state.
///
/// # Errors
/// See [`Error`].
pub async fn job_counts(connection: &mut Connection) -> Result<Vec<(String, i64)>> {
    Ok(sqlx::query_as("select state, count(*) from job group by state").fetch_all(connection).await?)
}

/// Moves a job on from the state in which it was found; an outcome ends it. `false` if it is not in that state any more:
/// another manager took another report of it meanwhile.
///
/// # Errors
/// See [`Error`].
pub async fn job_update(
    connection: &mut Connection,
    id: JobId,
    from: JobState,
    to: JobState,
    outcome: Option<&Outcome>,
    at: Timestamp,
) -> Result<bool> {
    let finished_at = to.is_final().then(|| at.as_micros());
    let done = sqlx::query("update job set state = $3, outcome = $4, finished_at = $5 where id = $1 and state = $2")
        .bind(id.to_string())
        .bind(from.name())
        .bind(to.name())
        .bind(outcome.map(summary_of).transpose()?)
        .bind(finished_at)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Moves jobs that have not ended from one state to another. `false` if one of them is not in that state any more.
///
/// # Errors
/// See [`Error`].
pub async fn job_update_all(connection: &mut Connection, ids: &[JobId], from: JobState, to: JobState) -> Result<bool> {
    let mut moved = 0;
    for chunk in ids.chunks(CHUNK) {
        let text = format!("update job set state = $2 where state = $1 and id in ({})", numbered(3, chunk.len()));
        let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(from.name()).bind(to.name());
        let query = chunk.iter().fold(query, |query, id| query.bind(id.to_string()));
        moved += query.execute(&mut *connection).await?.rows_affected();
    }
    Ok(moved == ids.len() as u64)
}

/// How an outcome is kept: without the output, which is a document that the machine of the job stores in its own place.
fn summary_of(outcome: &Outcome) -> Result<String> {
    Ok(serde_json::to_string(&serde_json::json!({
        "exit_code": outcome.exit_code,
        "signal": outcome.signal,
        "reason": outcome.reason,
        "stdout_bytes": outcome.stdout.total,
        "stderr": String::from_utf8_lossy(&outcome.stderr.head),
    }))?)
}

/// Marks a job as one to be ended and returns its host, which is told so: even a job that is `queued` may have reached the
/// agent already. `None` if it has its outcome.
///
/// # Errors
/// See [`Error`].
pub async fn job_cancel(connection: &mut Connection, id: JobId) -> Result<Option<HostId>> {
    let row: Option<(String,)> = sqlx::query_as(
        "update job set cancel = 1 where id = $1 and state in ('queued', 'delivered', 'running') returning host_id",
    )
    .bind(id.to_string())
    .fetch_optional(connection)
    .await?;
    row.map(|(host,)| super::host::parse_host(&host)).transpose()
}

/// Removes the record of a job that has its outcome.
///
/// # Errors
/// See [`Error`].
pub async fn job_forget(connection: &mut Connection, id: JobId) -> Result<()> {
    sqlx::query("delete from job where id = $1 and finished_at is not null")
        .bind(id.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// Marks the open jobs that the machine of that kind has on a host as ones to be ended; returns whether there are any.
///
/// # Errors
/// See [`Error`].
pub async fn job_yield(connection: &mut Connection, host: HostId, kind: &str) -> Result<bool> {
    let done = sqlx::query(
        "update job set cancel = 1 where host_id = $1 and finished_at is null and cancel = 0 \
         and machine_id in (select id from machine where kind = $2 and subject = $1)",
    )
    .bind(host.to_string())
    .bind(kind)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// How many probes run on hosts that are connected, and how many hosts count as the fleet. Until its transaction ends, no
/// other one gets an answer, so that two never take the same last place.
///
/// # Errors
/// See [`Error`].
pub async fn job_probes(connection: &mut Connection) -> Result<(u64, u64)> {
    super::tx::next_number(connection, "probe").await?;
    let (running, hosts): (i64, i64) = sqlx::query_as(
        "select (select count(*) from job join host on host.id = job.host_id where job.finished_at is null \
         and job.kind = 'introspect' and host.agent_state = 'online'), \
         (select count(*) from host where agent_state <> 'revoked')",
    )
    .fetch_one(connection)
    .await?;
    Ok((u64::try_from(running).unwrap_or(0), u64::try_from(hosts).unwrap_or(0)))
}

/// Removes at most `limit` finished jobs from before `until`, the oldest first; returns how many.
///
/// # Errors
/// See [`Error`].
pub async fn job_prune(connection: &mut Connection, until: Timestamp, limit: u32) -> Result<u64> {
    let text = "delete from job where id in (select id from job where finished_at < $1 order by finished_at limit $2)";
    let done = sqlx::query(text).bind(until.as_micros()).bind(i64::from(limit)).execute(connection).await?;
    Ok(done.rows_affected())
}
