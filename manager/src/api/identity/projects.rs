//! `/v3/projects`.

use axum::response::Response;
use hostler_common::id::ProjectId;
use hostler_core::policy::{Action, allowed};
use http::StatusCode;
use serde_json::{Value, json};

use super::call::{Call, empty, listed, ok, paged, user_session};
use super::failure::Failure;
use super::fields::Fields;
use crate::api::auth::Who;
use crate::identity::{DOMAIN_ID, NewProject, Place, ProjectChange};
use crate::store::identity::{Project, ProjectFilter};

type Result<T> = std::result::Result<T, Failure>;

pub(super) fn render(call: &Call, project: &Project) -> Value {
    let id = project.id.to_string();
    json!({
        "id": id,
        "name": project.name,
        "description": project.description,
        "domain_id": DOMAIN_ID,
        "parent_id": DOMAIN_ID,
        "enabled": project.enabled,
        "is_domain": false,
        "tags": [],
        "options": {},
        "links": {"self": call.url(&format!("/projects/{id}"))},
    })
}

/// The project of the path.
pub(super) fn id(call: &Call) -> Result<ProjectId> {
    call.id("project", "project", ProjectId)
}

/// `GET /v3/projects`. Everybody may ask for one of their own by its name, which is how clients find an id.
pub(super) async fn list(call: Call) -> Result<Response> {
    let who = call.who().await?;
    if !allowed(&who.caller, Action::IdentityRead) {
        return list_own(&call, &who).await;
    }
    let (limit, marker) = call.page()?;
    let name = call.param("name").filter(|name| !name.is_empty()).map(str::to_owned);
    let filter = ProjectFilter { name, enabled: call.flag("enabled")?, after: marker.map(ProjectId) };
    // No project is a domain, has another parent than the domain, or has a tag.
    let parent = call.param("parent_id").is_some_and(|id| id != DOMAIN_ID);
    let tagged = call.param("tags").or(call.param("tags-any")).is_some_and(|tags| !tags.is_empty());
    let nothing = call.elsewhere() || parent || tagged || call.flag("is_domain")? == Some(true);
    let found = if nothing { Vec::new() } else { call.api.identity.projects(&filter, limit).await? };
    let last = found.last().filter(|_| found.len() == limit as usize).map(|project| project.id.to_string());
    let items = found.iter().map(|project| render(&call, project)).collect();
    Ok(paged(&call, "projects", items, last))
}

async fn list_own(call: &Call, who: &Who) -> Result<Response> {
    let denied = || Failure::denied(Action::IdentityRead.name());
    let name = call.param("name").ok_or_else(denied)?;
    let user = user_session(who).and_then(|session| session.user).ok_or_else(denied)?;
    let found = call.api.identity.projects_of(user).await?;
    let named = found.iter().filter(|project| project.name == name && !call.elsewhere());
    Ok(listed(call, "projects", named.map(|project| render(call, project)).collect()))
}

/// Whether the caller has a role in the project, with this token or with another.
async fn is_member(call: &Call, who: &Who, id: Option<ProjectId>) -> Result<bool> {
    let (Some(session), Some(id)) = (user_session(who), id) else { return Ok(false) };
    if matches!(&session.place, Place::Project(project) if project.id == id) {
        return Ok(true);
    }
    let Some(user) = session.user else { return Ok(false) };
    Ok(call.api.identity.projects_of(user).await?.iter().any(|project| project.id == id))
}

/// `GET /v3/projects/{project}`. Everybody may look at their own ones.
pub(super) async fn show(call: Call) -> Result<Response> {
    let who = call.who().await?;
    let id = id(&call);
    if !allowed(&who.caller, Action::IdentityRead) && !is_member(&call, &who, id.clone().ok()).await? {
        return Err(Failure::denied(Action::IdentityRead.name()));
    }
    let project = call.api.identity.project(id?).await?;
    let project = project.ok_or_else(|| Failure::missing("project", call.part("project")))?;
    Ok(ok(StatusCode::OK, &json!({"project": render(&call, &project)})))
}

/// What the original has and we have not.
fn vacant(fields: &mut Fields) -> Result<()> {
    fields.one_domain("domain_id")?;
    fields.one_domain("parent_id")?;
    fields.vacant("is_domain")?;
    fields.vacant("tags")?;
    fields.vacant("options")
}

/// `POST /v3/projects`.
pub(super) async fn create(mut call: Call) -> Result<Response> {
    let who = call.require(Action::IdentityChange).await?;
    let mut fields = Fields::only(call.json().await?, "project")?;
    let new = NewProject {
        name: fields.text("name")?,
        description: fields.maybe_text("description")?.unwrap_or_default(),
        enabled: fields.maybe_flag("enabled")?.unwrap_or(true),
    };
    vacant(&mut fields)?;
    fields.finish()?;
    let project = call.api.identity.project_create(&call.by(&who), new).await?;
    Ok(ok(StatusCode::CREATED, &json!({"project": render(&call, &project)})))
}

/// `PATCH /v3/projects/{project}`. What is not named stays.
pub(super) async fn update(mut call: Call) -> Result<Response> {
    let who = call.require(Action::IdentityChange).await?;
    let id = id(&call)?;
    let mut fields = Fields::only(call.json().await?, "project")?;
    let change = ProjectChange {
        name: fields.maybe_text("name")?,
        description: fields.maybe_text("description")?,
        enabled: fields.maybe_flag("enabled")?,
    };
    vacant(&mut fields)?;
    fields.finish()?;
    let project = call.api.identity.project_update(&call.by(&who), id, change).await?;
    Ok(ok(StatusCode::OK, &json!({"project": render(&call, &project)})))
}

/// `DELETE /v3/projects/{project}`.
pub(super) async fn delete(call: Call) -> Result<Response> {
    let who = call.require(Action::IdentityChange).await?;
    call.api.identity.project_delete(&call.by(&who), id(&call)?).await?;
    Ok(empty())
}
