//! Who calls: one function for all dialects, by the strategy of the configuration (spec/introspection.md §1.4).
//!
//! Identity headers that a client sends (`X-Roles`, `X-User-Id`, `X-Identity-Status` and their kind) are never read: what is
//! not read cannot be forged. A dialect turns an [`AuthError`] into its own 401, 400 or 503 and sends [`challenge`] with 401.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hostler_common::error::Class;
use hostler_core::policy::{Caller, Role};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::SecretString;

use super::Api;
use super::origin::origin;
use super::peer::Peer;
use crate::config::Strategy;
use crate::identity::{self, Session};

/// The token of clients that are told to use none (spec/introspection.md §1.4).
const NO_TOKEN: &[u8] = b"notused";

/// Why nobody knows who calls.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No proof was sent. 401.
    #[error("Authentication required")]
    Missing,
    /// The proof does not hold. 401, with the same text: what was wrong is for the audit trail.
    #[error("Authentication required")]
    Invalid,
    /// What was sent is no proof at all; the text says why. 400.
    #[error("{0}")]
    Malformed(String),
    /// The proof cannot be checked at the moment; the text says why. 503.
    #[error("{0}")]
    Unavailable(String),
}

/// A caller, and the session of their token where they brought one.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) caller: Caller,
    pub(super) session: Option<Arc<Session>>,
}

impl Who {
    fn of(session: Arc<Session>) -> Self {
        Self { caller: session.caller(), session: Some(session) }
    }
}

/// Who calls.
///
/// # Errors
/// See [`AuthError`].
pub async fn authenticate(api: &Api, headers: &HeaderMap, peer: &Peer) -> Result<Caller, AuthError> {
    identify(api, headers, peer).await.map(|who| who.caller)
}

/// The `WWW-Authenticate` header that goes with a 401.
#[must_use]
pub fn challenge(api: &Api, headers: &HeaderMap, peer: &Peer) -> String {
    match api.config.auth.strategy {
        Strategy::HttpBasic => "Basic realm=\"introspection\"".into(),
        Strategy::Keystone => {
            let keystone = api.config.auth.keystone.as_ref().map(|keystone| keystone.v3());
            format!("Keystone uri=\"{}\"", keystone.unwrap_or_default())
        }
        Strategy::Token | Strategy::None => {
            format!("Keystone uri=\"{}/identity/v3\"", origin(&api.config.listen, headers, peer))
        }
    }
}

/// Who calls, and with which session. The audit trail is told.
pub(super) async fn identify(api: &Api, headers: &HeaderMap, peer: &Peer) -> Result<Who, AuthError> {
    let who = prove(api, headers, peer).await?;
    super::audit::called_by(&who.caller.name, who.session.as_ref().is_some_and(|session| session.of_hook()));
    Ok(who)
}

async fn prove(api: &Api, headers: &HeaderMap, peer: &Peer) -> Result<Who, AuthError> {
    if api.config.auth.strategy != Strategy::None
        && let Some(caller) = certified(api, headers, peer)
    {
        return Ok(Who { caller, session: None });
    }
    match api.config.auth.strategy {
        // Clients without authentication still send `X-Auth-Token: notused`; nothing of it is looked at.
        Strategy::None => Ok(Who { caller: Caller::anonymous(), session: None }),
        Strategy::Token => {
            let token = token_of(headers)?.ok_or(AuthError::Missing)?;
            let session = api.identity.session(token).await.map_err(|error| unavailable(&error))?;
            session.map(Who::of).ok_or(AuthError::Invalid)
        }
        Strategy::HttpBasic => basic(api, headers, peer).await,
        Strategy::Keystone => {
            let token = token_of(headers)?.ok_or(AuthError::Missing)?;
            if let Some(session) = api.identity.static_session(token) {
                return Ok(Who::of(Arc::new(session)));
            }
            let caller = api.identity.keystone_caller(token).await.map_err(|error| unavailable(&error))?;
            caller.map(|caller| Who { caller: (*caller).clone(), session: None }).ok_or(AuthError::Invalid)
        }
    }
}

/// Who the owner of the connection's certificate is, unless the request brings a proof of its own: that one counts then,
/// so that a program that passes requests of others on lends none of them its rights.
fn certified(api: &Api, headers: &HeaderMap, peer: &Peer) -> Option<Caller> {
    let certificate = peer.certificate.as_deref()?;
    // What stock clients send where they are told to send no token.
    let none = |value: &http::HeaderValue| value.is_empty() || value.as_bytes() == NO_TOKEN;
    if headers.contains_key(AUTHORIZATION) || headers.get("x-auth-token").is_some_and(|value| !none(value)) {
        return None;
    }
    certificate.caller(&api.config.auth.client_certificates, api.engine.clock.now())
}

/// The token of a request: `X-Auth-Token`, or else `Authorization: Bearer`. Nothing that is empty counts as sent.
pub(super) fn token_of(headers: &HeaderMap) -> Result<Option<&str>, AuthError> {
    if let Some(value) = headers.get("x-auth-token").filter(|value| !value.is_empty()) {
        return value.to_str().map(Some).map_err(|_| AuthError::Invalid);
    }
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let value = value.to_str().map_err(|_| AuthError::Invalid)?;
    Ok(scheme(value).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token))
}

/// The scheme of an `Authorization` header and what follows it.
fn scheme(value: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = value.trim().split_once(' ')?;
    Some((scheme, rest.trim())).filter(|(_, rest)| !rest.is_empty())
}

/// Refuses a proof that cannot be read at all; where a dialect must say so before it looks at anything else.
///
/// # Errors
/// [`AuthError::Malformed`].
pub fn check_form(api: &Api, headers: &HeaderMap) -> Result<(), AuthError> {
    if api.config.auth.strategy == Strategy::HttpBasic {
        basic_proof(headers)?;
    }
    Ok(())
}

/// Name and password of HTTP Basic; `None` where there is no such header, or a bearer token.
fn basic_proof(headers: &HeaderMap) -> Result<Option<(String, String)>, AuthError> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let malformed = |why: &str| AuthError::Malformed(format!("Malformed Authorization header: {why}"));
    let value = value.to_str().map_err(|_| malformed("it has bytes that are not ASCII"))?;
    let (scheme, proof) = scheme(value).ok_or_else(|| malformed("expected a scheme and credentials"))?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(None);
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed("only Basic authentication is supported"));
    }
    let decoded = STANDARD.decode(proof).map_err(|_| malformed("the credentials are not base64"))?;
    let decoded = String::from_utf8(decoded).map_err(|_| malformed("the credentials are not UTF-8"))?;
    let (name, password) = decoded.split_once(':').ok_or_else(|| malformed("expected name:password"))?;
    Ok(Some((name.to_owned(), password.to_owned())))
}

/// HTTP Basic against the password file. Static tokens count too, identity tokens do not: this strategy has its users in
/// the file.
async fn basic(api: &Api, headers: &HeaderMap, peer: &Peer) -> Result<Who, AuthError> {
    if let Some(session) = token_of(headers)?.and_then(|token| api.identity.static_session(token)) {
        return Ok(Who::of(Arc::new(session)));
    }
    let Some((name, password)) = basic_proof(headers)? else {
        return Err(if token_of(headers)?.is_some() { AuthError::Invalid } else { AuthError::Missing });
    };
    let matches = api.identity.password_file_matches(&name, &SecretString::from(password)).await;
    if matches.map_err(|error| unavailable(&error))? {
        let caller =
            Caller { name: format!("user:{name}"), roles: Role::ALL.to_vec(), system_scope: true, project: None };
        return Ok(Who { caller, session: None });
    }
    let from = peer.source(headers, &api.config.listen.trusted_proxies);
    api.identity.login_failed(from, "http_basic", &name, "wrong name or password").await;
    Err(AuthError::Invalid)
}

/// What a failure of the identity is to somebody whose proof it should have checked.
fn unavailable(error: &identity::Error) -> AuthError {
    match error {
        identity::Error::Unauthenticated(_) => AuthError::Invalid,
        identity::Error::Refused(Class::Unavailable, text) => AuthError::Unavailable(text.clone()),
        other => {
            tracing::error!(error = %other, "a proof cannot be checked");
            AuthError::Unavailable("Identity cannot be checked at the moment; try again.".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn where_a_token_is_looked_for() {
        assert_eq!(token_of(&headers(&[("x-auth-token", "a"), ("authorization", "Bearer b")])), Ok(Some("a")));
        assert_eq!(token_of(&headers(&[("x-auth-token", ""), ("authorization", "bearer  b")])), Ok(Some("b")));
        assert_eq!(token_of(&headers(&[("authorization", "Basic b")])), Ok(None));
        assert_eq!(token_of(&headers(&[("authorization", "Bearer")])), Ok(None));
        assert_eq!(token_of(&headers(&[("x-roles", "admin"), ("x-identity-status", "Confirmed")])), Ok(None));
    }
}
