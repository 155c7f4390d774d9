//! The stored documents, as they are stored (spec/introspection.md §1.7.5).

use std::io::Write as _;

use axum::body::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::error::Failure;
use super::transport::Call;
use super::{json, node};
use crate::store::introspection::{DataKind, Document, data_find};

/// Smaller documents are sent as they are.
const COMPRESS_MIN: usize = 1024;

/// `GET /v1/introspection/{node}/data` and `…/data/unprocessed`.
pub(super) async fn get(call: &Call<'_>, id: &str, kind: DataKind) -> Result<Response<Body>, Failure> {
    let host = node::resolve(call.dialect, id).await?;
    let document = {
        let mut connection = call.dialect.api.engine.store.read().await?;
        data_find(&mut connection, host, kind).await?
    };
    let document = document.ok_or_else(|| {
        let processed = if kind == DataKind::Processed { "True" } else { "False" };
        Failure::not_found(format!("Introspection data not found for node {host}, processed={processed}"))
    })?;
    answer(&call.parts.headers, document).await
}

async fn answer(headers: &HeaderMap, document: Document) -> Result<Response<Body>, Failure> {
    let compressed = document.text.len() >= COMPRESS_MIN && accepts_gzip(headers);
    let etag = if compressed { format!("\"{}-gzip\"", document.etag) } else { format!("\"{}\"", document.etag) };
    let mut response = if is_known(headers, &document.etag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else if compressed {
        let mut response = json::raw(StatusCode::OK, compress(document.text).await?);
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        json::raw(StatusCode::OK, document.text.into())
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    Ok(response)
}

/// Whether the caller has this document already, in whichever encoding.
fn is_known(headers: &HeaderMap, hash: &str) -> bool {
    let tags = headers.get_all(IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|line| line.split(',')).map(str::trim).any(|tag| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        let bare = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        tag == "*" || bare.is_some_and(|bare| bare.strip_suffix("-gzip").unwrap_or(bare) == hash)
    })
}

/// Whether `Accept-Encoding` names gzip, or everything, with a weight above zero.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    let mut any = false;
    for coding in lines.flat_map(|line| line.split(',')) {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = parameters
            .trim()
            .strip_prefix("q=")
            .is_some_and(|weight| weight.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0));
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => return !refused,
            "*" => any = !refused,
            _ => {}
        }
    }
    any
}

/// Compresses beside the async workers: a large document takes milliseconds.
async fn compress(text: String) -> Result<Bytes, Failure> {
    let work = tokio::task::spawn_blocking(move || -> std::io::Result<Vec<u8>> {
        let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 6), Compression::fast());
        encoder.write_all(text.as_bytes())?;
        encoder.finish()
    });
    match work.await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        _ => Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")),
    }
}
