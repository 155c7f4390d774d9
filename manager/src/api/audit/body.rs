//! The beginning of a body, kept on its way to the handler.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::header;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::redact;

/// How much of a body is kept, in bytes. A larger one is not shown at all: secrets are found in whole documents only.
const KEEP_MAX: usize = 64 << 10;

/// What was kept of a body.
pub(super) struct Kept {
    bytes: Arc<Mutex<Copied>>,
    form: bool,
}

#[derive(Default)]
struct Copied {
    bytes: Vec<u8>,
    total: usize,
}

impl Kept {
    /// The body as the trail shows it; `None` if there was none.
    pub(super) fn shown(&self, endpoint: &str) -> Option<String> {
        let copied = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        match copied.total {
            0 => None,
            total if total > copied.bytes.len() => Some(format!("({total} bytes)")),
            _ => Some(redact::body(&copied.bytes, self.form, endpoint)),
        }
    }
}

/// A body that is copied as it is read.
struct Copying {
    body: Body,
    copied: Arc<Mutex<Copied>>,
}

impl HttpBody for Copying {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            let mut copied = self.copied.lock().unwrap_or_else(PoisonError::into_inner);
            copied.total += data.len();
            let room = KEEP_MAX.saturating_sub(copied.bytes.len());
            copied.bytes.extend_from_slice(&data[..data.len().min(room)]);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The request, and what will have been kept of its body.
pub(super) fn kept(request: Request) -> (Request, Kept) {
    let media = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let form = media.trim().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded");
    let bytes = Arc::new(Mutex::new(Copied::default()));
    let copied = Arc::clone(&bytes);
    (request.map(|body| Body::new(Copying { body, copied })), Kept { bytes, form })
}
