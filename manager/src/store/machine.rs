//! Machines and their timers.

use hostler_common::id::{MachineId, TaskId};
use hostler_common::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::tx::{Connection, Error, Result};

/// A stored machine.
#[derive(Clone, Debug)]
pub struct Record<M> {
    /// Its identity.
    pub id: MachineId,
    /// How often it was written; a write that expects another version fails.
    pub version: i64,
    /// The task by which people follow it now.
    pub task: Option<TaskId>,
    /// Its state.
    pub machine: M,
}

type Row = (String, i64, Option<i64>, String);

/// The machine of that kind that is about `subject`.
///
/// # Errors
/// See [`Error`].
pub async fn machine_find<M: DeserializeOwned>(
    connection: &mut Connection,
    kind: &str,
    subject: &str,
) -> Result<Option<Record<M>>> {
    let row: Option<Row> =
        sqlx::query_as("select id, version, task, document from machine where kind = $1 and subject = $2")
            .bind(kind)
            .bind(subject)
            .fetch_optional(connection)
            .await?;
    row.map(record_from).transpose()
}

/// The machine of that kind that is about `subject`, and nobody else's until the transaction ends: many agents may report to
/// several managers about one machine at once, and each of them is to get its turn.
///
/// # Errors
/// See [`Error`].
pub async fn machine_take<M: DeserializeOwned>(
    connection: &mut Connection,
    kind: &str,
    subject: &str,
) -> Result<Option<Record<M>>> {
    let row: Option<Row> = sqlx::query_as(
        "update machine set updated_at = updated_at where kind = $1 and subject = $2 \
         returning id, version, task, document",
    )
    .bind(kind)
    .bind(subject)
    .fetch_optional(connection)
    .await?;
    row.map(record_from).transpose()
}

/// The kind and the subject of a machine.
///
/// # Errors
/// See [`Error`].
pub async fn machine_subject(connection: &mut Connection, id: MachineId) -> Result<Option<(String, String)>> {
    Ok(sqlx::query_as("select kind, subject from machine where id = $1")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?)
}

fn record_from<M: DeserializeOwned>((id, version, task, document): Row) -> Result<Record<M>> {
    Ok(Record {
        id: id.parse().map_err(|_| Error::Broken(format!("not a machine id: {id}")))?,
        version,
        task: task.map(TaskId),
        machine: serde_json::from_str(&document)?,
    })
}

/// A new machine, at version 1.
///
/// # Errors
/// [`Error::Moved`] if somebody else made it meanwhile; see [`Error`].
pub async fn machine_insert<M: Serialize>(
    connection: &mut Connection,
    id: MachineId,
    kind: &str,
    subject: &str,
    machine: &M,
    at: Timestamp,
) -> Result<()> {
    sqlx::query(
        "insert into machine (id, kind, subject, version, document, updated_at) values ($1, $2, $3, 1, $4, $5)",
    )
    .bind(id.to_string())
    .bind(kind)
    .bind(subject)
    .bind(serde_json::to_string(machine)?)
    .bind(at.as_micros())
    .execute(connection)
    .await
    .map_err(|error| match Error::from(error) {
        Error::Exists(_) => Error::Moved,
        other => other,
    })?;
    Ok(())
}

/// Writes the next state over the version that it was decided from.
///
/// # Errors
/// [`Error::Moved`] if that is not the current version any more; see [`Error`].
pub async fn machine_update<M: Serialize>(
    connection: &mut Connection,
    record: &Record<M>,
    at: Timestamp,
) -> Result<()> {
    let done = sqlx::query(
        "update machine set version = version + 1, task = $3, document = $4, updated_at = $5 \
         where id = $1 and version = $2",
    )
    .bind(record.id.to_string())
    .bind(record.version)
    .bind(record.task.map(|task| task.0))
    .bind(serde_json::to_string(&record.machine)?)
    .bind(at.as_micros())
    .execute(connection)
    .await?;
    if done.rows_affected() == 0 { Err(Error::Moved) } else { Ok(()) }
}

/// Sets a timer, or moves it.
///
/// # Errors
/// See [`Error`].
pub async fn timer_set(connection: &mut Connection, machine: MachineId, name: &str, due_at: Timestamp) -> Result<()> {
    sqlx::query(
        "insert into timer (machine_id, name, due_at) values ($1, $2, $3) \
         on conflict (machine_id, name) do update set due_at = excluded.due_at",
    )
    .bind(machine.to_string())
    .bind(name)
    .bind(due_at.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes a timer back; `due_at` restricts that to a timer that was not moved since. Returns whether there was one.
///
/// # Errors
/// See [`Error`].
pub async fn timer_clear(
    connection: &mut Connection,
    machine: MachineId,
    name: &str,
    due_at: Option<Timestamp>,
) -> Result<bool> {
    let done = sqlx::query("delete from timer where machine_id = $1 and name = $2 and ($3 = -1 or due_at = $3)")
        .bind(machine.to_string())
        .bind(name)
        .bind(due_at.map_or(-1, Timestamp::as_micros))
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// A timer that is due, or will be.
#[derive(Clone, Debug)]
pub struct Timer {
    /// Whose.
    pub machine: MachineId,
    /// Its name.
    pub name: String,
    /// When it is due.
    pub due_at: Timestamp,
}

/// The timers that come due next, the earliest first.
///
/// # Errors
/// See [`Error`].
pub async fn timer_next(connection: &mut Connection, limit: u32) -> Result<Vec<Timer>> {
    let rows: Vec<(String, String, i64)> =
        sqlx::query_as("select machine_id, name, due_at from timer order by due_at limit $1")
            .bind(i64::from(limit))
            .fetch_all(connection)
            .await?;
    rows.into_iter()
        .map(|(machine, name, due_at)| {
            let machine = machine.parse().map_err(|_| Error::Broken(format!("not a machine id: {machine}")))?;
            Ok(Timer { machine, name, due_at: Timestamp::from_micros(due_at) })
        })
        .collect()
}

/// Brings a timer of all machines of a subject forward to `at`, where it would come due later.
///
/// # Errors
/// See [`Error`].
pub async fn timer_hurry(connection: &mut Connection, subject: &str, name: &str, at: Timestamp) -> Result<()> {
    sqlx::query(
        "update timer set due_at = $3 where name = $2 and due_at > $3 \
         and machine_id in (select id from machine where subject = $1)",
    )
    .bind(subject)
    .bind(name)
    .bind(at.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// Hosts that have no machine of that kind.
///
/// # Errors
/// See [`Error`].
pub async fn machine_missing(connection: &mut Connection, kind: &str, limit: u32) -> Result<Vec<String>> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "select id from host where not exists (select 1 from machine where kind = $1 and subject = host.id) limit $2",
    )
    .bind(kind)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}
