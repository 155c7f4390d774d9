//! Who may use a route: authentication and policy, in front of every handler that is not public.

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hostler_core::policy::{self, Action, Caller};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::error::{Error, Result};
use crate::api::Api;
use crate::api::auth::{self, AuthError};
use crate::api::peer::Peer;

/// Who asks, by the name of the audit trail. Only behind [`guard`].
#[derive(Clone, Debug)]
pub struct Actor(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Actor {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        parts.extensions.get().cloned().ok_or_else(|| Error::internal(&"a handler without its guard asks who asks"))
    }
}

/// Lets a request pass if its caller may do `action`, and tells the handler who they are.
pub async fn guard(State((api, action)): State<(Api, Action)>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
    match admit(&api, request.headers(), &peer, action).await {
        Ok(caller) => {
            request.extensions_mut().insert(Actor(caller.name));
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

/// The caller of a request who may do `action`.
///
/// # Errors
/// 401 if nobody can be made out, 403 if they may not.
pub async fn admit(api: &Api, headers: &HeaderMap, peer: &Peer, action: Action) -> Result<Caller> {
    let caller = auth::authenticate(api, headers, peer).await.map_err(|error| refused(api, headers, peer, &error))?;
    tracing::Span::current().record("actor", caller.name.as_str());
    if policy::allowed(&caller, action) {
        return Ok(caller);
    }
    let text = format!("{} may not do {}; a role is missing", caller.name, action.name());
    Err(Error::new(StatusCode::FORBIDDEN, text))
}

fn refused(api: &Api, headers: &HeaderMap, peer: &Peer, error: &AuthError) -> Error {
    let text = error.to_string();
    match error {
        AuthError::Missing | AuthError::Invalid => {
            let text = format!("{text}: send a valid token in X-Auth-Token or Authorization: Bearer");
            let error = Error::new(StatusCode::UNAUTHORIZED, text);
            match HeaderValue::from_str(&auth::challenge(api, headers, peer)) {
                Ok(challenge) => error.with_challenge(challenge),
                Err(_) => error,
            }
        }
        AuthError::Malformed(_) => Error::new(StatusCode::BAD_REQUEST, text),
        AuthError::Unavailable(_) => Error::new(StatusCode::SERVICE_UNAVAILABLE, text),
    }
}
