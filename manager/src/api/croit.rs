//! The croit dialect: hook scripts, hooks, runs, tasks and servers (spec/hooks.md), beside the native API at `/api`.
//!
//! [`ROUTES`] is the list of all of it, and the document that clients download is made from it: a route that works without
//! standing there cannot be. Errors have the shape of the native API, which is that of spec/hooks.md §2.2.

mod api_token;
mod audit;
mod body;
mod document;
mod failure;
mod guard;
mod hook;
mod limit;
mod login;
mod operation;
mod page;
mod parameters;
mod routes;
mod run;
mod script;
mod secret;
mod server;
mod setting;
mod task;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};

use super::Api;
use super::native::error::Error;
use crate::hooks::Hooks;
use limit::Buckets;

pub use routes::{Answer, ROUTES, Route};

/// How many logins an address may try in a second for long, and at once after a pause.
const LOGINS: (u32, u32) = (20, 200);

/// What the handlers of the dialect work with. Cheap to clone.
#[derive(Clone)]
pub struct Croit {
    api: Api,
    calls: Arc<Buckets>,
    logins: Arc<Buckets>,
    servers: Arc<server::Cache>,
    document: Arc<OnceLock<Bytes>>,
}

impl Croit {
    fn new(api: &Api) -> Self {
        let settings = &api.config.croit;
        Self {
            api: api.clone(),
            calls: Arc::new(Buckets::new(settings.calls_per_second, settings.calls_burst)),
            logins: Arc::new(Buckets::new(LOGINS.0, LOGINS.1)),
            servers: Arc::default(),
            document: Arc::default(),
        }
    }

    fn hooks(&self) -> &Hooks {
        &self.api.hooks
    }
}

/// The routes of the dialect, to be merged with those of the native API.
pub fn routes(api: &Api) -> Router {
    let croit = Croit::new(api);
    let mut router = Router::new();
    for route in ROUTES {
        let guard = from_fn_with_state((croit.clone(), route.action), guard::guard);
        router = router.route(route.path, (route.handler)().route_layer(guard));
    }
    router
        .method_not_allowed_fallback(async || {
            Error::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method; see the header Allow")
        })
        .layer(axum::middleware::map_response(never_stored))
        .layer(DefaultBodyLimit::max(body::BODY_MAX))
        .with_state(croit)
}

/// Answers change at any time and some hold secrets: nobody between keeps them, unless a handler says otherwise.
async fn never_stored(mut response: Response) -> Response {
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
