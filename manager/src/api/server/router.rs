//! All dialects under one roof.

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use axum::{Extension, Router};
use tokio_util::sync::CancellationToken;

use super::health;
use crate::api::audit::{self, Trail};
use crate::api::follow::Streams;
use crate::api::native::error::Error;
use crate::api::{Api, croit, identity, introspection, maintenance, native};
use crate::webhook::Webhooks;

/// Everything that the common listener serves. `stop` makes the manager not ready, so that nobody is sent here any more.
pub fn router(api: Api, stop: CancellationToken) -> Router {
    let trail = Trail::start(&api);
    let (streams, webhooks) = deliveries(&api, stop.clone());
    Router::new()
        .nest("/api", native::routes(api.clone()).merge(croit::routes(&api)))
        .nest_service("/identity", identity::routes(api.clone()))
        .merge(introspection::mounted(api.clone(), "/introspection"))
        .merge(introspection::literals(api.clone()))
        .merge(maintenance::mounted(api.clone(), "/maintenance"))
        .merge(maintenance::literals(api.clone()))
        .route("/", introspection::root(api.clone()))
        .merge(health::routes(api, stop))
        .fallback(async || {
            Error::not_found("there is nothing under this path; /identity/v3 and /api are good places to begin")
        })
        .layer(Extension(streams))
        .layer(Extension(webhooks))
        .layer(from_fn_with_state(trail, audit::record))
}

/// What handlers need to have events followed, and to have others told of them.
fn deliveries(api: &Api, stop: CancellationToken) -> (Streams, Webhooks) {
    let streams = Streams::new(api.config.events.streams_max, stop);
    (streams, Webhooks::new(api.engine.clone(), Arc::clone(api.hooks.vault()), &api.config))
}

/// What the listener of the maintenance dialect serves: that dialect alone, at its root.
/// Streams end at `stop`.
pub fn maintenance_alone(api: Api, stop: CancellationToken) -> Router {
    let trail = Trail::start(&api);
    let (streams, webhooks) = deliveries(&api, stop);
    let routes = maintenance::routes(api).layer(Extension(streams)).layer(Extension(webhooks));
    routes.layer(from_fn_with_state(trail, audit::record))
}
