//! Health, readiness and metrics: for load balancers, supervisors and Prometheus.

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use hostler_core::policy::Action;
use http::{StatusCode, header};
use tokio_util::sync::CancellationToken;

use super::metrics;
use crate::api::Api;
use crate::api::native::error::Error;
use crate::api::native::guard::admit;
use crate::api::peer::Peer;

#[derive(Clone)]
struct Health {
    api: Api,
    stop: CancellationToken,
}

/// `/healthz`, `/readyz`, `/metrics`.
pub fn routes(api: Api, stop: CancellationToken) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/metrics", get(show_metrics))
        .method_not_allowed_fallback(async || Error::new(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD"))
        .with_state(Health { api, stop })
}

/// Whether requests can be served, so that others are sent here.
async fn ready(State(health): State<Health>) -> Response {
    match unready(&health).await {
        None => "ok".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason).into_response(),
    }
}

async fn unready(health: &Health) -> Option<String> {
    if health.stop.is_cancelled() {
        return Some("stopping".into());
    }
    if let Err(error) = health.api.engine.store.ping().await {
        return Some(error.to_string());
    }
    (!health.api.fleet.listening()).then(|| "agents cannot connect".into())
}

/// Free for this machine itself; over the network the figures of a fleet are for those who may read it.
async fn show_metrics(State(health): State<Health>, request: Request) -> Response {
    let Some(peer) = request.extensions().get::<Peer>() else {
        return Error::internal(&"a request without its peer").into_response();
    };
    if !peer.is_local(request.headers())
        && let Err(error) = admit(&health.api, request.headers(), peer, Action::MetricsRead).await
    {
        return error.into_response();
    }
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::gather(&health.api).await).into_response()
}
