//! The introspection dialect: the REST interface of Ironic Inspector v1, up to microversion 1.18
//! (spec/introspection.md §1).
//!
//! Handlers parse and render; what a request does is decided by the machine of the core. One function,
//! `transport::dispatch`, holds the order of checks for all of them: version, URL and method, identity, policy, then the
//! handler with its parameters, the existence of what they name and its state.

mod body;
mod callback;
mod caller;
mod data;
mod error;
mod json;

mod list;
mod node;
mod pages;
mod path;
mod render;
mod replay;
mod rules;
mod runs;
mod transport;
mod version;

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, any};
use hostler_core::introspection::document::net::Network;
use tokio::sync::Semaphore;

use super::Api;

/// How many large bodies are held in memory at once; further ones wait.
const LARGE_BODIES: usize = 16;

/// What the handlers of one mount share.
struct Dialect {
    api: Api,
    /// The path under which the dialect is mounted, without a slash at the end.
    mount: String,
    /// Networks from which callbacks are taken.
    networks: Vec<Network>,
    pages: pages::Pages,
    positions: list::Positions,
    running: replay::Running,
    large_bodies: Semaphore,
}

impl Dialect {
    fn new(api: Api, mount: &str) -> Arc<Self> {
        let networks = api.config.introspection.callback_networks.iter();
        let networks = networks.filter_map(|text| {
            let network = Network::parse(text);
            if network.is_none() {
                tracing::warn!(network = text.as_str(), "introspection.callback_networks: not a network, passed over");
            }
            network
        });
        Arc::new(Self {
            networks: networks.collect(),
            pages: pages::Pages::new(api.engine.wake.watch()),
            positions: list::Positions::default(),
            running: replay::Running::default(),
            large_bodies: Semaphore::new(LARGE_BODIES),
            mount: mount.trim_end_matches('/').to_owned(),
            api,
        })
    }
}

/// The whole dialect at the root of a listener of its own.
pub fn routes(api: Api) -> Router {
    Router::new().fallback(transport::dispatch).with_state(Dialect::new(api, ""))
}

/// The whole dialect under a path such as `/introspection`. To be merged with the routers of other dialects; nesting a
/// router would hide from it the path that its links need.
pub fn mounted(api: Api, mount: &str) -> Router {
    let dialect = Dialect::new(api, mount);
    let mount = dialect.mount.clone();
    Router::new()
        .route(&mount, any(transport::dispatch))
        .route(&format!("{mount}/"), any(transport::dispatch))
        .route(&format!("{mount}/{{*rest}}"), any(transport::dispatch))
        .with_state(dialect)
}

/// The paths of the dialect that also work at the root of the common listener. `/` is not among them, see [`root`].
pub fn literals(api: Api) -> Router {
    let mut router = Router::new();
    for path in ["/v1", "/v1/continue"] {
        router = router.route(path, any(transport::dispatch)).route(&format!("{path}/"), any(transport::dispatch));
    }
    for path in ["/v1/introspection", "/v1/rules"] {
        router = router
            .route(path, any(transport::dispatch))
            .route(&format!("{path}/"), any(transport::dispatch))
            .route(&format!("{path}/{{*rest}}"), any(transport::dispatch));
    }
    router.with_state(Dialect::new(api, ""))
}

/// The discovery document, for the `/` of the common listener where no other dialect has one.
pub fn root(api: Api) -> MethodRouter {
    any(transport::dispatch).with_state(Dialect::new(api, ""))
}
