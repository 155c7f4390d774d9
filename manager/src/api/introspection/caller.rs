//! Who asks, in the dialect's own errors (spec/introspection.md §1.4).

use hostler_core::policy::Caller;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::error::Failure;
use crate::api::Api;
use crate::api::auth::{AuthError, authenticate, challenge, check_form};
use crate::api::peer::Peer;

/// Who asks.
///
/// # Errors
/// 401 where the proof is missing or wrong, 503 where it cannot be checked.
pub(super) async fn caller(api: &Api, headers: &HeaderMap, peer: &Peer) -> Result<Caller, Failure> {
    authenticate(api, headers, peer).await.map_err(|error| match error {
        AuthError::Missing | AuthError::Invalid => {
            let failure = Failure::new(StatusCode::UNAUTHORIZED, "Authentication required");
            match HeaderValue::from_str(&challenge(api, headers, peer)) {
                Ok(challenge) => failure.with_header(WWW_AUTHENTICATE, challenge),
                Err(_) => failure,
            }
        }
        AuthError::Malformed(text) => Failure::invalid(text),
        AuthError::Unavailable(text) => Failure::new(StatusCode::SERVICE_UNAVAILABLE, text),
    })
}

/// Refuses credentials that cannot be read, before anything else is looked at (spec/introspection.md §1.4).
///
/// # Errors
/// 400 where HTTP Basic is asked for and the header is of another scheme or not decodable.
pub(super) fn malformed_proof(api: &Api, headers: &HeaderMap) -> Result<(), Failure> {
    check_form(api, headers).map_err(|error| Failure::invalid(error.to_string()))
}
