//! The native API (docs/native-api.md): everything that no foreign dialect covers.
//!
//! [`ROUTES`] is the list of all of it. A route states who may use it in the same line in which it is made, so that none
//! can be without a guard; a test asks each without a token and with a role too weak.

pub mod body;
pub mod change;
pub mod drift;
pub mod error;
pub mod event;
pub mod filter;
pub mod guard;
pub mod host;
pub mod identity;
pub mod introspect;
pub mod inventory;
pub mod join_token;
pub mod maintenance;
pub mod path;
pub mod query;
pub mod rule;
pub mod section;
pub mod stream;
pub mod version;
pub mod webhook;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use hostler_core::policy::Action;
use http::{HeaderValue, StatusCode, header};

use super::Api;
use error::Error;

/// One thing that can be asked.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The path below `/api`, with its variable segments in braces.
    pub path: &'static str,
    /// What a caller must be allowed to do; `None` means that everybody may.
    pub action: Option<Action>,
    handler: fn() -> MethodRouter<Api>,
}

const fn route(
    method: &'static str,
    path: &'static str,
    action: Option<Action>,
    handler: fn() -> MethodRouter<Api>,
) -> Route {
    Route { method, path, action, handler }
}

/// Everything that can be asked.
pub const ROUTES: &[Route] = &[
    route("GET", "/version", None, || get(version::show)),
    route("GET", "/hosts", Some(Action::HostRead), || get(host::list)),
    route("GET", "/hosts/{host}", Some(Action::HostRead), || get(host::show)),
    route("PATCH", "/hosts/{host}", Some(Action::HostChange), || patch(host::describe)),
    route("DELETE", "/hosts/{host}", Some(Action::HostChange), || delete(host::delete)),
    route("POST", "/hosts/{host}/agent/revoke", Some(Action::HostChange), || post(host::revoke)),
    route("POST", "/hosts/{host}/introspect", Some(Action::IntrospectionStart), || post(introspect::start)),
    route("GET", "/hosts/{host}/inventories", Some(Action::HostRead), || get(inventory::list)),
    route("GET", "/hosts/{host}/inventories/{inventory}", Some(Action::HostRead), || get(inventory::show)),
    route("GET", "/hosts/{host}/inventory-diff", Some(Action::HostRead), || get(inventory::compare)),
    route("GET", "/hosts/{host}/inventory-changes", Some(Action::HostRead), || get(inventory::changes)),
    route("GET", "/hosts/{host}/identity", Some(Action::HostRead), || get(identity::show)),
    route("POST", "/hosts/{host}/identity/accept", Some(Action::HostChange), || post(identity::accept)),
    route("POST", "/hosts/{host}/identity/discard", Some(Action::HostChange), || post(identity::discard)),
    route("GET", "/inventory-drift", Some(Action::HostRead), || get(drift::list)),
    route("POST", "/join-tokens", Some(Action::JoinToken), || post(join_token::create)),
    route("GET", "/join-tokens", Some(Action::JoinToken), || get(join_token::list)),
    route("DELETE", "/join-tokens/{id}", Some(Action::JoinToken), || delete(join_token::revoke)),
    route("GET", "/events", Some(Action::TaskRead), || get(event::list)),
    route("GET", "/events/stream", Some(Action::TaskRead), || get(stream::follow)),
    route("POST", "/webhooks", Some(Action::Webhook), || post(webhook::create)),
    route("GET", "/webhooks", Some(Action::Webhook), || get(webhook::list)),
    route("GET", "/webhooks/{id}", Some(Action::Webhook), || get(webhook::show)),
    route("PATCH", "/webhooks/{id}", Some(Action::Webhook), || patch(webhook::change)),
    route("DELETE", "/webhooks/{id}", Some(Action::Webhook), || delete(webhook::delete)),
    route("POST", "/webhooks/{id}/test", Some(Action::Webhook), || post(webhook::test)),
    route("POST", "/webhooks/{id}/rotate", Some(Action::Webhook), || post(webhook::rotate)),
    route("GET", "/webhooks/{id}/dead-letters", Some(Action::Webhook), || get(webhook::dead_letters)),
    route("POST", "/webhooks/{id}/dead-letters/{number}/replay", Some(Action::Webhook), || post(webhook::replay)),
    route("GET", "/maintenance/sessions", Some(Action::MaintenanceList), || get(maintenance::session::list)),
    route("GET", "/maintenance/sessions/{id}", Some(Action::MaintenanceDetail), || get(maintenance::session::show)),
    route("GET", "/maintenance/plugins", Some(Action::MaintenanceDetail), || get(maintenance::plugin::list)),
    route("GET", "/maintenance/plugins/{name}", Some(Action::MaintenanceDetail), || get(maintenance::plugin::show)),
    route("PUT", "/maintenance/plugins/{name}", Some(Action::MaintenancePlugin), || put(maintenance::plugin::set)),
    route("DELETE", "/maintenance/plugins/{name}", Some(Action::MaintenancePlugin), || {
        delete(maintenance::plugin::delete)
    }),
    route("POST", "/rules/dry-run", Some(Action::IntrospectionRule), || post(rule::dry_run)),
    route("PUT", "/rules/{id}", Some(Action::IntrospectionRule), || put(rule::replace)),
];

/// The native API, to be nested at `/api` below a layer of [`crate::api::follow::Streams`] and [`crate::webhook::Webhooks`].
pub fn routes(api: Api) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let handler = (route.handler)();
        let handler = match route.action {
            Some(action) => handler.route_layer(from_fn_with_state((api.clone(), action), guard::guard)),
            None => handler,
        };
        router = router.route(route.path, handler);
    }
    router
        .fallback(async || Error::not_found("there is nothing under this path; docs/native-api.md lists what there is"))
        .method_not_allowed_fallback(async || {
            Error::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method; see the header Allow")
        })
        .layer(axum::middleware::map_response(never_stored))
        .layer(DefaultBodyLimit::max(body::BODY_MAX))
        .with_state(api)
}

/// Answers change at any time and some hold secrets: nobody between keeps them.
async fn never_stored(mut response: Response) -> Response {
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
