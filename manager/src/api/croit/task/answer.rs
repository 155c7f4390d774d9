//! Answers that clients keep and ask about: croit's own client does (spec/hooks.md §12).

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::api::native::error::{Error, Result};

/// A document with its tag, or 304 where the caller has it already.
pub(super) fn tagged(headers: &HeaderMap, document: &impl Serialize) -> Result<Response> {
    let text = serde_json::to_vec(document).map_err(|error| Error::internal(&error))?;
    let tag = format!("\"{}\"", &hex::encode(Sha256::digest(&text))[..32]);
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    let same = known
        .flat_map(|line| line.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == tag || known == "*");
    let mut response = if same {
        (StatusCode::NOT_MODIFIED, Body::empty()).into_response()
    } else {
        ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_not_sent_again() {
        let first = tagged(&HeaderMap::new(), &[1, 2]).unwrap();
        let tag = first.headers()[header::ETAG].clone();
        assert_eq!(
            (first.status(), &first.headers()[header::CACHE_CONTROL]),
            (StatusCode::OK, &HeaderValue::from_static("no-cache"))
        );
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, format!("\"x\", W/{}", tag.to_str().unwrap()).parse().unwrap());
        assert_eq!(tagged(&headers, &[1, 2]).unwrap().status(), StatusCode::NOT_MODIFIED);
        assert_eq!(tagged(&headers, &[1, 3]).unwrap().status(), StatusCode::OK);
    }
}
