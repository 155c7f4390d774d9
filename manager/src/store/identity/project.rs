//! Projects: what roles are granted in.

use hostler_common::id::ProjectId;
use hostler_common::time::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::parse_id;
use crate::store::tx::{Connection, Result};

/// A project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its identity.
    pub id: ProjectId,
    /// Its name, unique.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Whether tokens can be for it.
    pub enabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

fn project_from(row: &AnyRow) -> Result<Project> {
    Ok(Project {
        id: parse_id(row.try_get("id")?)?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        enabled: row.try_get::<i64, _>("enabled")? != 0,
        created_at: Timestamp::from_micros(row.try_get("created_at")?),
    })
}

/// Stores a new project.
///
/// # Errors
/// [`crate::store::Error::Exists`] if the name is taken; see [`crate::store::Error`].
pub async fn project_insert(connection: &mut Connection, project: &Project) -> Result<()> {
    sqlx::query(
        "insert into identity_project (id, name, description, enabled, created_at) values ($1, $2, $3, $4, $5)",
    )
    .bind(project.id.to_string())
    .bind(&project.name)
    .bind(&project.description)
    .bind(i64::from(project.enabled))
    .bind(project.created_at.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes name, description and whether it is enabled; `false` if there is no project of that id.
///
/// # Errors
/// [`crate::store::Error::Exists`] if the name is taken; see [`crate::store::Error`].
pub async fn project_update(connection: &mut Connection, project: &Project) -> Result<bool> {
    let done = sqlx::query("update identity_project set name = $2, description = $3, enabled = $4 where id = $1")
        .bind(project.id.to_string())
        .bind(&project.name)
        .bind(&project.description)
        .bind(i64::from(project.enabled))
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Removes a project and its application credentials; `false` if there is none of that id. Grants and tokens of it are
/// the caller's to remove.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn project_delete(connection: &mut Connection, id: ProjectId) -> Result<bool> {
    sqlx::query("update identity_user set project_id = null where project_id = $1")
        .bind(id.to_string())
        .execute(&mut *connection)
        .await?;
    let done =
        sqlx::query("delete from identity_project where id = $1").bind(id.to_string()).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}

/// The project of that id.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn project_find(connection: &mut Connection, id: ProjectId) -> Result<Option<Project>> {
    let row = sqlx::query("select * from identity_project where id = $1")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(project_from).transpose()
}

/// The project of that name.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn project_by_name(connection: &mut Connection, name: &str) -> Result<Option<Project>> {
    let row =
        sqlx::query("select * from identity_project where name = $1").bind(name).fetch_optional(connection).await?;
    row.as_ref().map(project_from).transpose()
}

/// Which projects a list has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectFilter {
    /// Only the one of this name.
    pub name: Option<String>,
    /// Only enabled or only disabled ones.
    pub enabled: Option<bool>,
    /// Only those after the one of this id.
    pub after: Option<ProjectId>,
}

/// Projects in the order of their ids, which is that of their creation.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn project_list(connection: &mut Connection, filter: &ProjectFilter, limit: u32) -> Result<Vec<Project>> {
    let rows = sqlx::query(
        "select * from identity_project where id > $1 and ($2 = '' or name = $2) and ($3 < 0 or enabled = $3) \
         order by id limit $4",
    )
    .bind(filter.after.map(|id| id.to_string()).unwrap_or_default())
    .bind(filter.name.as_deref().unwrap_or_default())
    .bind(filter.enabled.map_or(-1, i64::from))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(project_from).collect()
}
