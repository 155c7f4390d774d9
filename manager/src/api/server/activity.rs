//! What a connection is doing, so that one that does nothing can be ended.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// What a connection is doing.
#[derive(Debug)]
pub(super) struct Activity {
    begun: Instant,
    /// When bytes last moved, in milliseconds since `begun`.
    moved: AtomicU64,
    /// How many requests there were.
    requests: AtomicU64,
    /// How many requests are under way.
    in_flight: AtomicUsize,
}

/// What is to be done about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing before that moment.
    Wait(Instant),
    /// It lies still: end it in order.
    Idle,
    /// It never asked for anything: drop it.
    Silent,
}

impl Activity {
    pub(super) fn begin() -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            moved: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
        })
    }

    /// A request begins; it is under way until the guard is dropped.
    pub(super) fn request(self: &Arc<Self>) -> InFlight {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// What is to be done at `now`, if the first request must begin within `head` and the connection may lie still for
    /// `idle`.
    pub(super) fn verdict(&self, now: Instant, head: Duration, idle: Duration) -> Verdict {
        if self.requests.load(Ordering::Relaxed) == 0 {
            let until = self.begun + head;
            return if now >= until { Verdict::Silent } else { Verdict::Wait(until) };
        }
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            return Verdict::Wait(now + idle);
        }
        let until = self.begun + Duration::from_millis(self.moved.load(Ordering::Relaxed)) + idle;
        if now >= until { Verdict::Idle } else { Verdict::Wait(until) }
    }

    fn touch(&self) {
        self.touch_at(Instant::now());
    }

    fn touch_at(&self, now: Instant) {
        let since = u64::try_from((now - self.begun).as_millis()).unwrap_or(u64::MAX);
        self.moved.store(since, Ordering::Relaxed);
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        // The answer is still to be sent, which is a movement of its own only where the socket takes it.
        self.0.touch();
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream whose movements are noted.
#[derive(Debug)]
pub(super) struct Watched<S> {
    pub(super) stream: S,
    pub(super) activity: Arc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.touch();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    fn noted(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(polled, Poll::Ready(Ok(written)) if written > 0) {
            self.activity.touch();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.noted(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.noted(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let (head, idle) = (Duration::from_secs(10), Duration::from_secs(60));
        let activity = Activity::begin();
        let begun = activity.begun;
        let verdict = |now| activity.verdict(now, head, idle);
        assert_eq!(verdict(begun), Verdict::Wait(begun + head));
        assert_eq!(verdict(begun + head), Verdict::Silent);
        let request = activity.request();
        let late = begun + idle * 3;
        assert_eq!(verdict(late), Verdict::Wait(late + idle));
        drop(request);
        activity.touch_at(late);
        assert_eq!(verdict(late + idle / 2), Verdict::Wait(late + idle));
        assert_eq!(verdict(late + idle), Verdict::Idle);
        activity.touch_at(late + idle);
        assert_eq!(verdict(late + idle), Verdict::Wait(late + idle * 2));
    }
}
