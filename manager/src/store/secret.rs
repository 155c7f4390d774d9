//! Secrets for scripts, encrypted: the store never sees a value (spec/hooks.md §10).

use hostler_common::time::Timestamp;

use super::tx::{Connection, Result};

/// A secret, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its value was last replaced.
    pub updated_at: Timestamp,
    /// Who did that.
    pub updated_by: String,
}

/// Writes a secret, over the one of that name if there is one.
///
/// # Errors
/// See [`super::Error`].
pub async fn secret_put(connection: &mut Connection, name: &str, sealed: &str, by: &str, at: Timestamp) -> Result<()> {
    sqlx::query(
        "insert into secret (name, sealed, created_at, updated_at, updated_by) values ($1, $2, $3, $3, $4) \
         on conflict (name) do update set sealed = excluded.sealed, updated_at = excluded.updated_at, \
         updated_by = excluded.updated_by",
    )
    .bind(name)
    .bind(sealed)
    .bind(at.as_micros())
    .bind(by)
    .execute(connection)
    .await?;
    Ok(())
}

/// The encrypted value of a secret.
///
/// # Errors
/// See [`super::Error`].
pub async fn secret_sealed(connection: &mut Connection, name: &str) -> Result<Option<String>> {
    let row: Option<(String,)> =
        sqlx::query_as("select sealed from secret where name = $1").bind(name).fetch_optional(connection).await?;
    Ok(row.map(|(sealed,)| sealed))
}

/// All secrets, by name.
///
/// # Errors
/// See [`super::Error`].
pub async fn secret_list(connection: &mut Connection) -> Result<Vec<Secret>> {
    let rows: Vec<(String, i64, i64, String)> =
        sqlx::query_as("select name, created_at, updated_at, updated_by from secret order by name")
            .fetch_all(connection)
            .await?;
    let secret = |(name, created_at, updated_at, updated_by)| Secret {
        name,
        created_at: Timestamp::from_micros(created_at),
        updated_at: Timestamp::from_micros(updated_at),
        updated_by,
    };
    Ok(rows.into_iter().map(secret).collect())
}

/// Removes a secret; `false` if there is none of that name.
///
/// # Errors
/// See [`super::Error`].
pub async fn secret_delete(connection: &mut Connection, name: &str) -> Result<bool> {
    Ok(sqlx::query("delete from secret where name = $1").bind(name).execute(connection).await?.rows_affected() > 0)
}
