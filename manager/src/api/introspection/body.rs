//! Reading of request bodies: bounded in bytes, values and time (spec/introspection.md §1.1).

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use hostler_core::introspection::document::{self, MAX_DEPTH, MAX_VALUES};
use http::StatusCode;
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::error::Failure;

/// The limit of documents of hosts.
pub(super) const DOCUMENT_MAX: usize = 16 << 20;
/// The limit of everything else.
pub(super) const BODY_MAX: usize = 1 << 20;

/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much more of a body over the limit is read, and how long: a client that is cut off while it sends often does not
/// see the answer.
const DRAIN_MAX: usize = 32 << 20;
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// From this size on a body is parsed beside the async workers.
const PARSE_APART: usize = 64 << 10;

/// The whole body.
///
/// # Errors
/// 413 over `limit` bytes, 408 if it does not arrive, 400 if the connection breaks.
pub(super) async fn read(body: Body, limit: usize) -> Result<Bytes, Failure> {
    let reading = tokio::time::timeout(PATIENCE, collect(body, limit));
    reading.await.unwrap_or_else(|_| Err(Failure::new(StatusCode::REQUEST_TIMEOUT, "The request body did not arrive")))
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, Failure> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Failure::invalid("The request body cannot be read"))?;
        let Ok(data) = frame.into_data() else { continue };
        if all.len() + data.len() > limit {
            drop(all);
            let _over = tokio::time::timeout(DRAIN_PATIENCE, drain(body)).await;
            let text = format!("The request body is over the limit of {limit} bytes");
            return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}

async fn drain(mut body: Body) {
    let mut rest = DRAIN_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let seen = frame.into_data().map_or(0, |data| data.len());
        if seen > rest {
            return;
        }
        rest -= seen;
    }
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
    // A value takes far more memory than its text: they are counted before any of them is made.
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

/// The number of commas outside of texts.
fn commas(body: &[u8]) -> usize {
    let (mut inside, mut escaped, mut count) = (false, false, 0);
    for &byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b',' if !inside => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_texts_do_not_count() {
        assert_eq!(commas(br#"{"a,\",": ["x,", 1, 2], "b": "\\", "c": 3}"#), 4);
    }
}
