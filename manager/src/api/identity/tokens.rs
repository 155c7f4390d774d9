//! `/v3/auth/tokens`: logging in, looking at a token, logging out.

use axum::response::Response;
use hostler_core::policy::{Action, Role, allowed_own};
use http::{HeaderValue, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use super::call::{Call, empty, ok, user_session};
use super::failure::Failure;
use super::{catalog, login};
use crate::api::auth::Who;
use crate::config::Strategy;
use crate::identity::{DOMAIN_ID, DOMAIN_NAME, Place, Session};

type Result<T> = std::result::Result<T, Failure>;

/// `POST`: a proof against a token.
pub(super) async fn create(mut call: Call) -> Result<Response> {
    let elsewhere = match call.api.config.auth.strategy {
        Strategy::HttpBasic => {
            Some("This installation gives no tokens: send a name and a password with every request (HTTP Basic).")
        }
        Strategy::Keystone => Some("This installation gives no tokens: get one from the Keystone that it trusts."),
        Strategy::Token | Strategy::None => None,
    };
    if let Some(text) = elsewhere {
        return Err(Failure::new(StatusCode::FORBIDDEN, text));
    }
    let (proof, target) = login::parse(call.json().await?)?;
    let (token, session) = call.api.identity.login(call.from(), proof, target).await?;
    let mut response = ok(StatusCode::CREATED, &json!({"token": render(&call, &session)?}));
    set_subject(&mut response, token.expose_secret());
    Ok(response)
}

/// `GET` and `HEAD`: what the token of `X-Subject-Token` says. Everybody may look at their own.
pub(super) async fn show(call: Call) -> Result<Response> {
    let who = call.who().await?;
    let (subject, session) = subject(&call, &who, Action::IdentityRead).await?;
    let mut response = ok(StatusCode::OK, &json!({"token": render(&call, &session)?}));
    set_subject(&mut response, &subject);
    Ok(response)
}

/// `DELETE`: revokes the token of `X-Subject-Token`. Everybody may revoke their own.
pub(super) async fn revoke(call: Call) -> Result<Response> {
    let who = call.who().await?;
    let (subject, session) = subject(&call, &who, Action::IdentityChange).await?;
    if session.user.is_none() {
        let text = "A static token is revoked by taking it out of the configuration (auth.static_tokens).";
        return Err(Failure::new(StatusCode::FORBIDDEN, text));
    }
    if call.api.identity.token_revoke(&call.by(&who), &subject).await? { Ok(empty()) } else { Err(unknown()) }
}

fn unknown() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "Could not find token.")
}

/// The token that the request is about, if the caller may do `action` to it.
async fn subject(call: &Call, who: &Who, action: Action) -> Result<(String, std::sync::Arc<Session>)> {
    let header = call.headers.get("x-subject-token").and_then(|token| token.to_str().ok());
    let token = header.filter(|token| !token.is_empty()).ok_or_else(unknown)?;
    let session = call.api.identity.session(token).await?;
    let same_user = match (user_session(who), &session) {
        (Some(own), Some(subject)) => own.user == subject.user,
        _ => false,
    };
    let own = same_user || call.headers.get("x-auth-token").is_some_and(|own| own.as_bytes() == token.as_bytes());
    let allowed = if own { true } else { allowed_own(&who.caller, action, false) };
    if !allowed {
        return Err(Failure::denied(action.name()));
    }
    Ok((token.to_owned(), session.ok_or_else(unknown)?))
}

fn set_subject(response: &mut Response, token: &str) {
    if let Ok(value) = HeaderValue::from_str(token) {
        response.headers_mut().insert("x-subject-token", value);
    }
}

/// The domain, as it stands inside of users and projects.
pub(super) fn domain() -> Value {
    json!({"id": DOMAIN_ID, "name": DOMAIN_NAME})
}

/// A role, as it stands in tokens. Its name is its id.
pub(super) fn role(role: Role) -> Value {
    json!({"id": role.name(), "name": role.name()})
}

fn render(call: &Call, session: &Session) -> Result<Value> {
    let id = session.user.map_or_else(|| format!("static-{}", session.name), |id| id.to_string());
    let mut token = Map::new();
    let mut put = |name: &str, value: Value| token.insert(name.to_owned(), value);
    put("methods", json!(session.methods));
    put("user", json!({"id": id, "name": session.name, "domain": domain(), "password_expires_at": null}));
    put("audit_ids", json!(session.audit_ids));
    put("issued_at", session.issued_at.rfc3339().into());
    put("expires_at", session.expires_at.rfc3339().into());
    match &session.place {
        Place::Unscoped => {}
        Place::System => {
            put("system", json!({"all": true}));
        }
        Place::Project(project) => {
            put("project", json!({"id": project.id.to_string(), "name": project.name, "domain": domain()}));
            put("is_domain", false.into());
        }
    }
    if let Some(credential) = &session.credential {
        let restricted = !credential.unrestricted;
        let shown = json!({"id": credential.id.to_string(), "name": credential.name, "restricted": restricted});
        put("application_credential", shown);
    }
    if session.place != Place::Unscoped {
        put("roles", session.roles.iter().copied().map(role).collect());
        if call.flag("nocatalog")? != Some(true) {
            put("catalog", catalog::render(call).into());
        }
    }
    Ok(Value::Object(token))
}
