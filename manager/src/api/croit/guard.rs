//! Who may use a route of the dialect, and how often.

use std::net::IpAddr;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hostler_core::policy::{self, Action, Caller};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::Croit;
use super::limit::Refused;
use crate::api::auth::{self, AuthError, Who};
use crate::api::native::error::{Error, Result};
use crate::api::peer::Peer;
use crate::config::Strategy;
use crate::identity::By;

/// Who asks. Only behind [`guard`].
#[derive(Clone, Debug)]
pub struct Asker {
    /// What the policy table judges.
    pub caller: Caller,
    /// Where they are.
    pub address: Option<IpAddr>,
}

impl Asker {
    /// The name in the audit trail.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.caller.name
    }

    /// The same for the identity.
    #[must_use]
    pub fn by(&self) -> By {
        By { name: self.caller.name.clone(), from: self.address }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        parts.extensions.get().cloned().ok_or_else(|| Error::internal(&"a handler without its guard asks who asks"))
    }
}

/// Lets a request pass if its caller may do `action` and does not ask too often, and tells the handler who they are.
pub(super) async fn guard(
    State((croit, action)): State<(Croit, Option<Action>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
    let address = peer.source(request.headers(), &croit.api.config.listen.trusted_proxies);
    let now = croit.api.engine.clock.now();
    let Some(action) = action else {
        // Logins cost a hash each, and whoever guesses has no name yet.
        let key = address.map(|address| address.to_string()).unwrap_or_default();
        return match croit.logins.pass(&key, now) {
            Ok(()) => next.run(request).await,
            Err(refused) => too_many(refused),
        };
    };
    let who = match prove(&croit, request.headers(), &peer).await {
        Ok(who) => who,
        Err(error) => return error.into_response(),
    };
    if let Err(refused) = croit.calls.pass(&who.caller.name, now) {
        return too_many(refused);
    }
    tracing::Span::current().record("actor", who.caller.name.as_str());
    if !policy::allowed(&who.caller, action) {
        let text = format!("{} may not do {}; a role is missing", who.caller.name, action.name());
        return Error::new(StatusCode::FORBIDDEN, text).into_response();
    }
    let extensions = request.extensions_mut();
    extensions.insert(Asker { caller: who.caller.clone(), address });
    extensions.insert(who);
    next.run(request).await
}

fn too_many(Refused { wait_s }: Refused) -> Response {
    let text = format!("too many calls; wait {wait_s} seconds");
    let mut response = Error::new(StatusCode::TOO_MANY_REQUESTS, text).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
    response
}

async fn prove(croit: &Croit, headers: &HeaderMap, peer: &Peer) -> Result<Who> {
    let proved = auth::identify(&croit.api, headers, peer).await;
    proved.map_err(|error| match &error {
        AuthError::Missing | AuthError::Invalid => {
            let text = format!("{error}: send a valid token as Authorization: Bearer");
            let challenge = match croit.api.config.auth.strategy {
                Strategy::HttpBasic => "Basic realm=\"hostler\"",
                _ => "Bearer",
            };
            Error::new(StatusCode::UNAUTHORIZED, text).with_challenge(HeaderValue::from_static(challenge))
        }
        AuthError::Malformed(text) => Error::new(StatusCode::BAD_REQUEST, text.clone()),
        AuthError::Unavailable(text) => Error::new(StatusCode::SERVICE_UNAVAILABLE, text.clone()),
    })
}
