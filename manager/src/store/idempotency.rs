//! What was done under which `Idempotency-Key` (spec/introspection.md §1.8): a repeated request is answered and not done
//! again, by any manager on this store.

use hostler_common::time::Timestamp;

use super::tx::{Connection, Result};

/// A remembered request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The hash of what was asked for.
    pub request: String,
    /// What came of it, as its dialect writes it.
    pub outcome: String,
}

/// The entry of a key, unless it is from before `since`.
///
/// # Errors
/// See [`super::Error`].
pub async fn key_find(connection: &mut Connection, key: &str, since: Timestamp) -> Result<Option<Entry>> {
    let row: Option<(String, String)> =
        sqlx::query_as("select request, outcome from idempotency_key where id = $1 and at >= $2")
            .bind(key)
            .bind(since.as_micros())
            .fetch_optional(connection)
            .await?;
    Ok(row.map(|(request, outcome)| Entry { request, outcome }))
}

/// Remembers a request, and forgets all from before `since`. Of two with one key the first stays.
///
/// # Errors
/// See [`super::Error`].
pub async fn key_insert(
    connection: &mut Connection,
    key: &str,
    entry: &Entry,
    at: Timestamp,
    since: Timestamp,
) -> Result<()> {
    sqlx::query("delete from idempotency_key where at < $1").bind(since.as_micros()).execute(&mut *connection).await?;
    sqlx::query(
        "insert into idempotency_key (id, request, outcome, at) values ($1, $2, $3, $4) on conflict (id) do nothing",
    )
    .bind(key)
    .bind(&entry.request)
    .bind(&entry.outcome)
    .bind(at.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}
