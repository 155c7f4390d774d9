//! The id under which one request is found again in the log and in the audit trail: the caller's `X-Request-Id`, or
//! `X-OpenStack-Request-ID`, if it is sane, else a fresh one.

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header that carries it, in both directions.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The same in the words of OpenStack's clients. The introspection dialect also answers with it.
pub const OPENSTACK_HEADER: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// Longest id that is taken from a caller, in bytes.
const LENGTH_MAX: usize = 128;

/// The id of a request. In the extensions of every request that the server hands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The caller's id, or a fresh one where there is none or it holds anything that could garble a log line.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(HEADER).or_else(|| headers.get(OPENSTACK_HEADER));
        let given = given.and_then(|value| value.to_str().ok()).filter(|text| is_sane(text));
        Self(given.map_or_else(|| format!("req-{}", Uuid::new_v4()), str::to_owned))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text as a header's value.
    #[must_use]
    pub fn value(&self) -> HeaderValue {
        // Sane ids consist of characters that a header may hold; the other branch is for the compiler.
        HeaderValue::from_str(&self.0).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }
}

fn is_sane(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= LENGTH_MAX
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'+' | b'/' | b'='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &[u8]) -> RequestId {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_bytes(value).unwrap());
        RequestId::of(&headers)
    }

    #[test]
    fn sane_ids_are_kept_and_others_replaced() {
        assert_eq!(of(b"req-7f_3.a:b+c/d=").as_str(), "req-7f_3.a:b+c/d=");
        for bad in [&b""[..], b"a b", b"a\"b", "é".as_bytes(), &[b'x'; 129]] {
            let id = of(bad);
            let fresh = id.as_str().strip_prefix("req-").is_some_and(|id| Uuid::try_parse(id).is_ok());
            assert!(fresh, "{bad:?} became {id:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(OPENSTACK_HEADER, HeaderValue::from_static("req-theirs"));
        assert_eq!(RequestId::of(&headers).as_str(), "req-theirs");
        headers.insert(HEADER, HeaderValue::from_static("mine"));
        assert_eq!(RequestId::of(&headers).as_str(), "mine");
        assert_ne!(RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
    }
}
