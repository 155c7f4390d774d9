//! Which versions there are: asked by every client before anything else, without a token.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::call::{Call, ok};

/// The version of the original whose answers ours resemble.
const VERSION: &str = "v3.14";

fn describe(call: &Call) -> Value {
    json!({
        "id": VERSION,
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": call.url("/")}],
        "media-types": [{
            "base": "application/json",
            "type": "application/vnd.openstack.identity-v3+json",
        }],
    })
}

/// `GET /`: 300, as there might be more than one.
pub(super) async fn versions(call: Call) -> Response {
    ok(StatusCode::MULTIPLE_CHOICES, &json!({"versions": {"values": [describe(&call)]}}))
}

/// `GET /v3`.
pub(super) async fn version(call: Call) -> Response {
    ok(StatusCode::OK, &json!({"version": describe(&call)}))
}
