//! `/v3/users/{user}/application_credentials`. Users manage their own; administrators may look at and remove all.

use axum::response::Response;
use hostler_common::id::{CredentialId, uuid_like};
use hostler_common::time::Timestamp;
use hostler_core::policy::{Action, Role};
use http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::call::{Call, empty, listed, ok, user_session};
use super::failure::Failure;
use super::fields::Fields;
use super::{fixed, users};
use crate::api::auth::Who;
use crate::identity::{NewCredential, Place, Session};
use crate::store::identity::Credential;

type Result<T> = std::result::Result<T, Failure>;

fn render(call: &Call, credential: &Credential) -> Value {
    let (id, user) = (credential.id.to_string(), credential.user.to_string());
    let roles: Vec<Value> = credential.roles.iter().map(|role| fixed::render_role(call, *role)).collect();
    json!({
        "id": id,
        "name": credential.name,
        "description": credential.description,
        "user_id": user,
        "project_id": credential.project.to_string(),
        "roles": roles,
        "unrestricted": credential.unrestricted,
        "expires_at": credential.expires_at.map(Timestamp::rfc3339),
        "access_rules": [],
        "links": {"self": call.url(&format!("/users/{user}/application_credentials/{id}"))},
    })
}

async fn require(call: &Call) -> Result<Who> {
    call.require_for(Action::IdentityCredential, uuid_like(call.part("user"))).await
}

/// A token that was got with a restricted credential manages none: otherwise a stolen one could make itself last.
fn check_unrestricted(who: &Who) -> Result<()> {
    if who.session.as_deref().is_none_or(Session::unrestricted) {
        return Ok(());
    }
    let text = "A token of a restricted application credential cannot manage application credentials.";
    Err(Failure::new(StatusCode::FORBIDDEN, text))
}

async fn find(call: &Call) -> Result<Credential> {
    let missing = || Failure::missing("application credential", call.part("credential"));
    let id = call.id("credential", "application credential", CredentialId)?;
    call.api.identity.credential(users::id(call)?, id).await?.ok_or_else(missing)
}

/// `GET` the list; `name` filters.
pub(super) async fn list(call: Call) -> Result<Response> {
    require(&call).await?;
    let user = users::id(&call)?;
    if call.api.identity.user(user).await?.is_none() {
        return Err(Failure::missing("user", call.part("user")));
    }
    let mut found = call.api.identity.credentials(user).await?;
    found.retain(|credential| call.param("name").is_none_or(|name| name == credential.name));
    let items = found.iter().map(|credential| render(&call, credential)).collect();
    Ok(listed(&call, "application_credentials", items))
}

/// `GET` one.
pub(super) async fn show(call: Call) -> Result<Response> {
    require(&call).await?;
    let found = find(&call).await?;
    Ok(ok(StatusCode::OK, &json!({"application_credential": render(&call, &found)})))
}

/// `DELETE`.
pub(super) async fn delete(call: Call) -> Result<Response> {
    let who = require(&call).await?;
    check_unrestricted(&who)?;
    let found = find(&call).await?;
    call.api.identity.credential_delete(&call.by(&who), found.user, found.id).await?;
    Ok(empty())
}

/// `POST`: only for oneself, in the project of the token.
pub(super) async fn create(mut call: Call) -> Result<Response> {
    let who = require(&call).await?;
    check_unrestricted(&who)?;
    let user = users::id(&call)?;
    let session = user_session(&who).filter(|session| session.user == Some(user));
    let session = session.ok_or_else(|| Failure::denied(Action::IdentityCredential.name()))?;
    let Place::Project(project) = &session.place else {
        let text = "An application credential is for a project: use a token that is for one.";
        return Err(Failure::new(StatusCode::BAD_REQUEST, text));
    };
    let fields = Fields::only(call.json().await?, "application_credential")?;
    let mut new = parse(fields, user, project.id)?;
    if new.roles.is_none() {
        // Never more than the token itself has.
        new.roles = Some(session.roles.clone());
    } else if let Some(role) = new.roles.iter().flatten().find(|role| !session.roles.contains(role)) {
        let text = format!("this token does not have the role {}", role.name());
        return Err(Failure::invalid("application_credential.roles", &text));
    }
    let (credential, secret) = call.api.identity.credential_create(&call.by(&who), new).await?;
    let mut shown = render(&call, &credential);
    shown["secret"] = secret.expose_secret().into();
    Ok(ok(StatusCode::CREATED, &json!({"application_credential": shown})))
}

fn parse(
    mut fields: Fields,
    user: hostler_common::id::UserId,
    project: hostler_common::id::ProjectId,
) -> Result<NewCredential> {
    let new = NewCredential {
        user,
        project,
        name: fields.text("name")?,
        description: fields.maybe_text("description")?.unwrap_or_default(),
        roles: roles(&mut fields)?,
        unrestricted: fields.maybe_flag("unrestricted")?.unwrap_or(false),
        expires_at: expires_at(&mut fields)?,
        secret: fields.maybe_text("secret")?.map(SecretString::from),
    };
    match fields.maybe_text("project_id")? {
        Some(id) if uuid_like(&id) != Some(project.0) => {
            return Err(fields.invalid("project_id", "must be the project of the token"));
        }
        _ => {}
    }
    fields.vacant("access_rules")?;
    fields.finish()?;
    Ok(new)
}

fn roles(fields: &mut Fields) -> Result<Option<Vec<Role>>> {
    let Some(items) = fields.maybe_list("roles")? else { return Ok(None) };
    let mut roles = Vec::with_capacity(items.len().min(Role::ALL.len()));
    for (index, item) in items.into_iter().enumerate() {
        let field = format!("roles[{index}]");
        let mut role = fields.item_of(&field, item)?;
        let (id, name) = (role.maybe_text("id")?, role.maybe_text("name")?);
        role.vacant("domain_id")?;
        let known = id.or(name).as_deref().and_then(Role::from_name);
        let known = known.ok_or_else(|| fields.invalid(&field, "must have the id or the name of a role"))?;
        if !roles.contains(&known) {
            roles.push(known);
        }
    }
    // An empty list means what leaving it out means, as in the original.
    Ok(Some(roles).filter(|roles| !roles.is_empty()))
}

/// RFC 3339; without an offset it is UTC.
fn expires_at(fields: &mut Fields) -> Result<Option<Timestamp>> {
    let Some(text) = fields.maybe_text("expires_at")? else { return Ok(None) };
    let parsed = text.parse::<Timestamp>().or_else(|_| format!("{text}Z").parse::<Timestamp>());
    parsed.map(Some).map_err(|_| fields.invalid("expires_at", "must be a time such as 2026-01-02T03:04:05Z"))
}
