//! Users.

use hostler_common::id::{ProjectId, UserId};
use hostler_common::time::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::parse_id;
use crate::store::tx::{Connection, Result, next_number};

/// A user, without the password's hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Their identity.
    pub id: UserId,
    /// Their name, unique.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Their mail address, where somebody gave one.
    pub email: Option<String>,
    /// Whether they can log in.
    pub enabled: bool,
    /// The project of a login that names none.
    pub project: Option<ProjectId>,
    /// When they were made.
    pub created_at: Timestamp,
}

fn user_from(row: &AnyRow) -> Result<User> {
    Ok(User {
        id: parse_id(row.try_get("id")?)?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        email: row.try_get("email")?,
        enabled: row.try_get::<i64, _>("enabled")? != 0,
        project: row.try_get::<Option<String>, _>("project_id")?.as_deref().map(parse_id).transpose()?,
        created_at: Timestamp::from_micros(row.try_get("created_at")?),
    })
}

/// Stores a new user, who has no password yet.
///
/// # Errors
/// [`crate::store::Error::Exists`] if the name is taken; see [`crate::store::Error`].
pub async fn user_insert(connection: &mut Connection, user: &User) -> Result<()> {
    let number = next_number(connection, "user").await?;
    sqlx::query(
        "insert into identity_user (id, name, description, email, enabled, project_id, created_at, number) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(user.id.to_string())
    .bind(&user.name)
    .bind(&user.description)
    .bind(user.email.clone())
    .bind(i64::from(user.enabled))
    .bind(user.project.map(|id| id.to_string()))
    .bind(user.created_at.as_micros())
    .bind(number)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes everything but the password; `false` if there is no user of that id.
///
/// # Errors
/// [`crate::store::Error::Exists`] if the name is taken; see [`crate::store::Error`].
pub async fn user_update(connection: &mut Connection, user: &User) -> Result<bool> {
    let done = sqlx::query(
        "update identity_user set name = $2, description = $3, email = $4, enabled = $5, project_id = $6 where id = $1",
    )
    .bind(user.id.to_string())
    .bind(&user.name)
    .bind(&user.description)
    .bind(user.email.clone())
    .bind(i64::from(user.enabled))
    .bind(user.project.map(|id| id.to_string()))
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Writes the hash of the password.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn user_password_set(connection: &mut Connection, id: UserId, hash: &str) -> Result<()> {
    sqlx::query(
        "update identity_user set password_changed = case when password_hash is null then 0 else 1 end, \
         password_hash = $2 where id = $1",
    )
    .bind(id.to_string())
    .bind(hash)
    .execute(connection)
    .await?;
    Ok(())
}

/// The small number of a user, by which the croit dialect knows them, and whether their first password was ever changed.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn user_number(connection: &mut Connection, id: UserId) -> Result<Option<(i64, bool)>> {
    let row: Option<(i64, i64)> =
        sqlx::query_as("select coalesce(number, 0), password_changed from identity_user where id = $1")
            .bind(id.to_string())
            .fetch_optional(connection)
            .await?;
    Ok(row.map(|(number, changed)| (number, changed != 0)))
}

/// The hash of the password, where there is a user of that id and they have one.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn user_password(connection: &mut Connection, id: UserId) -> Result<Option<String>> {
    let row: Option<(Option<String>,)> = sqlx::query_as("select password_hash from identity_user where id = $1")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(row.and_then(|(hash,)| hash))
}

/// Removes a user with all grants, credentials and tokens; `false` if there is none of that id.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn user_delete(connection: &mut Connection, id: UserId) -> Result<bool> {
    let done = sqlx::query("delete from identity_user where id = $1").bind(id.to_string()).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}

/// The user of that id.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn user_find(connection: &mut Connection, id: UserId) -> Result<Option<User>> {
    let row = sqlx::query("select * from identity_user where id = $1")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(user_from).transpose()
}

/// The user of that name.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn user_by_name(connection: &mut Connection, name: &str) -> Result<Option<User>> {
    let row = sqlx::query("select * from identity_user where name = $1").bind(name).fetch_optional(connection).await?;
    row.as_ref().map(user_from).transpose()
}

/// Which users a list has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// Only the one of this name.
    pub name: Option<String>,
    /// Only enabled or only disabled ones.
    pub enabled: Option<bool>,
    /// Only those after the one of this id.
    pub after: Option<UserId>,
}

/// Users in the order of their ids, which is that of their creation.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn user_list(connection: &mut Connection, filter: &UserFilter, limit: u32) -> Result<Vec<User>> {
    let rows = sqlx::query(
        "select * from identity_user where id > $1 and ($2 = '' or name = $2) and ($3 < 0 or enabled = $3) \
         order by id limit $4",
    )
    .bind(filter.after.map(|id| id.to_string()).unwrap_or_default())
    .bind(filter.name.as_deref().unwrap_or_default())
    .bind(filter.enabled.map_or(-1, i64::from))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(user_from).collect()
}
