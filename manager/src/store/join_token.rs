//! Join tokens and the certificates that hosts got (design §5).

use hostler_common::id::{HostId, JoinTokenId};
use hostler_common::time::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::host::parse_host;
use super::tx::{Connection, Error, Result};

/// A join token, without its secret.
#[derive(Clone, Debug)]
pub struct JoinToken {
    /// Its identity.
    pub id: JoinTokenId,
    /// SHA-256 of the secret, hexadecimal.
    pub secret_hash: String,
    /// Free text.
    pub description: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// Until when it can be used.
    pub expires_at: Timestamp,
    /// How often it can be used; 0 means any number of times.
    pub uses: i64,
    /// How often it was used.
    pub used: i64,
    /// Names that hosts may take with it; empty means any.
    pub names: Vec<String>,
    /// Networks (CIDR) from which it can be used; empty means any.
    pub networks: Vec<String>,
    /// Roles that its hosts get.
    pub roles: Vec<String>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl JoinToken {
    /// `active`, `expired`, `used` or `revoked`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> &'static str {
        if self.revoked_at.is_some() {
            "revoked"
        } else if self.uses > 0 && self.used >= self.uses {
            "used"
        } else if now >= self.expires_at {
            "expired"
        } else {
            "active"
        }
    }
}

fn token_from(row: &AnyRow) -> Result<JoinToken> {
    let id: String = row.try_get("id")?;
    Ok(JoinToken {
        id: id.parse().map_err(|_| Error::Broken(format!("not a join token id: {id}")))?,
        secret_hash: row.try_get("secret_hash")?,
        description: row.try_get("description")?,
        created_at: Timestamp::from_micros(row.try_get("created_at")?),
        created_by: row.try_get("created_by")?,
        expires_at: Timestamp::from_micros(row.try_get("expires_at")?),
        uses: row.try_get("uses")?,
        used: row.try_get("used")?,
        names: serde_json::from_str(row.try_get("names")?)?,
        networks: serde_json::from_str(row.try_get("networks")?)?,
        roles: serde_json::from_str(row.try_get("roles")?)?,
        revoked_at: row.try_get::<Option<i64>, _>("revoked_at")?.map(Timestamp::from_micros),
    })
}

/// Stores a new token.
///
/// # Errors
/// See [`Error`].
pub async fn join_token_insert(connection: &mut Connection, token: &JoinToken) -> Result<()> {
    sqlx::query(
        "insert into join_token (id, secret_hash, description, created_at, created_by, expires_at, uses, used, names, \
         networks, roles) values ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, $10)",
    )
    .bind(token.id.to_string())
    .bind(&token.secret_hash)
    .bind(token.description.clone())
    .bind(token.created_at.as_micros())
    .bind(&token.created_by)
    .bind(token.expires_at.as_micros())
    .bind(token.uses)
    .bind(serde_json::to_string(&token.names)?)
    .bind(serde_json::to_string(&token.networks)?)
    .bind(serde_json::to_string(&token.roles)?)
    .execute(connection)
    .await?;
    Ok(())
}

/// The token of that id.
///
/// # Errors
/// See [`Error`].
pub async fn join_token_find(connection: &mut Connection, id: JoinTokenId) -> Result<Option<JoinToken>> {
    let row =
        sqlx::query("select * from join_token where id = $1").bind(id.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(token_from).transpose()
}

/// Tokens, newest first, older than the one with id `before`.
///
/// # Errors
/// See [`Error`].
pub async fn join_token_list(
    connection: &mut Connection,
    before: Option<JoinTokenId>,
    limit: u32,
) -> Result<Vec<JoinToken>> {
    let before = before.map(|id| id.to_string()).unwrap_or_default();
    let rows = sqlx::query("select * from join_token where $1 = '' or id < $1 order by id desc limit $2")
        .bind(before)
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(token_from).collect()
}

/// Counts one use of a token. `false` if all its uses are taken, so that two hosts cannot share the last one.
///
/// # Errors
/// See [`Error`].
pub async fn join_token_use(connection: &mut Connection, id: JoinTokenId) -> Result<bool> {
    let done = sqlx::query("update join_token set used = used + 1 where id = $1 and (uses = 0 or used < uses)")
        .bind(id.to_string())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Revokes a token; `false` if there is none of that id.
///
/// # Errors
/// See [`Error`].
pub async fn join_token_revoke(connection: &mut Connection, id: JoinTokenId, at: Timestamp) -> Result<bool> {
    let done = sqlx::query("update join_token set revoked_at = coalesce(revoked_at, $2) where id = $1")
        .bind(id.to_string())
        .bind(at.as_micros())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Records a certificate that a host got.
///
/// # Errors
/// See [`Error`].
pub async fn certificate_insert(
    connection: &mut Connection,
    serial: &str,
    host: HostId,
    issued_at: Timestamp,
    expires_at: Timestamp,
) -> Result<()> {
    sqlx::query("insert into certificate (serial, host_id, issued_at, expires_at) values ($1, $2, $3, $4)")
        .bind(serial)
        .bind(host.to_string())
        .bind(issued_at.as_micros())
        .bind(expires_at.as_micros())
        .execute(connection)
        .await?;
    Ok(())
}

/// Whose certificate it is, and whether it still counts.
///
/// # Errors
/// See [`Error`].
pub async fn certificate_find(connection: &mut Connection, serial: &str) -> Result<Option<(HostId, bool)>> {
    let row: Option<(String, Option<i64>)> =
        sqlx::query_as("select host_id, revoked_at from certificate where serial = $1")
            .bind(serial)
            .fetch_optional(connection)
            .await?;
    row.map(|(host, revoked_at)| Ok((parse_host(&host)?, revoked_at.is_none()))).transpose()
}

/// Revokes all certificates of a host.
///
/// # Errors
/// See [`Error`].
pub async fn certificate_revoke_all(
    connection: &mut Connection,
    host: HostId,
    reason: &str,
    at: Timestamp,
) -> Result<()> {
    sqlx::query("update certificate set revoked_at = $2, reason = $3 where host_id = $1 and revoked_at is null")
        .bind(host.to_string())
        .bind(at.as_micros())
        .bind(reason)
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes at most `limit` tokens that expired or were revoked before `until`; returns how many.
///
/// # Errors
/// See [`Error`].
pub async fn join_token_prune(connection: &mut Connection, until: Timestamp, limit: u32) -> Result<u64> {
    let text = "delete from join_token where id in \
                (select id from join_token where expires_at < $1 or revoked_at < $1 limit $2)";
    let done = sqlx::query(text).bind(until.as_micros()).bind(i64::from(limit)).execute(connection).await?;
    Ok(done.rows_affected())
}

/// Removes at most `limit` certificates that expired or were revoked before `until`; returns how many. One that is not
/// known is refused like one that was revoked.
///
/// # Errors
/// See [`Error`].
pub async fn certificate_prune(connection: &mut Connection, until: Timestamp, limit: u32) -> Result<u64> {
    let text = "delete from certificate where serial in \
                (select serial from certificate where expires_at < $1 or revoked_at < $1 limit $2)";
    let done = sqlx::query(text).bind(until.as_micros()).bind(i64::from(limit)).execute(connection).await?;
    Ok(done.rows_affected())
}
