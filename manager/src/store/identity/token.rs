//! Tokens: known only by their SHA-256, so that whoever reads the store can use none of them.

use hostler_common::id::{CredentialId, ProjectId, UserId};
use hostler_common::time::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{Scope, parse_id};
use crate::store::tx::{Connection, Result};

/// A token, without itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// SHA-256 of the token, hexadecimal.
    pub hash: String,
    /// A public name of the token, for the audit trail.
    pub audit_id: String,
    /// The audit id of the first token of the chain, where this one was got with another token.
    pub audit_parent: Option<String>,
    /// Whose it is.
    pub user: UserId,
    /// What its roles hold for.
    pub scope: Scope,
    /// How its bearer proved who they are: `password`, `token`, `application_credential`.
    pub methods: Vec<String>,
    /// The application credential that it was got with.
    pub credential: Option<CredentialId>,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

fn token_from(row: &AnyRow) -> Result<Token> {
    Ok(Token {
        hash: row.try_get("hash")?,
        audit_id: row.try_get("audit_id")?,
        audit_parent: row.try_get("audit_parent")?,
        user: parse_id(row.try_get("user_id")?)?,
        scope: Scope::parse(row.try_get("scope")?)?,
        methods: serde_json::from_str(row.try_get("methods")?)?,
        credential: row.try_get::<Option<String>, _>("credential_id")?.as_deref().map(parse_id).transpose()?,
        issued_at: Timestamp::from_micros(row.try_get("issued_at")?),
        expires_at: Timestamp::from_micros(row.try_get("expires_at")?),
    })
}

/// Stores a new token.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn token_insert(connection: &mut Connection, token: &Token) -> Result<()> {
    sqlx::query(
        "insert into identity_token (hash, audit_id, audit_parent, user_id, scope, methods, credential_id, issued_at, \
         expires_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(&token.hash)
    .bind(&token.audit_id)
    .bind(token.audit_parent.clone())
    .bind(token.user.to_string())
    .bind(token.scope.text())
    .bind(serde_json::to_string(&token.methods)?)
    .bind(token.credential.map(|id| id.to_string()))
    .bind(token.issued_at.as_micros())
    .bind(token.expires_at.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// The token of that hash, also one that has ended.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn token_find(connection: &mut Connection, hash: &str) -> Result<Option<Token>> {
    let row = sqlx::query("select * from identity_token where hash = $1").bind(hash).fetch_optional(connection).await?;
    row.as_ref().map(token_from).transpose()
}

/// Revokes one token; `false` if there is none of that hash.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn token_delete(connection: &mut Connection, hash: &str) -> Result<bool> {
    let done = sqlx::query("delete from identity_token where hash = $1").bind(hash).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}

/// Which tokens are revoked together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoke {
    /// All of a user.
    User(UserId),
    /// Those that a user got by password, or with such a token.
    Password(UserId),
    /// All for a project.
    Project(ProjectId),
}

/// Revokes tokens; returns how many.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn token_revoke(connection: &mut Connection, which: Revoke) -> Result<u64> {
    let (statement, id) = match which {
        Revoke::User(id) => ("delete from identity_token where user_id = $1", id.to_string()),
        Revoke::Password(id) => {
            ("delete from identity_token where user_id = $1 and credential_id is null", id.to_string())
        }
        Revoke::Project(id) => ("delete from identity_token where scope = $1", id.to_string()),
    };
    Ok(sqlx::query(statement).bind(id).execute(connection).await?.rows_affected())
}

/// Removes the tokens of a user that have ended.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn token_delete_expired(connection: &mut Connection, user: UserId, now: Timestamp) -> Result<()> {
    sqlx::query("delete from identity_token where user_id = $1 and expires_at <= $2")
        .bind(user.to_string())
        .bind(now.as_micros())
        .execute(connection)
        .await?;
    Ok(())
}

/// Revokes the oldest tokens of a user beyond the `keep` newest; returns how many.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn token_cap(connection: &mut Connection, user: UserId, keep: u32) -> Result<u64> {
    let (count,): (i64,) = sqlx::query_as("select count(*) from identity_token where user_id = $1")
        .bind(user.to_string())
        .fetch_one(&mut *connection)
        .await?;
    let surplus = count - i64::from(keep);
    if surplus <= 0 {
        return Ok(0);
    }
    let done = sqlx::query(
        "delete from identity_token where hash in \
         (select hash from identity_token where user_id = $1 order by issued_at, hash limit $2)",
    )
    .bind(user.to_string())
    .bind(surplus)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Removes at most `limit` tokens that have ended by `now`; returns how many.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn token_prune(connection: &mut Connection, now: Timestamp, limit: u32) -> Result<u64> {
    let text = "delete from identity_token where hash in \
                (select hash from identity_token where expires_at <= $1 order by expires_at limit $2)";
    let done = sqlx::query(text).bind(now.as_micros()).bind(i64::from(limit)).execute(connection).await?;
    Ok(done.rows_affected())
}
