//! Data that are held back, as they are of another machine than the host was (spec/introspection.md §6.1).

use std::collections::HashMap;

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use hostler_core::introspection::summary::Identity;
use serde_json::Value;

use super::host::parse_host;
use super::tx::{Connection, Result};

/// What is known of held data without the document.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldInfo {
    /// What the host was known as.
    pub known: Identity,
    /// What the data say.
    pub found: Identity,
    /// Since when they are held.
    pub held_at: Timestamp,
}

/// Keeps a document aside; it takes the place of one that is held already.
///
/// # Errors
/// See [`super::Error`].
pub async fn held_put(connection: &mut Connection, host: HostId, info: &HeldInfo, document: &Value) -> Result<()> {
    sqlx::query(
        "insert into held_data (host_id, known, found, document, held_at) values ($1, $2, $3, $4, $5) \
         on conflict (host_id) do update set known = excluded.known, found = excluded.found, \
         document = excluded.document, held_at = excluded.held_at",
    )
    .bind(host.to_string())
    .bind(serde_json::to_string(&info.known)?)
    .bind(serde_json::to_string(&info.found)?)
    .bind(document.to_string())
    .bind(info.held_at.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

type Row = (String, String, String, i64);

fn info_from((host, known, found, held_at): Row) -> Result<(HostId, HeldInfo)> {
    let (known, found) = (serde_json::from_str(&known)?, serde_json::from_str(&found)?);
    Ok((parse_host(&host)?, HeldInfo { known, found, held_at: Timestamp::from_micros(held_at) }))
}

/// What is held back of a host.
///
/// # Errors
/// See [`super::Error`].
pub async fn held_find(connection: &mut Connection, host: HostId) -> Result<Option<HeldInfo>> {
    let row: Option<Row> = sqlx::query_as("select host_id, known, found, held_at from held_data where host_id = $1")
        .bind(host.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(row.map(info_from).transpose()?.map(|(_, info)| info))
}

/// What is held back of all hosts with numbers from `first` to `last`, which is what a page of hosts is.
///
/// # Errors
/// See [`super::Error`].
pub async fn held_of_numbers(connection: &mut Connection, first: i64, last: i64) -> Result<HashMap<HostId, HeldInfo>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select host_id, known, found, held_at from held_data \
         where host_id in (select id from host where number between $1 and $2)",
    )
    .bind(first)
    .bind(last)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(info_from).collect()
}

/// The document that is held back of a host.
///
/// # Errors
/// See [`super::Error`].
pub async fn held_document(connection: &mut Connection, host: HostId) -> Result<Option<Value>> {
    let row: Option<(String,)> = sqlx::query_as("select document from held_data where host_id = $1")
        .bind(host.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|(text,)| serde_json::from_str(&text)).transpose()?)
}

/// Drops what is held back of a host; returns whether there was anything.
///
/// # Errors
/// See [`super::Error`].
pub async fn held_delete(connection: &mut Connection, host: HostId) -> Result<bool> {
    let done =
        sqlx::query("delete from held_data where host_id = $1").bind(host.to_string()).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}
