//! What there is: versions, health, and what sessions can be made of (spec/maintenance.md §1.14).

use axum::body::Body;
use hostler_core::maintenance::plugin::Manifest;
use hostler_core::maintenance::spec::ActionType;
use hostler_core::maintenance::stay::builtin;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::error::Failure;
use super::render;
use super::transport::Call;
use crate::api::answer::raw;
use crate::store::maintenance::plugin_list;

/// When the interface last changed.
const UPDATED: &str = "2026-11-01T00:00:00Z";

fn one(call: &Call<'_>) -> Value {
    let link = json!({ "rel": "self", "href": call.link("/v1") });
    json!({ "id": "v1.0", "status": "CURRENT", "updated": UPDATED, "links": [link] })
}

/// `GET /`.
pub(super) fn versions(call: &Call<'_>) -> Response<Body> {
    render::json(&json!({ "versions": [one(call)] }))
}

/// `GET /v1`.
pub(super) fn version(call: &Call<'_>) -> Response<Body> {
    render::json(&json!({ "version": one(call) }))
}

/// `GET /healthcheck`: whether requests can be served, and nothing else.
pub(super) async fn health(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let well = call.engine().store.ping().await.is_ok();
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(raw(status, "{}".into()))
}

/// `GET /v1/capabilities`.
pub(super) async fn capabilities(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let own = plugin_list(&mut *call.engine().store.read().await?).await?;
    let built_in = builtin::manifests();
    let mut plugins: Vec<Value> = built_in.iter().map(|manifest| plugin(manifest, true)).collect();
    plugins.extend(own.iter().map(|own| plugin(&own.manifest, false)));
    let settings = call.settings();
    Ok(render::json(&json!({
        "workflows": [{ "name": "default", "aliases": [] }, { "name": "vnf", "aliases": ["nfv"] }],
        "action_types": ActionType::ALL.map(ActionType::name),
        "plugins": plugins,
        "policy": settings.policy,
        "storage": { "drivers": ["native"] },
        "downloads": {
            "require_checksum": settings.require_checksum,
            "max_bytes": settings.download_max_bytes,
            "schemes": if settings.download_http { vec!["https", "http"] } else { vec!["https"] },
            "hosts": settings.download_hosts,
        },
        "limits": { "max_active_sessions": settings.max_active_sessions, "body_bytes": 1 << 20 },
    })))
}

fn plugin(manifest: &Manifest, built_in: bool) -> Value {
    let mut shown = serde_json::to_value(manifest).unwrap_or_default();
    shown["built_in"] = built_in.into();
    shown
}
