//! One connection, from the handshake to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::Limits;
use super::activity::{Activity, Verdict, Watched};
use super::service::Service;
use crate::api::certificate::Certificate;
use crate::api::peer::Peer;
use crate::metrics::hot::COUNTERS;

/// How many requests one connection of HTTP/2 may have under way.
const STREAMS_MAX: u32 = 128;

/// The largest head of a request, in bytes.
const HEAD_MAX: u32 = 64 << 10;

/// What a connection works with.
pub(super) struct Connection {
    pub(super) service: Service,
    pub(super) address: SocketAddr,
    pub(super) stop: CancellationToken,
}

impl Connection {
    /// Serves the connection until it ends, lies still for too long, or the server stops.
    pub(super) async fn serve(self, socket: TcpStream, acceptor: Option<TlsAcceptor>) {
        let _counted = COUNTERS.connection();
        let Some(acceptor) = acceptor else {
            let peer = Peer::plain(self.address);
            return self.run(socket, peer).await;
        };
        match tokio::time::timeout(self.service.limits().head, acceptor.accept(socket)).await {
            Ok(Ok(stream)) => {
                let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                match shown.map(|shown| Certificate::read(shown)).transpose() {
                    Ok(read) => {
                        let peer = Peer { address: Some(self.address), certificate: read.map(Arc::new) };
                        self.run(stream, peer).await;
                    }
                    Err(error) => tracing::warn!(peer = %self.address, error, "a client certificate cannot be read"),
                }
            }
            Ok(Err(error)) => tracing::debug!(peer = %self.address, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(peer = %self.address, "a TLS handshake took too long"),
        }
    }

    async fn run<S>(self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = *self.service.limits();
        let activity = Activity::begin();
        let (service, watch) = (self.service, Arc::clone(&activity));
        let answer = service_fn(move |request: http::Request<Incoming>| {
            let (service, under_way, peer) = (service.clone(), watch.request(), peer.clone());
            async move {
                let response = service.call_from(peer, request.map(Body::new)).await;
                drop(under_way);
                Ok::<_, Infallible>(response)
            }
        });
        let builder = builder(&limits);
        let io = TokioIo::new(Watched { stream, activity: Arc::clone(&activity) });
        let mut connection = std::pin::pin!(builder.serve_connection(io, answer));
        let mut until = None;
        loop {
            let wake = match (until, activity.verdict(Instant::now(), limits.head, limits.idle)) {
                (Some(until), _) | (None, Verdict::Wait(until)) => until,
                (None, Verdict::Silent) => return,
                (None, Verdict::Idle) => {
                    connection.as_mut().graceful_shutdown();
                    *until.insert(Instant::now() + limits.grace)
                }
            };
            tokio::select! {
                done = connection.as_mut() => {
                    if let Err(error) = done {
                        tracing::debug!(peer = %self.address, %error, "a connection ended badly");
                    }
                    return;
                }
                () = self.stop.cancelled(), if until.is_none() => {
                    connection.as_mut().graceful_shutdown();
                    until = Some(Instant::now() + limits.grace);
                }
                () = tokio::time::sleep_until(wake) => {
                    if until.is_some() {
                        tracing::debug!(peer = %self.address, "a connection did not end in time and is dropped");
                        return;
                    }
                }
            }
        }
    }
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_MAX as usize)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_MAX);
    builder
}
