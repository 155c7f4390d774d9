//! Logins and tokens of the dialect, over the embedded identity (spec/hooks.md §2.1).

use std::net::IpAddr;
use std::time::Duration;

use axum::Json as Answer;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hostler_core::policy::{Caller, Role};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::json;

use super::Croit;
use super::body::{Form, empty};
use super::failure::identity_failure;
use super::guard::Asker;
use crate::api::audit;
use crate::api::auth::{Who, token_of};
use crate::api::native::error::{Error, Result};
use crate::api::peer::Peer;
use crate::identity::{self, Proof, Target, UserRef};
use crate::store::identity::user_number;

/// `Token`, as croit answers a login.
#[derive(Clone, Debug, Serialize)]
struct Token {
    access_token: String,
    token_type: &'static str,
    expires_in: String,
    roles: Vec<&'static str>,
    #[serde(rename = "userId")]
    user_id: i64,
    #[serde(rename = "passwordWasNeverChanged")]
    password_was_never_changed: bool,
}

/// The roles of a caller as the dialect names them.
fn roles(caller: &Caller) -> Vec<&'static str> {
    let mut names = Vec::with_capacity(2);
    if caller.has(Role::Admin) {
        names.push("admin");
    }
    if !caller.roles.is_empty() {
        names.push("viewer");
    }
    names
}

/// A length of time as ISO 8601 writes it.
fn iso_duration(length: Duration) -> String {
    let seconds = length.as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    if rest == 0 && days > 0 {
        return format!("P{days}D");
    }
    let parts = [(rest / 3600, 'H'), (rest % 3600 / 60, 'M'), (rest % 60, 'S')];
    let mut text = if days > 0 { format!("P{days}DT") } else { "PT".to_owned() };
    for (count, unit) in parts.into_iter().filter(|(count, _)| *count > 0) {
        text.push_str(&format!("{count}{unit}"));
    }
    if text == "PT" { "PT0S".into() } else { text }
}

/// `POST /auth/login`: HTTP Basic.
pub(super) async fn basic(
    State(croit): State<Croit>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Result<Response> {
    let missing = || {
        let challenge = HeaderValue::from_static("Basic realm=\"hostler\"");
        Error::new(StatusCode::UNAUTHORIZED, "send name and password as HTTP Basic").with_challenge(challenge)
    };
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(missing)?;
    let (scheme, proof) = value.trim().split_once(' ').ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(missing());
    }
    let decoded = BASE64.decode(proof.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or_else(missing)?;
    let (name, password) = decoded.split_once(':').ok_or_else(missing)?;
    login(&croit, source(&croit, peer, &headers), name, password.to_owned().into()).await
}

/// `POST /auth/login-form`: a form with name and password.
pub(super) async fn form(
    State(croit): State<Croit>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response> {
    if form.get("grant_type") != Some("password") {
        return Err(Error::field("grant_type", "must be password"));
    }
    let field = |name: &str| form.get(name).ok_or_else(|| Error::field(name, "is required"));
    let (name, password) = (field("username")?, field("password")?);
    login(&croit, source(&croit, peer, &headers), name, password.to_owned().into()).await
}

fn source(croit: &Croit, peer: Option<Extension<Peer>>, headers: &HeaderMap) -> Option<IpAddr> {
    let Extension(peer) = peer.unwrap_or_default();
    peer.source(headers, &croit.api.config.listen.trusted_proxies)
}

async fn login(croit: &Croit, from: Option<IpAddr>, name: &str, password: SecretString) -> Result<Response> {
    let proof = || Proof::Password { user: UserRef::Name(name.to_owned()), password: password.clone() };
    let identity = &croit.api.identity;
    // Administrators have roles in the system; others may have some in their own project only.
    let (token, session) = match identity.login(from, proof(), Target::System).await {
        Err(identity::Error::Unauthenticated(_)) => identity.login(from, proof(), Target::Default).await,
        done => done,
    }
    .map_err(identity_failure)?;
    let caller = session.caller();
    audit::called_by(&caller.name, false);
    let known = match session.user {
        Some(user) => user_number(&mut *croit.api.engine.store.read().await?, user).await?,
        None => None,
    };
    let (user_id, changed) = known.unwrap_or((0, true));
    let now = croit.api.engine.clock.now();
    let token = Token {
        access_token: token.expose_secret().to_owned(),
        token_type: "bearer",
        expires_in: iso_duration(session.expires_at.since(now)),
        roles: roles(&caller),
        user_id,
        password_was_never_changed: !changed,
    };
    // The native layer says the same of all answers; here it is part of the contract.
    Ok(([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Answer(token)).into_response())
}

/// `POST /auth/logout`
pub(super) async fn logout(State(croit): State<Croit>, asker: Asker, headers: HeaderMap) -> Result<Response> {
    // A static token stays: it is part of the configuration.
    if let Ok(Some(token)) = token_of(&headers) {
        let identity = &croit.api.identity;
        if !identity.token_revoke(&asker.by(), token).await.map_err(identity_failure)? {
            identity.api_token_logout(&asker.by(), token).await.map_err(identity_failure)?;
        }
    }
    Ok(empty(StatusCode::CREATED))
}

/// `GET /auth/token-info`. Roles are in capitals here, as croit's own client compares them so (spec/hooks.md §2.1).
pub(super) async fn token_info(Extension(who): Extension<Who>) -> Response {
    let roles: Vec<String> = roles(&who.caller).into_iter().map(str::to_ascii_uppercase).collect();
    let session = who.session.as_ref();
    let name = session.map_or(who.caller.name.as_str(), |session| session.name.as_str());
    let ends = session.filter(|session| session.user.is_some() || session.of_api_token());
    let expiry = ends.map(|session| session.expires_at).filter(|end| end.as_micros() != i64::MAX);
    Answer(json!({
        "username": name, "roles": roles, "expiry": expiry.map(hostler_common::time::Timestamp::rfc3339),
        "oidcId": null, "oidcSubject": null,
    }))
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        for (seconds, text) in [(0, "PT0S"), (86_400, "P1D"), (3600, "PT1H"), (90_061, "P1DT1H1M1S"), (59, "PT59S")] {
            assert_eq!(iso_duration(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn names_of_roles() {
        let caller =
            |roles: &[Role]| Caller { name: "x".into(), roles: roles.to_vec(), system_scope: true, project: None };
        assert_eq!(roles(&caller(&Role::ALL)), ["admin", "viewer"]);
        assert_eq!(roles(&caller(&[Role::Reader])), ["viewer"]);
        assert_eq!(roles(&caller(&[])), [""; 0]);
    }
}
