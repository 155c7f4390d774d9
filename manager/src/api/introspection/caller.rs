//! Who asks, and from where.

use std::net::IpAddr;

use axum::extract::ConnectInfo;
use base64::Engine as _;
use hostler_core::policy::{Caller, Role};
use http::header::WWW_AUTHENTICATE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::error::Failure;
use crate::api::Api;
use crate::config::Strategy;

/// The other end of the connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peer {
    /// Its address, where there is one.
    pub(super) address: Option<IpAddr>,
    /// Whether it showed a client certificate that counts.
    pub(super) certified: bool,
}

/// The other end of the connection that a request came on.
pub(super) fn peer(parts: &Parts) -> Peer {
    let address = parts.extensions.get::<ConnectInfo<std::net::SocketAddr>>().map(|info| info.0.ip());
    Peer { address, certified: false }
}

/// Who asks.
///
/// # Errors
/// 401 where the proof is missing or wrong.
pub(super) async fn caller(api: &Api, headers: &HeaderMap, _peer: &Peer) -> Result<Caller, Failure> {
    if api.config.auth.strategy == Strategy::None {
        return Ok(Caller::anonymous());
    }
    let token = headers.get("x-auth-token").ok_or_else(unauthenticated)?;
    let digest = hex::encode(Sha256::digest(token.as_bytes()));
    for known in &api.config.auth.static_tokens {
        if bool::from(known.token_sha256.to_lowercase().as_bytes().ct_eq(digest.as_bytes())) {
            let roles = known.roles.iter().filter_map(|role| Role::from_name(role)).collect();
            return Ok(Caller { name: format!("token:{}", known.name), roles, system_scope: false });
        }
    }
    Err(unauthenticated())
}

fn unauthenticated() -> Failure {
    Failure::new(StatusCode::UNAUTHORIZED, "Authentication required")
        .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Keystone"))
}

/// Refuses credentials that cannot be read, before anything else is looked at (spec/introspection.md §1.4).
///
/// # Errors
/// 400 where HTTP Basic is asked for and the header is of another scheme or not decodable.
pub(super) fn malformed_proof(api: &Api, headers: &HeaderMap) -> Result<(), Failure> {
    if api.config.auth.strategy != Strategy::HttpBasic {
        return Ok(());
    }
    let Some(value) = headers.get(http::header::AUTHORIZATION) else { return Ok(()) };
    let readable = value.to_str().ok().and_then(|text| text.trim().split_once(' ')).is_some_and(|(scheme, token)| {
        scheme.eq_ignore_ascii_case("basic")
            && base64::engine::general_purpose::STANDARD
                .decode(token.trim())
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .is_some_and(|text| text.contains(':'))
    });
    if readable {
        Ok(())
    } else {
        Err(Failure::invalid("Only Basic authentication with readable credentials is supported"))
    }
}
