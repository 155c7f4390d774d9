//! The one error shape of the native API: `{"error","message","code","details"}`.

use axum::response::{IntoResponse, Response};
use hostler_common::error::Class;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};

use crate::store;

/// How long a caller waits before the same request may succeed, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    status: StatusCode,
    message: String,
    details: Option<Box<Value>>,
    challenge: Option<Box<HeaderValue>>,
}

/// What handlers return.
pub type Result<T> = std::result::Result<T, Error>;

#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
    message: &'a str,
    code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Value>,
}

impl Error {
    /// An error of that status; the text says what is wrong and what to do.
    #[must_use]
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), details: None, challenge: None }
    }

    /// A field of the body, a parameter or a part of the path breaks a rule.
    #[must_use]
    pub fn field(name: &str, rule: impl std::fmt::Display) -> Self {
        let error = Self::new(StatusCode::BAD_REQUEST, format!("{name}: {rule}"));
        Self { details: Some(Box::new(json!({ "field": name }))), ..error }
    }

    /// The thing that is named does not exist.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// The thing is not in a state in which this can be done.
    #[must_use]
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// A broken invariant of ours; the particulars go to the log and not to the caller.
    #[must_use]
    pub fn internal(particulars: &dyn std::fmt::Display) -> Self {
        tracing::error!(error = %particulars, "a request failed inside");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal error; the manager's log has more under this X-Request-Id",
        )
    }

    /// The same error with a `WWW-Authenticate` header.
    #[must_use]
    pub fn with_challenge(self, challenge: HeaderValue) -> Self {
        Self { challenge: Some(Box::new(challenge)), ..self }
    }

    /// The same error, as a conflict if it was a wrong request: for commands whose request was checked before, so that
    /// what is wrong can only be the state.
    #[must_use]
    pub fn of_state(self) -> Self {
        if self.status == StatusCode::BAD_REQUEST { Self { status: StatusCode::CONFLICT, ..self } } else { self }
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

/// The status of a class of failures.
fn status_of(class: Class) -> StatusCode {
    match class {
        Class::Invalid => StatusCode::BAD_REQUEST,
        Class::NotFound => StatusCode::NOT_FOUND,
        Class::Conflict => StatusCode::CONFLICT,
        Class::Denied => StatusCode::FORBIDDEN,
        Class::Exhausted => StatusCode::TOO_MANY_REQUESTS,
        Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Class::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match &error {
            store::Error::Broken(_) | store::Error::Refused(Class::Internal, _) => Self::internal(&error),
            store::Error::Unavailable(reason) => {
                tracing::warn!(reason, "the store is not available");
                Self::new(status_of(error.class()), format!("{error}; nothing was changed, try again"))
            }
            store::Error::Moved => Self::conflict(format!("{error}; nothing was changed, try again")),
            store::Error::Exists(_) => Self::conflict("a thing of that name or id exists already"),
            store::Error::Refused(class, message) => Self::new(status_of(*class), message.clone()),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = Body {
            error: self.status.canonical_reason().unwrap_or("Error"),
            message: &self.message,
            code: self.status.as_u16(),
            details: self.details.as_deref(),
        };
        let mut response = (self.status, axum::Json(body)).into_response();
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if let Some(challenge) = self.challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, *challenge);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_status_and_inner_texts_stay_inside() {
        let table = [
            (store::Error::Unavailable("disk full".into()), 503, "the store is not available: disk full"),
            (store::Error::Moved, 409, "changed by somebody else"),
            (store::Error::Exists("host.name".into()), 409, "a thing of that name"),
            (store::Error::Broken("select nonsense".into()), 500, "internal error"),
            (store::Error::Refused(Class::Internal, "select nonsense".into()), 500, "internal error"),
            (store::Error::Refused(Class::Invalid, "uses: no".into()), 400, "uses: no"),
            (store::Error::Refused(Class::NotFound, "no such".into()), 404, "no such"),
            (store::Error::Refused(Class::Denied, "not yours".into()), 403, "not yours"),
            (store::Error::Refused(Class::Exhausted, "too many".into()), 429, "too many"),
        ];
        for (inner, status, message) in table {
            let error = Error::from(inner.clone());
            assert_eq!(error.status().as_u16(), status, "{inner:?}");
            assert!(error.message.starts_with(message), "{inner:?} became {}", error.message);
        }
    }
}
