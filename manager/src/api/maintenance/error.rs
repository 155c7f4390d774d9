//! Failures as the dialect tells them: one body that holds what any of upstream's three shapes holds (spec/maintenance.md §1.1).

use axum::body::Body;
use hostler_common::error::Class;
use hostler_common::text::clip;
use hostler_core::maintenance::constraint::Wrong;
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::api::answer::raw;
use crate::api::bounded::Unread;
use crate::api::replay;
use crate::api::request_id::RequestId;
use crate::store;

/// The longest text of the caller's that goes back in an error, in bytes.
const SHOWN_MAX: usize = 64;

/// A request that is not carried out.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// Boxed: failures are as good as never, and every result has room for one.
    more: Box<Map<String, Value>>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Failure {
    /// A failure with that status, stable code and text.
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), more: Box::default(), headers: Vec::new() }
    }

    /// 400: what was sent cannot be read.
    pub(super) fn unreadable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "request.unreadable", message)
    }

    /// 400 with an empty object: a body where none belongs.
    pub(super) fn body_unwanted() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "", "")
    }

    /// 422: a field breaks a rule.
    pub(super) fn field(name: &str, rule: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "request.invalid", format!("{name}: {rule}")).with("field", name)
    }

    /// 422, about no field in particular.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "request.invalid", message)
    }

    /// 403: a role or a project is missing.
    pub(super) fn denied(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "policy.denied", message)
    }

    /// 404.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 404 in upstream's words.
    pub(super) fn no_session() -> Self {
        Self::new(StatusCode::NOT_FOUND, "session.unknown", "Invalid session")
    }

    /// 404 for a project that is not in the session, or that is none of the caller's business.
    pub(super) fn no_project() -> Self {
        Self::new(StatusCode::NOT_FOUND, "project.unknown", "Invalid project")
    }

    /// 409.
    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// 503: the same request may succeed later.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
            .with_header(RETRY_AFTER, HeaderValue::from_static("2"))
    }

    /// 500. The particulars are in the log and not in the answer.
    pub(super) fn internal() -> Self {
        let text = "internal error; the manager's log has more under this request id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", text)
    }

    /// With a member more in the body.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// With a header more.
    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Its status.
    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// The answer.
    pub(super) fn into_response(self, id: &RequestId) -> Response<Body> {
        let body = if self.code.is_empty() {
            json!({})
        } else {
            let mut body = Map::new();
            body.insert("status".into(), self.status.as_u16().into());
            body.insert("error".into(), self.message.clone().into());
            body.insert("message".into(), self.message.into());
            body.insert("code".into(), self.code.into());
            body.insert("request_id".into(), id.as_str().into());
            body.extend(*self.more);
            Value::Object(body)
        };
        let mut response = raw(self.status, body.to_string().into());
        response.headers_mut().extend(self.headers);
        response
    }
}

/// A text of the caller's, as far as an error shows it.
pub(super) fn shown(text: &str) -> String {
    clip(text, SHOWN_MAX).chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Refused(class, message) => match class {
                Class::Invalid => Self::invalid(message),
                Class::NotFound => Self::not_found(message),
                Class::Conflict => Self::conflict(message),
                Class::Denied => Self::denied(message),
                Class::Exhausted | Class::Unavailable => Self::unavailable(message),
                Class::Internal => Self::internal(),
            },
            store::Error::Moved => Self::conflict("it was changed by somebody else meanwhile; look and try again"),
            store::Error::Exists(_) => Self::conflict("it exists already"),
            store::Error::Unavailable(reason) => {
                tracing::warn!(%reason, "the store does not answer");
                Self::unavailable("the store does not answer at the moment; try again")
            }
            store::Error::Broken(reason) => {
                tracing::error!(%reason, "a request failed");
                Self::internal()
            }
        }
    }
}

impl From<replay::Refused> for Failure {
    fn from(refused: replay::Refused) -> Self {
        let text = refused.to_string();
        match refused {
            replay::Refused::Unusable => Self::unreadable(text),
            replay::Refused::Running => Self::conflict(text),
            replay::Refused::Other => Self::invalid(text),
            replay::Refused::Store(error) => error.into(),
        }
    }
}

impl From<Unread> for Failure {
    fn from(unread: Unread) -> Self {
        let text = unread.to_string();
        match unread {
            Unread::Late => Self::new(StatusCode::REQUEST_TIMEOUT, "request.late", text),
            Unread::Broken => Self::unreadable(text),
            Unread::Large(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request.large", text),
        }
    }
}

impl From<Wrong> for Failure {
    fn from(wrong: Wrong) -> Self {
        Self::field(&shown(&wrong.field), wrong.rule)
    }
}
