//! Answers whose bodies are in memory, for dialects that write them themselves.

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::BodyExt as _;

/// An answer whose JSON text is there already.
pub(super) fn raw(status: StatusCode, text: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The answer to `HEAD`: that to `GET`, length included, without its body.
pub(super) async fn without_body(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    // Bodies are in memory; collecting one costs nothing and does not fail.
    let length = body.collect().await.map_or(0, |body| body.to_bytes().len());
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    Response::from_parts(parts, Body::empty())
}
