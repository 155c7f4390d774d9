//! Takes connections in until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::service::Service;
use super::tls::with_protocols;

/// How long to wait after the kernel refused a connection, mostly for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves connections until `stop`, and returns when the last has ended, which they do within the grace of the limits.
pub async fn serve_connections(
    service: Service,
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    stop: CancellationToken,
) {
    let acceptor = tls.map(|config| TlsAcceptor::from(with_protocols(&config)));
    let room = Arc::new(Semaphore::new(service.limits().connections));
    let tracker = TaskTracker::new();
    loop {
        let room = Arc::clone(&room);
        let next = async {
            // Room is taken before the connection: what has none stays in the kernel's queue, which is bounded.
            let permit = room.acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = stop.cancelled() => break,
            next = next => next,
        };
        match accepted {
            Ok((socket, address)) => {
                // Answers are written whole; waiting for more to send would only delay them. Failing that is harmless.
                let _ = socket.set_nodelay(true);
                let connection = Connection { service: service.clone(), address, stop: stop.clone() };
                let acceptor = acceptor.clone();
                tracker.spawn(async move {
                    connection.serve(socket, acceptor).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be taken in");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    tracker.close();
    tracker.wait().await;
}
