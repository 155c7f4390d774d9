//! The records of introspections as lists need them, and the stored documents (spec/introspection.md §1.7).

use std::collections::HashMap;

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use hostler_core::introspection::Introspection;
use hostler_core::introspection::state::State;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::dialect::storable;
use super::host::parse_host;
use super::tx::{Connection, Error, Result};

/// The record of one host's last run.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Whose.
    pub host: HostId,
    /// Where it stands.
    pub state: State,
    /// When the run was asked for.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it did not end as it should.
    pub error: Option<String>,
}

type Row = (String, String, i64, Option<i64>, Option<String>);

fn status_from((host, state, started_at, finished_at, error): Row) -> Result<Status> {
    Ok(Status {
        host: parse_host(&host)?,
        state: State::from_name(&state).ok_or_else(|| Error::Broken(format!("unknown state {state}")))?,
        started_at: Timestamp::from_micros(started_at),
        finished_at: finished_at.map(Timestamp::from_micros),
        error,
    })
}

/// Writes the record of a machine that had at least one run.
///
/// # Errors
/// See [`Error`].
pub async fn status_put(connection: &mut Connection, machine: &Introspection) -> Result<()> {
    sqlx::query(
        "insert into introspection (host_id, state, started_at, finished_at, error) values ($1, $2, $3, $4, $5) \
         on conflict (host_id) do update set state = excluded.state, started_at = excluded.started_at, \
         finished_at = excluded.finished_at, error = excluded.error",
    )
    .bind(machine.host.to_string())
    .bind(machine.state.name())
    .bind(machine.started_at.as_micros())
    .bind(machine.finished_at.map(Timestamp::as_micros))
    .bind(machine.error.as_deref().map(storable))
    .execute(connection)
    .await?;
    Ok(())
}

/// The record of a host.
///
/// # Errors
/// See [`Error`].
pub async fn status_find(connection: &mut Connection, host: HostId) -> Result<Option<Status>> {
    let row: Option<Row> =
        sqlx::query_as("select host_id, state, started_at, finished_at, error from introspection where host_id = $1")
            .bind(host.to_string())
            .fetch_optional(connection)
            .await?;
    row.map(status_from).transpose()
}

/// The records of all hosts with numbers from `first` to `last`, which is what a page of hosts is.
///
/// # Errors
/// See [`Error`].
pub async fn status_of_numbers(connection: &mut Connection, first: i64, last: i64) -> Result<HashMap<HostId, Status>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select host_id, state, started_at, finished_at, error from introspection \
         where host_id in (select id from host where number between $1 and $2)",
    )
    .bind(first)
    .bind(last)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| status_from(row).map(|status| (status.host, status))).collect()
}

/// Where a page of the list begins: after the record with this start time and host.
pub type Position = (Timestamp, HostId);

/// Records by `started_at` descending, then by host descending, after `position`; only those in one of `states`, if any
/// are given.
///
/// # Errors
/// See [`Error`].
pub async fn status_list(
    connection: &mut Connection,
    position: Option<Position>,
    states: &[State],
    limit: u32,
) -> Result<Vec<Status>> {
    let (at, host) = match position {
        Some((at, host)) => (at.as_micros(), host.to_string()),
        None => (i64::MAX, String::new()),
    };
    let names: Vec<&str> =
        if states.is_empty() { Vec::new() } else { states.iter().map(|state| state.name()).collect() };
    // The names are ours, not the caller's; a comma list with a separator at both ends needs no operator of one engine.
    let wanted = if names.is_empty() { String::new() } else { format!(",{},", names.join(",")) };
    let rows: Vec<Row> = sqlx::query_as(
        "select host_id, state, started_at, finished_at, error from introspection \
         where (started_at < $1 or (started_at = $1 and host_id < $2)) \
         and ($3 = '' or $3 like '%,' || state || ',%') order by started_at desc, host_id desc limit $4",
    )
    .bind(at)
    .bind(host)
    .bind(wanted)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(status_from).collect()
}

/// Which of the two documents of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKind {
    /// As it came.
    Unprocessed,
    /// After the hooks.
    Processed,
}

impl DataKind {
    fn name(self) -> &'static str {
        match self {
            Self::Unprocessed => "unprocessed",
            Self::Processed => "processed",
        }
    }
}

/// A stored document.
#[derive(Clone, Debug)]
pub struct Document {
    /// The JSON text.
    pub text: String,
    /// The SHA-256 of the text, hexadecimal.
    pub etag: String,
    /// When it was stored.
    pub stored_at: Timestamp,
}

/// Stores a document over the one before.
///
/// # Errors
/// See [`Error`].
pub async fn data_put(
    connection: &mut Connection,
    host: HostId,
    kind: DataKind,
    document: &Value,
    at: Timestamp,
) -> Result<()> {
    let text = serde_json::to_string(document)?;
    let etag = hex::encode(Sha256::digest(text.as_bytes()));
    sqlx::query(
        "insert into introspection_data (host_id, kind, document, etag, stored_at) values ($1, $2, $3, $4, $5) \
         on conflict (host_id, kind) do update set document = excluded.document, etag = excluded.etag, \
         stored_at = excluded.stored_at",
    )
    .bind(host.to_string())
    .bind(kind.name())
    .bind(text)
    .bind(etag)
    .bind(at.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// A stored document.
///
/// # Errors
/// See [`Error`].
pub async fn data_find(connection: &mut Connection, host: HostId, kind: DataKind) -> Result<Option<Document>> {
    let row: Option<(String, String, i64)> =
        sqlx::query_as("select document, etag, stored_at from introspection_data where host_id = $1 and kind = $2")
            .bind(host.to_string())
            .bind(kind.name())
            .fetch_optional(connection)
            .await?;
    Ok(row.map(|(text, etag, stored_at)| Document { text, etag, stored_at: Timestamp::from_micros(stored_at) }))
}

/// The digest of the last processed document of every host that has one.
///
/// # Errors
/// See [`Error`].
pub async fn data_etags(connection: &mut Connection) -> Result<std::collections::HashMap<HostId, String>> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("select host_id, etag from introspection_data where kind = 'processed'")
            .fetch_all(connection)
            .await?;
    rows.into_iter().map(|(host, etag)| Ok((parse_host(&host)?, etag))).collect()
}
