//! Reading of request bodies within limits of bytes and time, for dialects that answer in their own shape when one is over.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;

/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much more of a body over the limit is read, and how long: a client that is cut off while it sends often does not
/// see the answer.
const DRAIN_MAX: usize = 32 << 20;
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unread {
    /// 408.
    #[error("The request body did not arrive")]
    Late,
    /// 400.
    #[error("The request body cannot be read")]
    Broken,
    /// 413.
    #[error("The request body is over the limit of {0} bytes")]
    Large(usize),
}

/// The whole body, of at most `limit` bytes.
pub(super) async fn read(body: Body, limit: usize) -> Result<Bytes, Unread> {
    tokio::time::timeout(PATIENCE, collect(body, limit)).await.unwrap_or(Err(Unread::Late))
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, Unread> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Unread::Broken)?;
        let Ok(data) = frame.into_data() else { continue };
        if all.len() + data.len() > limit {
            drop(all);
            let _over = tokio::time::timeout(DRAIN_PATIENCE, drain(body)).await;
            return Err(Unread::Large(limit));
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

/// The number of commas outside of texts: a value takes far more memory than its text, and so they are counted before any
/// of them is made.
pub(super) fn commas(body: &[u8]) -> usize {
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

    #[tokio::test]
    async fn bodies_over_the_limit_are_refused() {
        assert_eq!(read(Body::from("abc"), 3).await, Ok(Bytes::from_static(b"abc")));
        assert_eq!(read(Body::from("abcd"), 3).await, Err(Unread::Large(3)));
    }
}
