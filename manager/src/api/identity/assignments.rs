//! `/v3/role_assignments`: all grants, with filters.

use std::collections::HashMap;

use axum::response::Response;
use hostler_common::id::{ProjectId, UserId, uuid_like};
use hostler_core::policy::{Action, Role};
use serde_json::{Value, json};

use super::call::{Call, listed};
use super::failure::Failure;
use super::tokens::domain;
use crate::store::identity::{Grant, GrantFilter, Scope};

type Result<T> = std::result::Result<T, Failure>;

/// What the query asks for; `None` if nothing can match.
fn filter(call: &Call) -> Option<(GrantFilter, Option<Role>)> {
    let none_of = ["group.id", "scope.domain.id", "scope.OS-INHERIT:inherited_to", "inherited"];
    if none_of.iter().any(|name| call.param(name).is_some()) {
        return None;
    }
    let user = call.param("user.id").map(uuid_like);
    let project = call.param("scope.project.id").map(uuid_like);
    let role = call.param("role.id").map(Role::from_name);
    if user == Some(None) || project == Some(None) || role == Some(None) {
        return None;
    }
    let scope = match (project.flatten(), call.param("scope.system")) {
        (Some(_), Some(_)) => return None,
        (Some(id), None) => Some(Scope::Project(ProjectId(id))),
        (None, Some(_)) => Some(Scope::System),
        (None, None) => None,
    };
    Some((GrantFilter { user: user.flatten().map(UserId), scope, role: None }, role.flatten()))
}

/// The names of what grants are about, each looked up once.
#[derive(Default)]
struct Names {
    users: HashMap<UserId, String>,
    projects: HashMap<ProjectId, String>,
}

impl Names {
    async fn read(call: &Call, grants: &[Grant]) -> Result<Self> {
        let mut names = Self::default();
        for grant in grants {
            if !names.users.contains_key(&grant.user)
                && let Some(user) = call.api.identity.user(grant.user).await?
            {
                names.users.insert(user.id, user.name);
            }
            if let Scope::Project(id) = grant.scope
                && !names.projects.contains_key(&id)
                && let Some(project) = call.api.identity.project(id).await?
            {
                names.projects.insert(project.id, project.name);
            }
        }
        Ok(names)
    }
}

fn render(call: &Call, grant: &Grant, names: Option<&Names>) -> Value {
    let mut role = json!({"id": grant.role.name()});
    let mut user = json!({"id": grant.user.to_string()});
    let (mut scope, link) = match grant.scope {
        Scope::Project(id) => {
            (json!({"project": {"id": id.to_string()}}), format!("/projects/{id}/users/{}", grant.user))
        }
        Scope::System | Scope::Unscoped => (json!({"system": {"all": true}}), format!("/system/users/{}", grant.user)),
    };
    if let Some(names) = names {
        role["name"] = grant.role.name().into();
        user["name"] = names.users.get(&grant.user).cloned().into();
        user["domain"] = domain();
        if let Scope::Project(id) = grant.scope {
            scope["project"]["name"] = names.projects.get(&id).cloned().into();
            scope["project"]["domain"] = domain();
        }
    }
    let link = call.url(&format!("{link}/roles/{}", grant.role.name()));
    json!({"role": role, "user": user, "scope": scope, "links": {"assignment": link}})
}

/// The grants with those that they include, each once, in their order.
fn expand(grants: Vec<Grant>) -> Vec<Grant> {
    let mut all: Vec<Grant> = Vec::with_capacity(grants.len());
    for grant in grants {
        let included = grant.role.included().iter().map(|role| Grant { role: *role, ..grant });
        for one in included {
            // Grants of one user and scope stand together, so only the last few can be the same.
            let same = |had: &&Grant| had.user == one.user && had.scope == one.scope;
            if !all.iter().rev().take_while(same).any(|had| had.role == one.role) {
                all.push(one);
            }
        }
    }
    all
}

/// `GET`. Everybody may ask for themselves (`user.id`).
pub(super) async fn list(call: Call) -> Result<Response> {
    call.require_for(Action::IdentityRead, call.param("user.id").and_then(uuid_like)).await?;
    let mut grants = Vec::new();
    if let Some((filter, role)) = filter(&call) {
        grants = call.api.identity.grants(&filter).await?;
        if call.flag("effective")? == Some(true) {
            grants = expand(grants);
        }
        grants.retain(|grant| role.is_none_or(|role| role == grant.role));
    }
    let names = if call.flag("include_names")? == Some(true) { Some(Names::read(&call, &grants).await?) } else { None };
    let items = grants.iter().map(|grant| render(&call, grant, names.as_ref())).collect();
    Ok(listed(&call, "role_assignments", items))
}
