//! The error body of the dialect: `{"error": {"code", "title", "message"}}`.

use axum::response::{IntoResponse, Response};
use hostler_common::error::Class;
use http::StatusCode;
use serde_json::json;

use crate::api::auth::AuthError;
use crate::identity;

/// The text of every 401 whose reason is nobody's business.
const UNAUTHENTICATED: &str = "The request you have made requires authentication.";

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    status: StatusCode,
    message: String,
}

impl Failure {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// A field that breaks a rule.
    pub(super) fn invalid(field: &str, rule: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("Invalid input for field '{field}': {rule}"))
    }

    /// Something that does not exist.
    pub(super) fn missing(noun: &str, what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("Could not find {noun}: {what}."))
    }

    /// The caller may not do that.
    pub(super) fn denied(action: &str) -> Self {
        let text = format!("You are not authorized to perform the requested action: {action}.");
        Self::new(StatusCode::FORBIDDEN, text)
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing | AuthError::Invalid => Self::new(StatusCode::UNAUTHORIZED, UNAUTHENTICATED),
            AuthError::Malformed(text) => Self::new(StatusCode::BAD_REQUEST, text),
            AuthError::Unavailable(text) => Self::new(StatusCode::SERVICE_UNAVAILABLE, text),
        }
    }
}

impl From<identity::Error> for Failure {
    fn from(error: identity::Error) -> Self {
        let (class, text) = match error {
            identity::Error::Unauthenticated(text) => return Self::new(StatusCode::UNAUTHORIZED, text),
            identity::Error::Refused(class, text) => (class, text),
            identity::Error::Store(error) => {
                tracing::error!(%error, "an identity request failed in the store");
                let text = match error.class() {
                    Class::Unavailable => "The store does not answer; nothing was changed. Try again.",
                    Class::Conflict => {
                        "It was changed or made by somebody else at the same time; look at it and try again."
                    }
                    _ => "An unexpected error prevented the server from fulfilling your request.",
                };
                (error.class(), text.to_owned())
            }
        };
        Self::new(status(class), text)
    }
}

fn status(class: Class) -> StatusCode {
    match class {
        Class::Invalid => StatusCode::BAD_REQUEST,
        Class::NotFound => StatusCode::NOT_FOUND,
        Class::Conflict => StatusCode::CONFLICT,
        Class::Denied | Class::Exhausted => StatusCode::FORBIDDEN,
        Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Class::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = json!({"error": {"code": self.status.as_u16(), "title": title, "message": self.message}});
        (self.status, axum::Json(body)).into_response()
    }
}
