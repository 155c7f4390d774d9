//! Answers that the server gives itself, in the shape that clients of the dialect can read.

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::api::{maintenance, native};
use crate::metrics::Dialect;

/// The dialect that a path belongs to.
pub(super) fn dialect_of(path: &str) -> Dialect {
    // Clients put slashes too many between the address and the path, and into it.
    let mut words = path.split('/').filter(|word| !word.is_empty());
    match (words.next(), words.next()) {
        (Some("api"), _) => Dialect::Native,
        (Some("identity"), _) => Dialect::Identity,
        (Some("maintenance"), _) => Dialect::Maintenance,
        (Some("v1"), Some(word)) if maintenance::WORDS.contains(&word) => Dialect::Maintenance,
        (Some("introspection" | "v1") | None, _) => Dialect::Introspection,
        (Some(_), _) => Dialect::Service,
    }
}

/// An error in the shape of that dialect.
pub(super) fn failure(dialect: Dialect, status: StatusCode, message: &str) -> Response<Body> {
    let mut response = match dialect {
        Dialect::Native | Dialect::Service => native::error::Error::new(status, message).into_response(),
        Dialect::Introspection => (status, Json(json!({ "error": { "message": message } }))).into_response(),
        Dialect::Maintenance => {
            let body = json!({ "status": status.as_u16(), "error": message, "message": message, "code": "service" });
            (status, Json(body)).into_response()
        }
        Dialect::Identity => {
            let title = status.canonical_reason().unwrap_or("Error");
            let error = json!({ "code": status.as_u16(), "message": message, "title": title });
            (status, Json(json!({ "error": error }))).into_response()
        }
    };
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().entry(header::RETRY_AFTER).or_insert(HeaderValue::from_static("2"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_belong_to_dialects() {
        for (path, dialect) in [
            ("/api", Dialect::Native),
            ("/api/hosts", Dialect::Native),
            ("//api/hosts", Dialect::Native),
            ("//", Dialect::Introspection),
            ("/apical", Dialect::Service),
            ("/identity/v3", Dialect::Identity),
            ("/", Dialect::Introspection),
            ("/v1/rules", Dialect::Introspection),
            ("/v1//maintenance/x", Dialect::Maintenance),
            ("//v1/instance_group", Dialect::Maintenance),
            ("/maintenance/v1/maintenance", Dialect::Maintenance),
            ("/introspection", Dialect::Introspection),
            ("/v1x", Dialect::Service),
            ("/healthz", Dialect::Service),
        ] {
            assert_eq!(dialect_of(path), dialect, "{path}");
        }
    }
}
