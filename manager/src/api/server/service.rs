//! What surrounds each request, whatever it is for: its id, its span, limits, metrics, the last word on panics.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use futures::FutureExt as _;
use hostler_common::text::clip;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;
use tracing::{Instrument as _, Span, field};

use super::Limits;
use super::body::bounded;
use super::cors::Cors;
use super::failure::{dialect_of, failure};
use crate::api::peer::Peer;
use crate::api::request_id::{self, RequestId};
use crate::config::Listen;
use crate::metrics::Dialect;
use crate::metrics::hot::COUNTERS;
use crate::store::cause::{self, Cause};

/// Longest path that the log shows, in bytes.
const PATH_MAX: usize = 512;

/// Headers of every answer. There is nothing to render, frame or sniff in JSON.
const SECURITY: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// The dialects with all that surrounds them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Service {
    router: Router,
    room: Arc<Semaphore>,
    limits: Limits,
    cors: Cors,
    proxies: Arc<[IpAddr]>,
    /// The dialect of all paths, where there is one alone.
    only: Option<Dialect>,
}

impl Service {
    /// Surrounds `router`.
    #[must_use]
    pub fn new(router: Router, limits: Limits) -> Self {
        let room = Arc::new(Semaphore::new(limits.in_flight));
        Self { router, room, limits, cors: Cors::default(), proxies: Arc::default(), only: None }
    }

    /// The same with the origins and the proxies of a listener.
    #[must_use]
    pub fn configured(self, listen: &Listen) -> Self {
        Self { cors: Cors::new(&listen.allowed_origins), proxies: listen.trusted_proxies.clone().into(), ..self }
    }

    /// The same for one dialect alone, whatever the paths look like.
    #[must_use]
    pub fn only(self, dialect: Dialect) -> Self {
        Self { only: Some(dialect), ..self }
    }

    /// What clients may cost.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Answers one request from a peer of whom only the address is known; see [`Self::call_from`].
    pub async fn call(&self, peer: SocketAddr, request: Request<Body>) -> Response<Body> {
        self.call_from(Peer::plain(peer), request).await
    }

    /// Answers one request. Always answers; a panic becomes 500, slowness 503 or 408.
    pub async fn call_from(&self, peer: Peer, mut request: Request<Body>) -> Response<Body> {
        let begun = Instant::now();
        let dialect = self.only.unwrap_or_else(|| dialect_of(request.uri().path()));
        let id = RequestId::of(request.headers());
        let method = request.method().clone();
        let path = clip(request.uri().path(), PATH_MAX);
        let from = peer.address.map(field::display);
        let span = tracing::info_span!("request", id = id.as_str(), %method, path, peer = from, actor = field::Empty);
        let cause =
            Cause { from: peer.source(request.headers(), &self.proxies), request: Some(id.as_str().to_owned()) };
        let admitted = self.cors.admit(request.headers());
        let extensions = request.extensions_mut();
        extensions.insert(peer);
        extensions.insert(id.clone());
        name_host(&mut request);
        if matches!(dialect, Dialect::Native | Dialect::Maintenance) {
            tidy(&mut request);
        }
        let preflight = if admitted.is_some() { Cors::preflight(&request) } else { None };
        let mut response = match preflight {
            Some(response) => response,
            None => cause::within(cause, self.answer(dialect, request)).instrument(span.clone()).await,
        };
        let headers = response.headers_mut();
        self.cors.mark(admitted, headers);
        headers.insert(request_id::HEADER, id.value());
        for (name, value) in &SECURITY {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        let took = begun.elapsed();
        COUNTERS.request(dialect, response.status().as_u16(), took);
        log(&span, &method, response.status(), took);
        response
    }

    async fn answer(&self, dialect: Dialect, request: Request<Body>) -> Response<Body> {
        // Health and metrics are asked for most when everything else is full.
        let _room = if dialect == Dialect::Service {
            None
        } else if let Ok(room) = self.room.try_acquire() {
            Some(room)
        } else {
            COUNTERS.overload();
            return failure(dialect, StatusCode::SERVICE_UNAVAILABLE, "too many requests are under way; try again");
        };
        let (request, body_read) = bounded(request, self.limits.body);
        let served = AssertUnwindSafe(self.router.clone().oneshot(request)).catch_unwind();
        match tokio::time::timeout(self.patience(dialect), served).await {
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(never))) => match never {},
            Ok(Err(_panic)) => {
                COUNTERS.panic();
                tracing::error!("a handler panicked");
                failure(
                    dialect,
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal error; the log has more under this request id",
                )
            }
            Err(_) if !body_read.load(Ordering::Relaxed) => {
                COUNTERS.slow();
                let mut response = failure(dialect, StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time");
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                response
            }
            Err(_) => {
                COUNTERS.slow();
                let text = "not done in time; what was asked for may still happen: look before trying again";
                failure(dialect, StatusCode::SERVICE_UNAVAILABLE, text)
            }
        }
    }

    fn patience(&self, dialect: Dialect) -> Duration {
        match dialect {
            Dialect::Introspection => self.limits.request_introspection,
            Dialect::Native | Dialect::Identity | Dialect::Maintenance | Dialect::Service => self.limits.request,
        }
    }
}

/// HTTP/2 names the host in its target; links and the catalogue read it in one place, the header of HTTP/1.1.
fn name_host(request: &mut Request<Body>) {
    if let Some(authority) = request.uri().authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().entry(header::HOST).or_insert(host);
    }
}

/// Takes double slashes and slashes at the end out of a path of a dialect that tolerates both.
fn tidy(request: &mut Request<Body>) {
    let path = request.uri().path();
    if !path.ends_with('/') && !path.contains("//") {
        return;
    }
    let mut tidied: String =
        path.split('/').filter(|segment| !segment.is_empty()).fold(String::new(), |mut all, segment| {
            all.push('/');
            all.push_str(segment);
            all
        });
    if tidied.is_empty() {
        tidied.push('/');
    }
    if let Some(query) = request.uri().query() {
        tidied.push('?');
        tidied.push_str(query);
    }
    let mut parts = request.uri().clone().into_parts();
    if let Ok(path) = tidied.parse() {
        parts.path_and_query = Some(path);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}

/// One line per request: failures of ours as warnings, what changed or was refused as information, reading in detail only.
fn log(span: &Span, method: &Method, status: StatusCode, took: Duration) {
    let _inside = span.enter();
    let (status_code, ms) = (status.as_u16(), u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    if status.is_server_error() {
        tracing::warn!(status = status_code, ms, "answered");
    } else if status.is_client_error() || !method.is_safe() {
        tracing::info!(status = status_code, ms, "answered");
    } else {
        tracing::debug!(status = status_code, ms, "answered");
    }
}
