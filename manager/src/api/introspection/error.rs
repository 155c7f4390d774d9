//! Failures as the dialect tells them: a status and always the same shape of body (spec/introspection.md §1.1).

use axum::body::Body;
use hostler_common::error::Class;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;

use crate::store;

/// The text of a request that lost against others too often; part of the dialect.
const LOCKED: &str = "Node is locked, please, retry later";

/// A request that is not carried out, or not completely.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Failure {
    /// A failure with that status and text.
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), headers: Vec::new() }
    }

    /// 400.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 403, with the text for everybody whose roles do not suffice.
    pub(super) fn denied() -> Self {
        Self::new(StatusCode::FORBIDDEN, "Access denied by policy")
    }

    /// 404.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 404 for a host that the registry does not know.
    pub(super) fn unknown_node(id: &str) -> Self {
        Self::not_found(format!("Node {id} was not found in Ironic"))
    }

    /// 404 for a host that was never introspected.
    pub(super) fn never_introspected(id: impl std::fmt::Display) -> Self {
        Self::not_found(format!("Could not find node {id} in cache"))
    }

    /// 406.
    pub(super) fn not_acceptable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, message)
    }

    /// 503: the same request may succeed later.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message).with_header(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// With a header more.
    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The answer.
    pub(super) fn into_response(self) -> Response<Body> {
        let mut text = json!({ "error": { "message": self.message } }).to_string();
        text.push('\n');
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Refused(class, message) => Self::new(status(class), message),
            store::Error::Moved => Self::new(StatusCode::CONFLICT, LOCKED),
            store::Error::Exists(_) => Self::new(StatusCode::CONFLICT, "It exists already"),
            store::Error::Unavailable(reason) => {
                tracing::warn!(%reason, "the store does not answer");
                Self::unavailable("The store is not available, please, retry later")
            }
            store::Error::Broken(reason) => {
                tracing::error!(%reason, "request failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
            }
        }
    }
}

fn status(class: Class) -> StatusCode {
    match class {
        Class::Invalid => StatusCode::BAD_REQUEST,
        Class::NotFound => StatusCode::NOT_FOUND,
        Class::Conflict => StatusCode::CONFLICT,
        Class::Denied => StatusCode::FORBIDDEN,
        Class::Exhausted | Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Class::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
