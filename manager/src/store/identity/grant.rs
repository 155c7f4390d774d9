//! Grants: which user has which role in which scope.

use hostler_common::id::{ProjectId, UserId};
use hostler_core::policy::Role;

use super::{Project, Scope, parse_id, parse_role, project_find};
use crate::store::tx::{Connection, Result};

/// One role of one user in one scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who has it.
    pub user: UserId,
    /// Where it holds; never [`Scope::Unscoped`].
    pub scope: Scope,
    /// What it is.
    pub role: Role,
}

/// Stores a grant; `false` if it is there already.
///
/// # Errors
/// There is no such user; see [`crate::store::Error`].
pub async fn grant_insert(connection: &mut Connection, grant: &Grant) -> Result<bool> {
    let done =
        sqlx::query("insert into identity_grant (user_id, scope, role) values ($1, $2, $3) on conflict do nothing")
            .bind(grant.user.to_string())
            .bind(grant.scope.text())
            .bind(grant.role.name())
            .execute(connection)
            .await?;
    Ok(done.rows_affected() > 0)
}

/// Removes a grant; `false` if it is not there.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn grant_delete(connection: &mut Connection, grant: &Grant) -> Result<bool> {
    let done = sqlx::query("delete from identity_grant where user_id = $1 and scope = $2 and role = $3")
        .bind(grant.user.to_string())
        .bind(grant.scope.text())
        .bind(grant.role.name())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Removes all grants in a project.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn grant_delete_project(connection: &mut Connection, project: ProjectId) -> Result<()> {
    sqlx::query("delete from identity_grant where scope = $1").bind(project.to_string()).execute(connection).await?;
    Ok(())
}

/// Whether that grant is there.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn grant_exists(connection: &mut Connection, grant: &Grant) -> Result<bool> {
    let row: Option<(i64,)> =
        sqlx::query_as("select 1 from identity_grant where user_id = $1 and scope = $2 and role = $3")
            .bind(grant.user.to_string())
            .bind(grant.scope.text())
            .bind(grant.role.name())
            .fetch_optional(connection)
            .await?;
    Ok(row.is_some())
}

/// The roles that a user was granted in a scope, the strongest first.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn grant_roles(connection: &mut Connection, user: UserId, scope: Scope) -> Result<Vec<Role>> {
    let rows: Vec<(String,)> = sqlx::query_as("select role from identity_grant where user_id = $1 and scope = $2")
        .bind(user.to_string())
        .bind(scope.text())
        .fetch_all(connection)
        .await?;
    let mut roles = rows.iter().map(|(role,)| parse_role(role)).collect::<Result<Vec<_>>>()?;
    roles.sort_unstable();
    Ok(roles)
}

/// Which grants a list has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrantFilter {
    /// Only those of this user.
    pub user: Option<UserId>,
    /// Only those in this scope.
    pub scope: Option<Scope>,
    /// Only those of this role.
    pub role: Option<Role>,
}

/// Grants, ordered by user, scope and role.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn grant_list(connection: &mut Connection, filter: &GrantFilter) -> Result<Vec<Grant>> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "select user_id, scope, role from identity_grant \
         where ($1 = '' or user_id = $1) and ($2 = '' or scope = $2) and ($3 = '' or role = $3) \
         order by user_id, scope, role",
    )
    .bind(filter.user.map(|id| id.to_string()).unwrap_or_default())
    .bind(filter.scope.map(Scope::text).unwrap_or_default())
    .bind(filter.role.map(Role::name).unwrap_or_default())
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|(user, scope, role)| {
            Ok(Grant { user: parse_id(&user)?, scope: Scope::parse(&scope)?, role: parse_role(&role)? })
        })
        .collect()
}

/// The projects in which a user has any role, in the order of their ids.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn grant_projects(connection: &mut Connection, user: UserId) -> Result<Vec<Project>> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "select distinct scope from identity_grant where user_id = $1 and scope <> 'system' order by scope",
    )
    .bind(user.to_string())
    .fetch_all(&mut *connection)
    .await?;
    let mut projects = Vec::with_capacity(rows.len());
    for (scope,) in rows {
        projects.extend(project_find(connection, parse_id(&scope)?).await?);
    }
    Ok(projects)
}
