//! Which pages of other origins may use the REST interfaces in a browser (CORS, spec/introspection.md §1.1).
//!
//! Off unless `listen.allowed_origins` names one. It gives nobody any right: proofs are in headers that a page must know,
//! and credentials that a browser would add by itself are not asked for.

use axum::body::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, CONTENT_LENGTH, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, HEAD, PATCH, DELETE, OPTIONS");

/// Headers that a page may send: those of the original, and those of the other dialects.
const HEADERS: HeaderValue = HeaderValue::from_static(
    "X-Auth-Token, X-OpenStack-Ironic-Inspector-API-Minimum-Version, \
     X-OpenStack-Ironic-Inspector-API-Maximum-Version, X-OpenStack-Ironic-Inspector-API-Version, \
     OpenStack-API-Version, Authorization, Content-Type, Idempotency-Key, If-None-Match, X-Subject-Token, X-Request-Id, \
     X-OpenStack-Request-ID",
);

/// Headers of answers that a page may read.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "X-OpenStack-Ironic-Inspector-API-Minimum-Version, X-OpenStack-Ironic-Inspector-API-Maximum-Version, \
     X-OpenStack-Ironic-Inspector-API-Version, X-Subject-Token, X-Request-Id, X-OpenStack-Request-ID, ETag, \
     Retry-After, WWW-Authenticate",
);

/// How long a browser may remember what it was told: an hour.
const MAX_AGE: HeaderValue = HeaderValue::from_static("3600");

/// The origins that are let in.
#[derive(Clone, Debug, Default)]
pub(super) struct Cors {
    any: bool,
    origins: Vec<String>,
}

impl Cors {
    /// Lets these origins in; `*` is all of them.
    pub(super) fn new(origins: &[String]) -> Self {
        let (any, origins): (Vec<_>, Vec<_>) = origins.iter().cloned().partition(|origin| origin == "*");
        Self { any: !any.is_empty(), origins }
    }

    /// The value of `Access-Control-Allow-Origin` in the answer to a request with these headers; `None` where its page is
    /// not let in, or no page asks.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        if self.any {
            return Some(HeaderValue::from_static("*"));
        }
        self.origins.iter().any(|known| known.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }

    /// The answer to a browser that asks whether a page may send a request; `None` if it is no such question.
    pub(super) fn preflight(request: &Request<Body>) -> Option<Response<Body>> {
        if request.method() != Method::OPTIONS || !request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        Some(response)
    }

    /// Marks an answer to a request that was admitted as that, or not.
    pub(super) fn mark(&self, admitted: Option<HeaderValue>, headers: &mut HeaderMap) {
        if !self.any && !self.origins.is_empty() {
            // Also on answers to others: a cache must not give theirs to a page.
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = admitted {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.entry(ACCESS_CONTROL_EXPOSE_HEADERS).or_insert(EXPOSED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(cors: &Cors, origin: &'static str) -> Option<String> {
        let headers = [(ORIGIN, HeaderValue::from_static(origin))].into_iter().collect();
        cors.admit(&headers).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn origins_match_exactly_or_all() {
        let cors = Cors::new(&["https://a.example".into(), "http://[::1]:3000".into()]);
        assert_eq!(admitted(&cors, "https://a.example").as_deref(), Some("https://a.example"));
        assert_eq!(admitted(&cors, "http://[::1]:3000").as_deref(), Some("http://[::1]:3000"));
        for other in
            ["https://a.example.evil", "https://a.example:444", "http://a.example", "null", "https://A.example"]
        {
            assert_eq!(admitted(&cors, other), None, "{other}");
        }
        let any = Cors::new(&["*".into(), "https://a.example".into()]);
        assert_eq!(admitted(&any, "null").as_deref(), Some("*"));
        assert_eq!(any.admit(&HeaderMap::new()), None);
        assert_eq!(admitted(&Cors::default(), "https://a.example"), None);
    }
}
