//! Reading of request bodies: bounded in bytes, values and time (spec/introspection.md §1.1).

use axum::body::Body;
use bytes::Bytes;
use hostler_core::introspection::document::{self, MAX_DEPTH, MAX_VALUES};
use http::StatusCode;
use serde_json::Value;

use super::error::Failure;
use crate::api::bounded::{self, Unread, commas};

/// The limit of documents of hosts.
pub(super) const DOCUMENT_MAX: usize = 16 << 20;
/// The limit of everything else.
pub(super) const BODY_MAX: usize = 1 << 20;

/// From this size on a body is parsed beside the async workers.
const PARSE_APART: usize = 64 << 10;

/// The whole body.
///
/// # Errors
/// 413 over `limit` bytes, 408 if it does not arrive, 400 if the connection breaks.
pub(super) async fn read(body: Body, limit: usize) -> Result<Bytes, Failure> {
    bounded::read(body, limit).await.map_err(|unread| {
        let status = match unread {
            Unread::Late => StatusCode::REQUEST_TIMEOUT,
            Unread::Broken => StatusCode::BAD_REQUEST,
            Unread::Large(_) => StatusCode::PAYLOAD_TOO_LARGE,
        };
        Failure::new(status, unread.to_string())
    })
}

/// The JSON object that a body consists of.
///
/// # Errors
/// 400: not JSON, not an object, nested too deep, or of too many values.
pub(super) async fn object(body: Bytes) -> Result<Value, Failure> {
    if body.len() < PARSE_APART {
        return parse(&body);
    }
    match tokio::task::spawn_blocking(move || parse(&body)).await {
        Ok(parsed) => parsed,
        Err(_) => Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")),
    }
}

fn parse(body: &[u8]) -> Result<Value, Failure> {
    if commas(body) >= MAX_VALUES {
        return Err(Failure::invalid(format!("Invalid data: more than {MAX_VALUES} values")));
    }
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        if error.to_string().starts_with("recursion limit") {
            Failure::invalid(format!("Invalid data: nested deeper than {MAX_DEPTH} levels"))
        } else {
            // What cannot be parsed is to upstream a body that is not there.
            Failure::invalid("Invalid data: expected a JSON object, got None")
        }
    })?;
    document::check(&value).map_err(|failure| Failure::invalid(failure.message))?;
    Ok(value)
}
