//! Who asks: what the common check of identity says, in the words of this dialect (spec/introspection.md §1.4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hostler_core::policy::Caller;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::error::Failure;
use crate::api::Api;
use crate::api::auth::{AuthError, Peer, authenticate, challenge};
use crate::config::Strategy;

/// Who asks.
///
/// # Errors
/// 401 where the proof is missing or wrong, 400 where it cannot be read, 503 where it cannot be checked.
pub(super) async fn caller(api: &Api, headers: &HeaderMap, peer: &Peer) -> Result<Caller, Failure> {
    authenticate(api, headers, peer).await.map_err(|error| match error {
        AuthError::Missing | AuthError::Invalid => {
            let failure = Failure::new(StatusCode::UNAUTHORIZED, error.to_string());
            match HeaderValue::from_str(&challenge(api, headers, peer)) {
                Ok(value) => failure.with_header(WWW_AUTHENTICATE, value),
                Err(_) => failure,
            }
        }
        AuthError::Malformed(text) => Failure::invalid(text),
        AuthError::Unavailable(text) => Failure::unavailable(text),
    })
}

/// Refuses HTTP Basic credentials that cannot be read, before anything else is looked at. Credentials that can be read are
/// not checked here: that is slow on purpose, and public resources need none.
///
/// # Errors
/// 400.
pub(super) async fn refuse_malformed(api: &Api, headers: &HeaderMap, peer: &Peer) -> Result<(), Failure> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(()) };
    if api.config.auth.strategy != Strategy::HttpBasic || value.to_str().is_ok_and(is_readable) {
        return Ok(());
    }
    match authenticate(api, headers, peer).await {
        Err(AuthError::Malformed(text)) => Err(Failure::invalid(text)),
        _ => Ok(()),
    }
}

fn is_readable(value: &str) -> bool {
    let credentials = value.trim().split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let decoded = credentials.and_then(|(_, proof)| STANDARD.decode(proof.trim()).ok());
    decoded.and_then(|bytes| String::from_utf8(bytes).ok()).is_some_and(|text| text.contains(':'))
}
