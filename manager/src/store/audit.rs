//! The audit trail: a row per call that could change something (spec/hooks.md §7.12).

use hostler_common::time::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::dialect::storable;
use super::tx::{Connection, Result, next_number};

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number; rises with each.
    pub id: i64,
    /// When it was answered.
    pub at: Timestamp,
    /// What it is about: a word of the path.
    pub category: String,
    /// What was done, for people.
    pub operation: String,
    /// Who called; empty where nobody is known.
    pub username: String,
    /// Where the call came from.
    pub ip: Option<String>,
    /// The method.
    pub method: String,
    /// The status of the answer.
    pub status: u16,
    /// The path.
    pub endpoint: String,
    /// What stood behind the question mark, without secrets.
    pub query_params: String,
    /// The body without secrets; `None` if there was none.
    pub body: Option<String>,
    /// The id of the request.
    pub request_id: String,
    /// Whether a script of a hook called: such calls make no hooks run.
    pub from_hook: bool,
}

fn entry_from(row: &AnyRow) -> Result<Entry> {
    Ok(Entry {
        id: row.try_get("id")?,
        at: Timestamp::from_micros(row.try_get("at")?),
        category: row.try_get("category")?,
        operation: row.try_get("operation")?,
        username: row.try_get("username")?,
        ip: row.try_get("ip")?,
        method: row.try_get("method")?,
        status: u16::try_from(row.try_get::<i64, _>("status")?).unwrap_or(0),
        endpoint: row.try_get("endpoint")?,
        query_params: row.try_get("query_params")?,
        body: row.try_get("body")?,
        request_id: row.try_get("request_id")?,
        from_hook: row.try_get::<i64, _>("from_hook")? != 0,
    })
}

/// Appends an entry and returns its number; that of `entry` does not count.
///
/// # Errors
/// See [`super::Error`].
pub async fn audit_insert(connection: &mut Connection, entry: &Entry) -> Result<i64> {
    let id = next_number(connection, "audit").await?;
    sqlx::query(
        "insert into audit (id, at, category, operation, username, ip, method, status, endpoint, query_params, body, \
         request_id, from_hook) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(id)
    .bind(entry.at.as_micros())
    .bind(&entry.category)
    .bind(&entry.operation)
    .bind(storable(&entry.username))
    .bind(entry.ip.clone())
    .bind(&entry.method)
    .bind(i64::from(entry.status))
    .bind(storable(&entry.endpoint))
    .bind(storable(&entry.query_params))
    .bind(entry.body.as_deref().map(storable))
    .bind(&entry.request_id)
    .bind(i64::from(entry.from_hook))
    .execute(connection)
    .await?;
    Ok(id)
}

/// Entries, newest first.
///
/// # Errors
/// See [`super::Error`].
pub async fn audit_list(connection: &mut Connection, offset: u32, limit: u32) -> Result<Vec<Entry>> {
    let rows = sqlx::query("select * from audit order by id desc limit $1 offset $2")
        .bind(i64::from(limit))
        .bind(i64::from(offset))
        .fetch_all(connection)
        .await?;
    rows.iter().map(entry_from).collect()
}

/// The entry of that number.
///
/// # Errors
/// See [`super::Error`].
pub async fn audit_find(connection: &mut Connection, id: i64) -> Result<Option<Entry>> {
    let row = sqlx::query("select * from audit where id = $1").bind(id).fetch_optional(connection).await?;
    row.as_ref().map(entry_from).transpose()
}

/// Removes at most `limit` entries from before `until`, the oldest first; returns how many.
///
/// # Errors
/// See [`super::Error`].
pub async fn audit_prune(connection: &mut Connection, until: Timestamp, limit: u32) -> Result<u64> {
    let text = "delete from audit where id in (select id from audit where at < $1 order by at limit $2)";
    let done = sqlx::query(text).bind(until.as_micros()).bind(i64::from(limit)).execute(connection).await?;
    Ok(done.rows_affected())
}
