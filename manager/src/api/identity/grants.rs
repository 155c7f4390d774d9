//! `/v3/projects/{project}/users/{user}/roles` and `/v3/system/users/{user}/roles`.

use axum::response::Response;
use hostler_core::policy::{Action, Role};

use super::call::{Call, empty, listed};
use super::failure::Failure;
use super::{fixed, projects, users};
use crate::store::identity::{Grant, GrantFilter, Scope};

type Result<T> = std::result::Result<T, Failure>;

/// The scope of the path: a project, or the system where it names none.
fn scope(call: &Call) -> Result<Scope> {
    if call.part("project").is_empty() { Ok(Scope::System) } else { projects::id(call).map(Scope::Project) }
}

/// The role of the path.
fn role(call: &Call) -> Result<Role> {
    Role::from_name(call.part("role")).ok_or_else(|| Failure::missing("role", call.part("role")))
}

fn grant(call: &Call) -> Result<Grant> {
    Ok(Grant { user: users::id(call)?, scope: scope(call)?, role: role(call)? })
}

/// `GET` without a role: those that the user has. Everybody may ask for themselves.
pub(super) async fn list(call: Call) -> Result<Response> {
    call.require_for(Action::IdentityRead, hostler_common::id::uuid_like(call.part("user"))).await?;
    let (user, scope) = (users::id(&call)?, scope(&call)?);
    if call.api.identity.user(user).await?.is_none() {
        return Err(Failure::missing("user", call.part("user")));
    }
    if let Scope::Project(id) = scope
        && call.api.identity.project(id).await?.is_none()
    {
        return Err(Failure::missing("project", call.part("project")));
    }
    let filter = GrantFilter { user: Some(user), scope: Some(scope), role: None };
    let mut roles: Vec<Role> = call.api.identity.grants(&filter).await?.iter().map(|grant| grant.role).collect();
    roles.sort_unstable();
    let items = roles.into_iter().map(|role| fixed::render_role(&call, role)).collect();
    Ok(listed(&call, "roles", items))
}

/// `GET` and `HEAD` with a role: whether the user has it.
pub(super) async fn check(call: Call) -> Result<Response> {
    call.require_for(Action::IdentityRead, hostler_common::id::uuid_like(call.part("user"))).await?;
    if call.api.identity.grant_exists(&grant(&call)?).await? {
        return Ok(empty());
    }
    Err(Failure::missing("role assignment with role", call.part("role")))
}

/// `PUT`.
pub(super) async fn create(call: Call) -> Result<Response> {
    let who = call.require(Action::IdentityChange).await?;
    call.api.identity.grant_create(&call.by(&who), grant(&call)?).await?;
    Ok(empty())
}

/// `DELETE`.
pub(super) async fn delete(call: Call) -> Result<Response> {
    let who = call.require(Action::IdentityChange).await?;
    call.api.identity.grant_delete(&call.by(&who), grant(&call)?).await?;
    Ok(empty())
}
