//! The body of a request as the server hands it on: bounded, and known to be read or not.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body_util::Limited;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

type Failure = <Limited<Body> as HttpBody>::Error;

/// A body whose end is noted.
struct Noted {
    body: Limited<Body>,
    read: Arc<AtomicBool>,
}

impl HttpBody for Noted {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) || self.body.is_end_stream() {
            self.read.store(true, Ordering::Relaxed);
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

/// The request with a body of at most `max` bytes, and whether all of it has been read.
pub(super) fn bounded(request: Request<Body>, max: usize) -> (Request<Body>, Arc<AtomicBool>) {
    let read = Arc::new(AtomicBool::new(request.body().is_end_stream()));
    let noted = Arc::clone(&read);
    (request.map(|body| Body::new(Noted { body: Limited::new(body, max), read: noted })), read)
}
