//! `/v3/users`.

use axum::response::Response;
use hostler_common::id::{ProjectId, UserId, uuid_like};
use hostler_core::policy::{Action, allowed_own};
use http::StatusCode;
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::call::{Call, empty, listed, ok, paged, user_session};
use super::failure::Failure;
use super::fields::Fields;
use super::projects;
use crate::identity::{DOMAIN_ID, NewUser, UserChange};
use crate::store::identity::{User, UserFilter};

type Result<T> = std::result::Result<T, Failure>;

fn render(call: &Call, user: &User) -> Value {
    let id = user.id.to_string();
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    put("id", id.clone().into());
    put("name", user.name.clone().into());
    put("description", user.description.clone().into());
    put("domain_id", DOMAIN_ID.into());
    put("enabled", user.enabled.into());
    if let Some(email) = &user.email {
        put("email", email.clone().into());
    }
    if let Some(project) = user.project {
        put("default_project_id", project.to_string().into());
    }
    put("password_expires_at", Value::Null);
    put("options", json!({}));
    put("links", json!({"self": call.url(&format!("/users/{id}"))}));
    Value::Object(out)
}

/// The user of the path.
pub(super) fn id(call: &Call) -> Result<UserId> {
    call.id("user", "user", UserId)
}

async fn find(call: &Call) -> Result<User> {
    let id = id(call)?;
    call.api.identity.user(id).await?.ok_or_else(|| Failure::missing("user", call.part("user")))
}

/// `GET /v3/users`. Everybody may ask for the user of their own name, which is how clients find an id.
pub(super) async fn list(call: Call) -> Result<Response> {
    let who = call.who().await?;
    let own = user_session(&who).is_some_and(|session| call.param("name") == Some(session.name.as_str()));
    if !allowed_own(&who.caller, Action::IdentityRead, own) {
        return Err(Failure::denied(Action::IdentityRead.name()));
    }
    let (limit, marker) = call.page()?;
    let name = call.param("name").filter(|name| !name.is_empty()).map(str::to_owned);
    let filter = UserFilter { name, enabled: call.flag("enabled")?, after: marker.map(UserId) };
    let found = if call.elsewhere() { Vec::new() } else { call.api.identity.users(&filter, limit).await? };
    let last = found.last().filter(|_| found.len() == limit as usize).map(|user| user.id.to_string());
    let items = found.iter().map(|user| render(&call, user)).collect();
    Ok(paged(&call, "users", items, last))
}

/// `GET /v3/users/{user}`. Everybody may look at themselves.
pub(super) async fn show(call: Call) -> Result<Response> {
    call.require_for(Action::IdentityRead, uuid_like(call.part("user"))).await?;
    let user = find(&call).await?;
    Ok(ok(StatusCode::OK, &json!({"user": render(&call, &user)})))
}

/// The project of a login that names none.
fn project(fields: &mut Fields) -> Result<Option<ProjectId>> {
    let Some(text) = fields.maybe_text("default_project_id")? else { return Ok(None) };
    match uuid_like(&text) {
        Some(id) => Ok(Some(ProjectId(id))),
        None => Err(fields.invalid("default_project_id", "must be the id of a project")),
    }
}

/// `POST /v3/users`.
pub(super) async fn create(mut call: Call) -> Result<Response> {
    let who = call.require(Action::IdentityChange).await?;
    let mut fields = Fields::only(call.json().await?, "user")?;
    let new = NewUser {
        name: fields.text("name")?,
        description: fields.maybe_text("description")?.unwrap_or_default(),
        email: fields.maybe_text("email")?,
        enabled: fields.maybe_flag("enabled")?.unwrap_or(true),
        project: project(&mut fields)?,
        password: fields.maybe_text("password")?.map(SecretString::from),
    };
    fields.one_domain("domain_id")?;
    fields.vacant("options")?;
    fields.vacant("federated")?;
    fields.finish()?;
    let user = call.api.identity.user_create(&call.by(&who), new).await?;
    Ok(ok(StatusCode::CREATED, &json!({"user": render(&call, &user)})))
}

/// `PATCH /v3/users/{user}`. What is not named stays; `null` empties `email` and `default_project_id`.
pub(super) async fn update(mut call: Call) -> Result<Response> {
    let who = call.require(Action::IdentityChange).await?;
    let id = id(&call)?;
    let mut fields = Fields::only(call.json().await?, "user")?;
    let (names_email, names_project) = (fields.has("email"), fields.has("default_project_id"));
    let change = UserChange {
        name: fields.maybe_text("name")?,
        description: fields.maybe_text("description")?,
        email: Some(fields.maybe_text("email")?).filter(|_| names_email),
        enabled: fields.maybe_flag("enabled")?,
        project: Some(project(&mut fields)?).filter(|_| names_project),
        password: fields.maybe_text("password")?.map(SecretString::from),
    };
    fields.one_domain("domain_id")?;
    fields.vacant("options")?;
    fields.vacant("federated")?;
    fields.finish()?;
    let user = call.api.identity.user_update(&call.by(&who), id, change).await?;
    Ok(ok(StatusCode::OK, &json!({"user": render(&call, &user)})))
}

/// `DELETE /v3/users/{user}`.
pub(super) async fn delete(call: Call) -> Result<Response> {
    let who = call.require(Action::IdentityChange).await?;
    call.api.identity.user_delete(&call.by(&who), id(&call)?).await?;
    Ok(empty())
}

/// `POST /v3/users/{user}/password`: everybody may change their own, if they know the one before.
pub(super) async fn password(mut call: Call) -> Result<Response> {
    let who = call.require_for(Action::IdentityPassword, uuid_like(call.part("user"))).await?;
    let id = id(&call)?;
    let mut fields = Fields::only(call.json().await?, "user")?;
    let original = SecretString::from(fields.text("original_password")?);
    let password = SecretString::from(fields.text("password")?);
    fields.finish()?;
    call.api.identity.password_change(&call.by(&who), id, original, password).await?;
    Ok(empty())
}

/// `GET /v3/users/{user}/projects`: those in which the user has a role.
pub(super) async fn projects(call: Call) -> Result<Response> {
    call.require_for(Action::IdentityRead, uuid_like(call.part("user"))).await?;
    let user = find(&call).await?;
    let found = call.api.identity.projects_of(user.id).await?;
    let items = found.iter().map(|project| projects::render(&call, project)).collect();
    Ok(listed(&call, "projects", items))
}
