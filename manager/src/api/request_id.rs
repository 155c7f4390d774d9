//! The id under which one request is found again in the log: the caller's `X-Request-Id` if it is sane, else a fresh one.

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header that carries it, in both directions.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken from a caller, in bytes.
const LENGTH_MAX: usize = 128;

/// The id of a request. In the extensions of every request that the server hands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The caller's id, or a fresh one where there is none or it holds anything that could garble a log line.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(HEADER).and_then(|value| value.to_str().ok()).filter(|text| is_sane(text));
        Self(given.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned))
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
            assert!(Uuid::try_parse(id.as_str()).is_ok(), "{bad:?} became {id:?}");
        }
        assert_ne!(RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
    }
}
