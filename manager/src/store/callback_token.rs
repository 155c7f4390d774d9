//! Tokens with which data of one host may be delivered to `POST /v1/continue` (spec/introspection.md §1.7.8).

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;

use super::host::parse_host;
use super::tx::{Connection, Result};

/// Stores the hash of the token of a host, in the place of the one that it had.
///
/// # Errors
/// See [`super::Error`].
pub async fn callback_token_put(
    connection: &mut Connection,
    host: HostId,
    hash: &str,
    expires_at: Timestamp,
) -> Result<()> {
    sqlx::query(
        "insert into callback_token (host_id, hash, expires_at) values ($1, $2, $3) \
         on conflict (host_id) do update set hash = excluded.hash, expires_at = excluded.expires_at",
    )
    .bind(host.to_string())
    .bind(hash)
    .bind(expires_at.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// The host whose token has that hash and counts at `now`.
///
/// # Errors
/// See [`super::Error`].
pub async fn callback_token_find(connection: &mut Connection, hash: &str, now: Timestamp) -> Result<Option<HostId>> {
    let row: Option<(String,)> =
        sqlx::query_as("select host_id from callback_token where hash = $1 and expires_at > $2")
            .bind(hash)
            .bind(now.as_micros())
            .fetch_optional(connection)
            .await?;
    row.map(|(host,)| parse_host(&host)).transpose()
}
