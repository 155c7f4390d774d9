//! Application credentials: secrets with which programs log in as a user, in one project, with some of the user's roles.

use hostler_common::id::{CredentialId, ProjectId, UserId};
use hostler_common::time::Timestamp;
use hostler_core::policy::Role;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{parse_id, parse_role};
use crate::store::tx::{Connection, Result};

/// An application credential, without the secret's hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its identity.
    pub id: CredentialId,
    /// Whose it is.
    pub user: UserId,
    /// The project that its tokens are for.
    pub project: ProjectId,
    /// Its name, unique among those of the user.
    pub name: String,
    /// Free text.
    pub description: String,
    /// The roles that its tokens have at the most; what the user loses, they lose too.
    pub roles: Vec<Role>,
    /// Whether its tokens may manage application credentials.
    pub unrestricted: bool,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Credential {
    /// Whether it has ended.
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

fn credential_from(row: &AnyRow) -> Result<Credential> {
    let roles: Vec<String> = serde_json::from_str(row.try_get("roles")?)?;
    Ok(Credential {
        id: parse_id(row.try_get("id")?)?,
        user: parse_id(row.try_get("user_id")?)?,
        project: parse_id(row.try_get("project_id")?)?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        roles: roles.iter().map(|role| parse_role(role)).collect::<Result<_>>()?,
        unrestricted: row.try_get::<i64, _>("unrestricted")? != 0,
        expires_at: row.try_get::<Option<i64>, _>("expires_at")?.map(Timestamp::from_micros),
        created_at: Timestamp::from_micros(row.try_get("created_at")?),
    })
}

/// Stores a new credential with the hash of its secret.
///
/// # Errors
/// [`crate::store::Error::Exists`] if the user has one of that name; see [`crate::store::Error`].
pub async fn credential_insert(connection: &mut Connection, credential: &Credential, secret_hash: &str) -> Result<()> {
    let roles: Vec<&str> = credential.roles.iter().map(|role| role.name()).collect();
    sqlx::query(
        "insert into identity_credential (id, user_id, project_id, name, description, secret_hash, roles, \
         unrestricted, expires_at, created_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(credential.id.to_string())
    .bind(credential.user.to_string())
    .bind(credential.project.to_string())
    .bind(&credential.name)
    .bind(&credential.description)
    .bind(secret_hash)
    .bind(serde_json::to_string(&roles)?)
    .bind(i64::from(credential.unrestricted))
    .bind(credential.expires_at.map(Timestamp::as_micros))
    .bind(credential.created_at.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// The hash of the secret, where there is a credential of that id.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn credential_secret(connection: &mut Connection, id: CredentialId) -> Result<Option<String>> {
    let row: Option<(String,)> = sqlx::query_as("select secret_hash from identity_credential where id = $1")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|(hash,)| hash))
}

/// Removes a credential with its tokens; `false` if there is none of that id.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn credential_delete(connection: &mut Connection, id: CredentialId) -> Result<bool> {
    let done =
        sqlx::query("delete from identity_credential where id = $1").bind(id.to_string()).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}

/// The credential of that id.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn credential_find(connection: &mut Connection, id: CredentialId) -> Result<Option<Credential>> {
    let row = sqlx::query("select * from identity_credential where id = $1")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(credential_from).transpose()
}

/// The credential of that name of a user.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn credential_by_name(connection: &mut Connection, user: UserId, name: &str) -> Result<Option<Credential>> {
    let row = sqlx::query("select * from identity_credential where user_id = $1 and name = $2")
        .bind(user.to_string())
        .bind(name)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(credential_from).transpose()
}

/// The credentials of a user in the order of their ids.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn credential_list(connection: &mut Connection, user: UserId) -> Result<Vec<Credential>> {
    let rows = sqlx::query("select * from identity_credential where user_id = $1 order by id")
        .bind(user.to_string())
        .fetch_all(connection)
        .await?;
    rows.iter().map(credential_from).collect()
}
