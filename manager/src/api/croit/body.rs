//! Bodies of requests: JSON, whatever the header says of it; fields that nobody knows are passed over (spec/hooks.md §2).

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::native::error::{Error, Result};

/// The largest body, in bytes: the largest script with everything escaped that JSON can escape.
pub(super) const BODY_MAX: usize = 7 << 20;

/// A document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                return Error::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {BODY_MAX} bytes"));
            }
            Error::new(StatusCode::BAD_REQUEST, "the body ended before its announced length")
        })?;
        read(&bytes).map(Self)
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let refuse = |text: String| Error::new(StatusCode::BAD_REQUEST, text);
    let document: Value =
        serde_json::from_slice(bytes).map_err(|error| refuse(format!("the body is not JSON: {error}")))?;
    // croit's own client wraps documents that somebody typed into a JSON text (spec/hooks.md §12).
    let document = match document {
        Value::String(text) => {
            serde_json::from_str(&text).map_err(|_| refuse("the body must be an object, is a text".into()))?
        }
        other => other,
    };
    if !document.is_object() {
        return Err(refuse("the body must be an object".into()));
    }
    serde_json::from_value(document).map_err(|error| refuse(format!("the body: {error}")))
}

/// The pairs of a form.
#[derive(Clone, Debug)]
pub(super) struct Form(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let refuse = || Error::new(StatusCode::BAD_REQUEST, "the body must be a form of name=value pairs");
        let bytes = Bytes::from_request(request, state).await.map_err(|_| refuse())?;
        let uri = http::Uri::builder().path_and_query(format!("/?{}", String::from_utf8_lossy(&bytes)));
        let uri = uri.build().map_err(|_| refuse())?;
        let pairs = axum::extract::Query::try_from_uri(&uri).map_err(|_| refuse())?;
        Ok(Self(pairs.0))
    }
}

impl Form {
    /// The value of a field; of several the first counts.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// An answer without a body. Clients of croit want to be told that there is none (spec/hooks.md §12).
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = (status, Body::empty()).into_response();
    if status != StatusCode::NO_CONTENT {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    response
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Debug, PartialEq)]
    struct Wanted {
        name: Option<String>,
    }

    #[test]
    fn what_counts_as_a_document() {
        let wanted = |name: &str| Wanted { name: Some(name.into()) };
        assert_eq!(read::<Wanted>(br#"{"name":"a","other":1}"#), Ok(wanted("a")));
        assert_eq!(read::<Wanted>(br#""{\"name\":\"a\"}""#), Ok(wanted("a")));
        for bad in ["", "{", "[]", "1", "\"x\"", r#"{"name":1}"#] {
            assert_eq!(read::<Wanted>(bad.as_bytes()).unwrap_err().status(), 400, "{bad}");
        }
    }
}
