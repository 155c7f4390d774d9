//! Who asks: turns what a request proves into a [`Caller`].

use hostler_core::policy::{Caller, Role};
use http::HeaderMap;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Api;
use super::server::Peer;
use crate::config::Strategy;

/// Why nobody could be made out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Nothing was proved.
    #[error("a token is needed: X-Auth-Token or Authorization: Bearer")]
    Missing,
    /// What was given does not count, or not any more.
    #[error("the token does not count, or not any more")]
    Invalid,
    /// What was given cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// It cannot be checked at the moment.
    #[error("{0}")]
    Unavailable(String),
}

/// The caller of a request.
///
/// # Errors
/// See [`AuthError`].
pub async fn authenticate(api: &Api, headers: &HeaderMap, _peer: &Peer) -> Result<Caller, AuthError> {
    if api.config.auth.strategy == Strategy::None {
        return Ok(Caller::anonymous());
    }
    let bearer = headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
    let token = headers.get("x-auth-token").and_then(|value| value.to_str().ok()).or(bearer);
    let hash = hex::encode(Sha256::digest(token.ok_or(AuthError::Missing)?.as_bytes()));
    let known = &api.config.auth.static_tokens;
    let found = known.iter().find(|known| bool::from(known.token_sha256.as_bytes().ct_eq(hash.as_bytes())));
    let found = found.ok_or(AuthError::Invalid)?;
    let roles = found.roles.iter().filter_map(|role| Role::from_name(role)).collect();
    Ok(Caller { name: format!("token:{}", found.name), roles, system_scope: false })
}
