//! What is the same for every request: the order of checks, the headers of every answer, `HEAD` and `OPTIONS`
//! (spec/introspection.md §1.1, §1.4).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use futures::FutureExt as _;
use hostler_core::policy::{self, Caller};
use http::header::ALLOW;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::json;
use tracing::Instrument as _;

use super::caller::{caller, malformed_proof};
use super::error::Failure;
use super::path::Resource;
use super::version::{self, Version};
use super::{Dialect, body, callback, data, json, list, rules, runs};
use crate::api::answer::without_body;
use crate::api::links::Links;
use crate::api::peer::Peer;
use crate::api::request_id::{OPENSTACK_HEADER, RequestId};
use crate::store::introspection::DataKind;

/// How long a request may take, but for a callback, which waits for a run.
const PATIENCE: Duration = Duration::from_secs(90);

/// A request whose sender may make it.
pub(super) struct Call<'a> {
    pub(super) dialect: &'a Dialect,
    pub(super) parts: &'a Parts,
    pub(super) peer: Peer,
    /// Who asks; `None` where everybody may.
    pub(super) caller: Option<Caller>,
    pub(super) version: Version,
    pub(super) links: Links,
}

impl Call<'_> {
    /// The caller's name for the audit trail.
    pub(super) fn actor(&self) -> Option<&str> {
        self.caller.as_ref().map(|caller| caller.name.as_str())
    }
}

/// Answers any request to the dialect.
pub(super) async fn dispatch(State(dialect): State<Arc<Dialect>>, request: Request) -> Response<Body> {
    let id = request.extensions().get().cloned().unwrap_or_else(|| RequestId::of(request.headers()));
    let head = request.method() == Method::HEAD;
    let span = tracing::info_span!("introspection", request = id.as_str());
    let serving = AssertUnwindSafe(serve(&dialect, request)).catch_unwind().instrument(span.clone());
    let answer = serving.await.unwrap_or_else(|_| {
        span.in_scope(|| tracing::error!("the handler panicked"));
        Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error"))
    });
    let mut response = answer.unwrap_or_else(Failure::into_response);
    version::announce(response.headers_mut());
    response.headers_mut().insert(OPENSTACK_HEADER, id.value());
    if head { without_body(response).await } else { response }
}

async fn serve(dialect: &Dialect, request: Request) -> Result<Response<Body>, Failure> {
    let (parts, body) = request.into_parts();
    malformed_proof(&dialect.api, &parts.headers)?;
    let version = version::negotiate(&parts.headers)?;
    let path = parts.uri.path();
    let resource = Resource::of(path.strip_prefix(&dialect.mount).unwrap_or(path))?;
    let allow = HeaderValue::from_static(resource.allow());
    if !resource.allows(&parts.method) {
        let text = "405 Method Not Allowed: The method is not allowed for the requested URL.";
        return Err(Failure::new(StatusCode::METHOD_NOT_ALLOWED, text).with_header(ALLOW, allow));
    }
    if parts.method == Method::OPTIONS {
        let mut response = Response::new(Body::empty());
        response.headers_mut().insert(ALLOW, allow);
        return Ok(response);
    }
    let peer = Peer::of(&parts);
    let caller = match resource.action(&parts.method) {
        None => None,
        Some(action) => {
            let caller = caller(&dialect.api, &parts.headers, &peer).await?;
            if !policy::allowed(&caller, action) {
                tracing::info!(caller = caller.name, action = action.name(), "denied");
                return Err(Failure::denied());
            }
            Some(caller)
        }
    };
    let links = Links::of(&dialect.api.config, &dialect.mount, &parts, &peer);
    let call = Call { dialect, parts: &parts, peer, caller, version, links };
    if matches!(resource, Resource::Continue) {
        return callback::post(&call, body).await;
    }
    tokio::time::timeout(PATIENCE, handle(&call, resource, body))
        .await
        .unwrap_or_else(|_| Err(Failure::unavailable("The request took too long, please, retry later")))
}

async fn handle(call: &Call<'_>, resource: Resource, body: Body) -> Result<Response<Body>, Failure> {
    // `HEAD` is left: what does not change anything is answered like `GET`.
    let (post, delete) = (call.parts.method == Method::POST, call.parts.method == Method::DELETE);
    match resource {
        Resource::Root => Ok(versions(&call.links)),
        Resource::Version => Ok(resources(&call.links)),
        Resource::Continue => callback::post(call, body).await,
        Resource::Statuses => list::get(call).await,
        Resource::Status(node) if post => runs::start(call, &node, read_small(body).await?).await,
        Resource::Status(node) => runs::show(call, &node).await,
        Resource::Abort(node) => runs::abort(call, &node, read_small(body).await?).await,
        Resource::Data(node, DataKind::Unprocessed) if post => runs::reapply(call, &node, body).await,
        Resource::Data(node, kind) => data::get(call, &node, kind).await,
        Resource::Rules if post => rules::create(call, None, read_small(body).await?).await,
        Resource::Rules if delete => rules::purge(call, read_small(body).await?).await,
        Resource::Rules => rules::list(call).await,
        Resource::Rule(id) if post => rules::create(call, Some(&id), read_small(body).await?).await,
        Resource::Rule(id) if delete => rules::delete(call, &id, read_small(body).await?).await,
        Resource::Rule(id) => rules::show(call, &id).await,
    }
}

async fn read_small(body: Body) -> Result<bytes::Bytes, Failure> {
    body::read(body, body::BODY_MAX).await
}

/// `GET /`.
fn versions(links: &Links) -> Response<Body> {
    let link = json!({ "href": links.absolute("/v1"), "rel": "self" });
    let version = json!({ "id": version::NEWEST_TEXT, "links": [link], "status": "CURRENT" });
    json::json(StatusCode::OK, &json!({ "versions": [version] }))
}

/// `GET /v1`.
fn resources(links: &Links) -> Response<Body> {
    let resources: Vec<_> = ["continue", "introspection", "rules"]
        .into_iter()
        .map(|name| {
            let href = links.absolute(&format!("/v1/{name}"));
            json!({ "links": [{ "href": href, "rel": "self" }], "name": name })
        })
        .collect();
    json::json(StatusCode::OK, &json!({ "resources": resources }))
}
