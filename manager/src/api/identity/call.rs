//! One request, as the handlers of the dialect see it.

use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use axum::extract::rejection::{QueryRejection, RawPathParamsRejection};
use axum::extract::{FromRequest, FromRequestParts as _, NestedPath, Query, RawPathParams, Request};
use axum::response::{IntoResponse as _, Response};
use hostler_common::id::uuid_like;
use hostler_core::policy::{Action, allowed, allowed_own};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use uuid::Uuid;

use super::failure::Failure;
use crate::api::Api;
use crate::api::auth::{Who, identify};
use crate::api::origin::origin;
use crate::api::peer::Peer;
use crate::identity::{By, Session};

/// The largest body, in bytes.
const BODY_MAX: usize = 1 << 20;

/// The longest page of a list, and the length of one that asks for no limit.
const PAGE_MAX: u32 = 1000;

/// A request.
pub(super) struct Call {
    pub(super) api: Api,
    pub(super) headers: HeaderMap,
    pub(super) peer: Peer,
    base: String,
    prefix: String,
    target: String,
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
    // Handlers hold a call over their waits, and a body alone cannot be shared; nobody ever locks it.
    body: Mutex<Body>,
}

impl FromRequest<Api> for Call {
    type Rejection = Failure;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let path = RawPathParams::from_request_parts(&mut parts, api).await;
        let path = path.map_err(|_: RawPathParamsRejection| Failure::invalid("URL", "must be UTF-8 when decoded"))?;
        let path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let query = Query::try_from_uri(&parts.uri);
        let Query(query) =
            query.map_err(|_: QueryRejection| Failure::invalid("URL", "must have a query of name=value pairs"))?;
        let nested = NestedPath::from_request_parts(&mut parts, api).await;
        let prefix = nested.map(|nested| nested.as_str().trim_end_matches('/').to_owned()).unwrap_or_default();
        let peer = parts.extensions.get::<Peer>().cloned().unwrap_or_default();
        let base = origin(&api.config.listen, &parts.headers, &peer);
        let target = parts.uri.path_and_query().map_or_else(String::new, |target| target.as_str().to_owned());
        Ok(Self {
            api: api.clone(),
            headers: parts.headers,
            peer,
            base,
            prefix,
            target,
            path,
            query,
            body: Mutex::new(body),
        })
    }
}

impl Call {
    /// What the URLs of all dialects begin with.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The URL of something of this dialect; `path` begins after `/v3`.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{}/v3{path}", self.base, self.prefix)
    }

    /// The URL of this request.
    pub(super) fn own_url(&self) -> String {
        format!("{}{}{}", self.base, self.prefix, self.target)
    }

    /// A part of the path; the routes have it by that name.
    pub(super) fn part(&self, name: &str) -> &str {
        self.path.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// A part of the path that must be the id of a `noun`.
    pub(super) fn id<T>(&self, name: &str, noun: &str, make: impl FnOnce(Uuid) -> T) -> Result<T, Failure> {
        let text = self.part(name);
        uuid_like(text).map(make).ok_or_else(|| Failure::missing(noun, text))
    }

    /// A parameter of the query; of several the first counts.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A truth value of the query. Nothing but the name means yes.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Failure> {
        let Some(text) = self.param(name) else { return Ok(None) };
        match text.to_ascii_lowercase().as_str() {
            "" | "true" | "1" | "yes" => Ok(Some(true)),
            "false" | "0" | "no" => Ok(Some(false)),
            _ => Err(Failure::invalid(name, "must be true or false")),
        }
    }

    /// Whether the query names another domain than the one there is, so that nothing can match.
    pub(super) fn elsewhere(&self) -> bool {
        self.param("domain_id").is_some_and(|id| !id.is_empty() && id != crate::identity::DOMAIN_ID)
    }

    /// `limit` and `marker` of the query.
    pub(super) fn page(&self) -> Result<(u32, Option<Uuid>), Failure> {
        let limit = match self.param("limit") {
            None => PAGE_MAX,
            Some(text) => match text.parse::<u32>() {
                Ok(limit) if limit > 0 => limit.min(PAGE_MAX),
                _ => return Err(Failure::invalid("limit", "must be a whole number above 0")),
            },
        };
        let marker = match self.param("marker") {
            None => None,
            Some(text) => Some(uuid_like(text).ok_or_else(|| Failure::invalid("marker", "must be an id"))?),
        };
        Ok((limit, marker))
    }

    /// Who calls.
    pub(super) async fn who(&self) -> Result<Who, Failure> {
        Ok(identify(&self.api, &self.headers, &self.peer).await?)
    }

    /// Who calls, if they may do that.
    pub(super) async fn require(&self, action: Action) -> Result<Who, Failure> {
        let who = self.who().await?;
        if allowed(&who.caller, action) { Ok(who) } else { Err(Failure::denied(action.name())) }
    }

    /// Who calls, if they may do that to the user of this id.
    pub(super) async fn require_for(&self, action: Action, user: Option<Uuid>) -> Result<Who, Failure> {
        let who = self.who().await?;
        let own = user.is_some() && user == who.session.as_ref().and_then(|session| session.user).map(|id| id.0);
        if allowed_own(&who.caller, action, own) { Ok(who) } else { Err(Failure::denied(action.name())) }
    }

    /// Where the request comes from.
    pub(super) fn from(&self) -> Option<std::net::IpAddr> {
        self.peer.source(&self.headers, &self.api.config.listen.trusted_proxies)
    }

    /// How the audit trail speaks of them.
    pub(super) fn by(&self, who: &Who) -> By {
        By { name: who.caller.name.clone(), from: self.from() }
    }

    /// The body, which must be JSON, and nested no deeper than anything that we take.
    pub(super) async fn json(&mut self) -> Result<Value, Failure> {
        let too_large =
            || Failure::new(StatusCode::PAYLOAD_TOO_LARGE, format!("The body is larger than {BODY_MAX} bytes."));
        let announced = self.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: u64| length > BODY_MAX as u64) {
            return Err(too_large());
        }
        let body = std::mem::take(self.body.get_mut().unwrap_or_else(PoisonError::into_inner));
        let body = http_body_util::Limited::new(body, BODY_MAX);
        let body = http_body_util::BodyExt::collect(body).await.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                too_large()
            } else {
                Failure::new(StatusCode::BAD_REQUEST, "The body ended before it was complete.")
            }
        })?;
        serde_json::from_slice(&body.to_bytes())
            .map_err(|error| Failure::new(StatusCode::BAD_REQUEST, format!("The body is not JSON: {error}")))
    }
}

/// A session of a user, where one is needed: static tokens and callers without a token have none.
pub(super) fn user_session(who: &Who) -> Option<&Session> {
    who.session.as_deref().filter(|session| session.user.is_some())
}

/// An answer with a body.
pub(super) fn ok(status: StatusCode, body: &Value) -> Response {
    (status, axum::Json(body)).into_response()
}

/// An answer without a body.
pub(super) fn empty() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// The answer of a list that has no pages.
pub(super) fn listed(call: &Call, key: &str, items: Vec<Value>) -> Response {
    paged(call, key, items, None)
}

/// The answer of a list; `last` is the id of the last item if there may be more.
pub(super) fn paged(call: &Call, key: &str, items: Vec<Value>, last: Option<String>) -> Response {
    let next = last.map(|last| {
        let others = call.query.iter().filter(|(name, _)| name != "marker");
        let pairs = others.map(|(name, value)| (name.as_str(), value.as_str())).chain([("marker", last.as_str())]);
        let query: Vec<String> = pairs.map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
        let own = call.own_url();
        format!("{}?{}", own.split('?').next().unwrap_or_default(), query.join("&"))
    });
    let links = json!({"self": call.own_url(), "previous": null, "next": next});
    let mut body = serde_json::Map::new();
    body.insert(key.to_owned(), Value::Array(items));
    body.insert("links".into(), links);
    // The SDK follows this and not `links`, as that is an object here; of a `Link` header it dies.
    if let Some(next) = next {
        body.insert("next".into(), next.into());
    }
    ok(StatusCode::OK, &Value::Object(body))
}

/// Text as it may stand in a query.
fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}
