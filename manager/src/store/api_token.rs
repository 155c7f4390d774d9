//! Tokens of the croit dialect (spec/hooks.md §2.1): for programs, with roles of their own, until they end or are removed.

use hostler_common::time::Timestamp;

use super::tx::{Connection, Result, next_number};

/// A token, without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// Its number.
    pub id: i64,
    /// What it is called.
    pub name: String,
    /// The roles of its bearer, as the dialect names them.
    pub roles: Vec<String>,
    /// Whether it is for scripts of hooks: what they do never makes hooks run.
    pub for_hooks: bool,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
}

type Row = (i64, String, String, i64, Option<i64>, i64, String);

fn token_from((id, name, roles, for_hooks, expires_at, created_at, created_by): Row) -> Result<ApiToken> {
    Ok(ApiToken {
        id,
        name,
        roles: serde_json::from_str(&roles)?,
        for_hooks: for_hooks != 0,
        expires_at: expires_at.map(Timestamp::from_micros),
        created_at: Timestamp::from_micros(created_at),
        created_by,
    })
}

/// Stores a token; the number of `token` does not count, the one that is returned does.
///
/// # Errors
/// See [`super::Error`].
pub async fn api_token_insert(connection: &mut Connection, token: &ApiToken, hash: &str) -> Result<i64> {
    let id = next_number(connection, "api_token").await?;
    sqlx::query(
        "insert into api_token (id, name, hash, roles, for_hooks, expires_at, created_at, created_by) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(id)
    .bind(&token.name)
    .bind(hash)
    .bind(serde_json::to_string(&token.roles)?)
    .bind(i64::from(token.for_hooks))
    .bind(token.expires_at.map(Timestamp::as_micros))
    .bind(token.created_at.as_micros())
    .bind(&token.created_by)
    .execute(connection)
    .await?;
    Ok(id)
}

/// The token of that hash, also one that has ended.
///
/// # Errors
/// See [`super::Error`].
pub async fn api_token_by_hash(connection: &mut Connection, hash: &str) -> Result<Option<ApiToken>> {
    let row: Option<Row> = sqlx::query_as(
        "select id, name, roles, for_hooks, expires_at, created_at, created_by from api_token where hash = $1",
    )
    .bind(hash)
    .fetch_optional(connection)
    .await?;
    row.map(token_from).transpose()
}

/// All tokens, by number.
///
/// # Errors
/// See [`super::Error`].
pub async fn api_token_list(connection: &mut Connection) -> Result<Vec<ApiToken>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, name, roles, for_hooks, expires_at, created_at, created_by from api_token order by id",
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(token_from).collect()
}

/// Replaces the roles of a token; `false` if there is none of that number.
///
/// # Errors
/// See [`super::Error`].
pub async fn api_token_set_roles(connection: &mut Connection, id: i64, roles: &[String]) -> Result<bool> {
    let done = sqlx::query("update api_token set roles = $2 where id = $1")
        .bind(id)
        .bind(serde_json::to_string(roles)?)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Removes a token; `false` if there is none of that number.
///
/// # Errors
/// See [`super::Error`].
pub async fn api_token_delete(connection: &mut Connection, id: i64) -> Result<bool> {
    Ok(sqlx::query("delete from api_token where id = $1").bind(id).execute(connection).await?.rows_affected() > 0)
}

/// Removes the token of that hash; `false` if there is none.
///
/// # Errors
/// See [`super::Error`].
pub async fn api_token_revoke(connection: &mut Connection, hash: &str) -> Result<bool> {
    Ok(sqlx::query("delete from api_token where hash = $1").bind(hash).execute(connection).await?.rows_affected() > 0)
}
