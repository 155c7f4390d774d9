//! The maintenance dialect: the REST interface of Fenix (spec/maintenance.md §1).
//!
//! Handlers parse and render; what a request does is decided by the machines of the core. One function,
//! `transport::dispatch`, holds the order of checks for all of them: path, method, identity, body, policy, then the handler
//! with whom it is about and what it names.

mod create;
mod detail;
mod discovery;
mod download;
mod error;
mod events;
mod fields;
mod history;
mod moment;
mod path;
mod policy;
mod project;
mod record;
mod render;
mod reply;
mod session;
mod subscription;
mod transport;
mod update;

use std::sync::Arc;

use axum::Router;
use axum::routing::any;

use super::Api;
use super::replay::Running;

/// What the handlers of one mount share.
struct Dialect {
    api: Api,
    /// The path under which the dialect is mounted, without a slash at the end.
    mount: String,
    /// Keys of requests that are being carried out.
    running: Running,
}

impl Dialect {
    fn new(api: Api, mount: &str) -> Arc<Self> {
        Arc::new(Self { api, mount: mount.trim_end_matches('/').to_owned(), running: Running::default() })
    }
}

/// The whole dialect at the root of a listener of its own.
pub fn routes(api: Api) -> Router {
    Router::new().fallback(transport::dispatch).with_state(Dialect::new(api, ""))
}

/// The whole dialect under a path such as `/maintenance`. To be merged with the routers of other dialects.
pub fn mounted(api: Api, mount: &str) -> Router {
    let dialect = Dialect::new(api, mount);
    let mount = dialect.mount.clone();
    Router::new()
        .route(&mount, any(transport::dispatch))
        .route(&format!("{mount}/"), any(transport::dispatch))
        .route(&format!("{mount}/{{*rest}}"), any(transport::dispatch))
        .with_state(dialect)
}

/// The paths of the dialect that also work at the root of the common listener; `/` and `/v1` are another dialect's there.
pub fn literals(api: Api) -> Router {
    let mut router = Router::new();
    for word in WORDS {
        let path = format!("/v1/{word}");
        router = router
            .route(&path, any(transport::dispatch))
            .route(&format!("{path}/"), any(transport::dispatch))
            .route(&format!("{path}/{{*rest}}"), any(transport::dispatch));
    }
    router.with_state(Dialect::new(api, ""))
}

/// The words that stand behind `/v1` in the dialect's paths.
pub(super) const WORDS: [&str; 6] =
    ["maintenance", "instance", "instance_group", "subscription", "events", "capabilities"];
