//! The history of inventories: a document is kept where it differs from the one before (spec/introspection.md §6.4).

use hostler_common::id::{HostId, InventoryId};
use hostler_common::time::Timestamp;
use serde_json::Value;

use super::host::parse_host;
use super::tx::{Connection, Error, Result};

/// What lists show of a stored inventory.
#[derive(Clone, Debug)]
pub struct Info {
    /// Its identity.
    pub id: InventoryId,
    /// Whose.
    pub host: HostId,
    /// When it was stored.
    pub collected_at: Timestamp,
    /// SHA-256 of the canonical form, hexadecimal.
    pub hash: String,
    /// Bytes of the processed document.
    pub size: i64,
    /// Name of each section and its status.
    pub sections: Value,
}

/// What is stored.
#[derive(Clone, Debug)]
pub struct NewInventory<'a> {
    /// Its identity.
    pub id: InventoryId,
    /// Whose.
    pub host: HostId,
    /// SHA-256 of the canonical form, hexadecimal.
    pub hash: &'a str,
    /// Name of each section and its status.
    pub sections: &'a Value,
    /// The processed document.
    pub processed: &'a str,
    /// The document as it came.
    pub unprocessed: &'a str,
}

/// Stores an inventory and drops the oldest of the host beyond `keep`.
///
/// # Errors
/// See [`Error`].
pub async fn inventory_insert(
    connection: &mut Connection,
    new: &NewInventory<'_>,
    keep: u32,
    at: Timestamp,
) -> Result<()> {
    sqlx::query(
        "insert into inventory (id, host_id, collected_at, hash, size, sections, processed, unprocessed) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(new.id.to_string())
    .bind(new.host.to_string())
    .bind(at.as_micros())
    .bind(new.hash)
    .bind(i64::try_from(new.processed.len()).unwrap_or(i64::MAX))
    .bind(new.sections.to_string())
    .bind(new.processed)
    .bind(new.unprocessed)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "delete from inventory where host_id = $1 and id not in \
         (select id from inventory where host_id = $1 order by collected_at desc, id desc limit $2)",
    )
    .bind(new.host.to_string())
    .bind(i64::from(keep))
    .execute(connection)
    .await?;
    Ok(())
}

/// Inventories of a host, newest first, older than the one with id `before`.
///
/// # Errors
/// See [`Error`].
pub async fn inventory_list(
    connection: &mut Connection,
    host: HostId,
    before: Option<InventoryId>,
    limit: u32,
) -> Result<Vec<Info>> {
    type Row = (String, String, i64, String, i64, String);
    // Ids are UUIDs of version 7: their order is that of time.
    let before = before.map(|id| id.to_string()).unwrap_or_default();
    let rows: Vec<Row> = sqlx::query_as(
        "select id, host_id, collected_at, hash, size, sections from inventory where host_id = $1 and ($2 = '' or id < $2) \
         order by id desc limit $3",
    )
    .bind(host.to_string())
    .bind(before)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|(id, host, collected_at, hash, size, sections)| {
            Ok(Info {
                id: id.parse().map_err(|_| Error::Broken(format!("not an inventory id: {id}")))?,
                host: parse_host(&host)?,
                collected_at: Timestamp::from_micros(collected_at),
                hash,
                size,
                sections: serde_json::from_str(&sections)?,
            })
        })
        .collect()
}

/// The processed and the unprocessed document of an inventory.
///
/// # Errors
/// See [`Error`].
pub async fn inventory_documents(
    connection: &mut Connection,
    host: HostId,
    id: InventoryId,
) -> Result<Option<(String, String)>> {
    Ok(sqlx::query_as("select processed, unprocessed from inventory where id = $1 and host_id = $2")
        .bind(id.to_string())
        .bind(host.to_string())
        .fetch_optional(connection)
        .await?)
}

/// The newest inventory of a host, whole.
#[derive(Clone, Debug)]
pub struct Newest {
    /// Its identity.
    pub id: InventoryId,
    /// SHA-256 of the canonical form, hexadecimal.
    pub hash: String,
    /// The processed document.
    pub processed: String,
    /// The document as it came.
    pub unprocessed: String,
}

/// Whether a host has an inventory.
///
/// # Errors
/// See [`Error`].
pub async fn inventory_exists(connection: &mut Connection, host: HostId) -> Result<bool> {
    let found: Option<(i64,)> = sqlx::query_as("select 1 from inventory where host_id = $1 limit 1")
        .bind(host.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}

/// The newest inventory of a host.
///
/// # Errors
/// See [`Error`].
pub async fn inventory_newest(connection: &mut Connection, host: HostId) -> Result<Option<Newest>> {
    let row: Option<(String, String, String, String)> = sqlx::query_as(
        "select id, hash, processed, unprocessed from inventory where host_id = $1 order by id desc limit 1",
    )
    .bind(host.to_string())
    .fetch_optional(connection)
    .await?;
    row.map(|(id, hash, processed, unprocessed)| {
        let id = id.parse().map_err(|_| Error::Broken(format!("not an inventory id: {id}")))?;
        Ok(Newest { id, hash, processed, unprocessed })
    })
    .transpose()
}

/// Writes newer measured values into an inventory that says the same otherwise.
///
/// # Errors
/// See [`Error`].
pub async fn inventory_renew(
    connection: &mut Connection,
    id: InventoryId,
    sections: &Value,
    processed: &str,
    unprocessed: &str,
) -> Result<()> {
    sqlx::query("update inventory set size = $2, sections = $3, processed = $4, unprocessed = $5 where id = $1")
        .bind(id.to_string())
        .bind(i64::try_from(processed.len()).unwrap_or(i64::MAX))
        .bind(sections.to_string())
        .bind(processed)
        .bind(unprocessed)
        .execute(connection)
        .await?;
    Ok(())
}

/// What one inventory says that the one before did not.
#[derive(Clone, Debug)]
pub struct Delta {
    /// The newer inventory; the document itself may be gone.
    pub inventory: InventoryId,
    /// When it was stored.
    pub at: Timestamp,
    /// The greatest severity of the changes: `info`, `warning` or `alarm`.
    pub severity: String,
    /// The changes, a list of them as [`hostler_core::introspection::diff::Change`] is written.
    pub changes: Value,
}

/// Stores what an inventory changed.
///
/// # Errors
/// See [`Error`].
pub async fn delta_insert(connection: &mut Connection, host: HostId, delta: &Delta) -> Result<()> {
    sqlx::query(
        "insert into inventory_change (inventory_id, host_id, at, severity, changes) values ($1, $2, $3, $4, $5)",
    )
    .bind(delta.inventory.to_string())
    .bind(host.to_string())
    .bind(delta.at.as_micros())
    .bind(&delta.severity)
    .bind(delta.changes.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

/// What inventories of a host changed, newest first, older than that of `before`.
///
/// # Errors
/// See [`Error`].
pub async fn delta_list(
    connection: &mut Connection,
    host: HostId,
    before: Option<InventoryId>,
    limit: u32,
) -> Result<Vec<Delta>> {
    let rows: Vec<(String, i64, String, String)> = sqlx::query_as(
        "select inventory_id, at, severity, changes from inventory_change \
         where host_id = $1 and ($2 = '' or inventory_id < $2) order by inventory_id desc limit $3",
    )
    .bind(host.to_string())
    .bind(before.map(|id| id.to_string()).unwrap_or_default())
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    let read = |(id, at, severity, changes): (String, i64, String, String)| {
        let inventory = id.parse().map_err(|_| Error::Broken(format!("not an inventory id: {id}")))?;
        Ok(Delta { inventory, at: Timestamp::from_micros(at), severity, changes: serde_json::from_str(&changes)? })
    };
    rows.into_iter().map(read).collect()
}

/// Removes at most `limit` records of changes from before `until`, the oldest first; returns how many.
///
/// # Errors
/// See [`Error`].
pub async fn delta_prune(connection: &mut Connection, until: Timestamp, limit: u32) -> Result<u64> {
    let text = "delete from inventory_change where inventory_id in \
                (select inventory_id from inventory_change where at < $1 order by at limit $2)";
    let done = sqlx::query(text).bind(until.as_micros()).bind(i64::from(limit)).execute(connection).await?;
    Ok(done.rows_affected())
}
