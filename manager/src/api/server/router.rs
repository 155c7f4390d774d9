//! All dialects under one roof.

use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio_util::sync::CancellationToken;

use super::health;
use crate::api::audit::{self, Trail};
use crate::api::native::error::Error;
use crate::api::{Api, croit, identity, introspection, maintenance, native};

/// Everything that the common listener serves. `stop` makes the manager not ready, so that nobody is sent here any more.
pub fn router(api: Api, stop: CancellationToken) -> Router {
    let trail = Trail::start(&api);
    Router::new()
        .nest("/api", native::routes(api.clone(), stop.clone()).merge(croit::routes(&api)))
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
        .layer(from_fn_with_state(trail, audit::record))
}

/// What the listener of the maintenance dialect serves: that dialect alone, at its root.
pub fn maintenance_alone(api: Api) -> Router {
    let trail = Trail::start(&api);
    maintenance::routes(api).layer(from_fn_with_state(trail, audit::record))
}
