//! The HTTP server: takes connections in, bounds what each may cost, and hands requests to the dialects (design §8).
//!
//! [`router`] puts the dialects together. [`service`] surrounds each request with what is the same for all: its id, its
//! span, limits, metrics. [`accept`] and [`connection`] own the sockets. Nothing here knows what a request means.

mod accept;
mod activity;
mod body;
mod connection;
mod cors;
mod failure;
mod figure;
pub mod health;
pub mod metrics;
pub mod router;
pub mod service;
pub mod tls;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Api;
use crate::config::Listen;
use crate::metrics::Dialect;

pub use accept::serve_connections;
pub use service::Service;

/// What clients may cost, so that no number of slow, greedy or broken ones takes the manager down (design §10.10).
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Requests under way at once; further ones get 503.
    pub in_flight: usize,
    /// How long the TLS handshake, and then the head of a request, may take. Also how long a connection of HTTP/1.1 may
    /// wait for its next request.
    pub head: Duration,
    /// How long a connection may lie still while no request is under way.
    pub idle: Duration,
    /// How long a request may take from its head to the head of its answer. What streams after that is not bounded here.
    pub request: Duration,
    /// The same for the introspection dialect, whose callback waits for a run and which has limits of its own.
    pub request_introspection: Duration,
    /// How long requests under way may go on after a stop.
    pub grace: Duration,
    /// The largest body of any dialect, in bytes. Dialects have limits of their own below this one.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2048,
            in_flight: 512,
            head: Duration::from_secs(15),
            idle: Duration::from_secs(75),
            request: Duration::from_secs(30),
            request_introspection: Duration::from_secs(600),
            grace: Duration::from_secs(10),
            body: 17 << 20,
        }
    }
}

/// The settings of a TLS listener, if a certificate is configured.
///
/// # Errors
/// See [`tls::Error`].
pub fn tls_of(listen: &Listen) -> Result<Option<Arc<rustls::ServerConfig>>, tls::Error> {
    let (Some(certificate), Some(key)) = (&listen.tls_certificate, &listen.tls_key) else { return Ok(None) };
    match &listen.client_ca_file {
        Some(authorities) => tls::from_files_with_clients(certificate, key, authorities).map(Some),
        None => tls::from_files(certificate, key).map(Some),
    }
}

/// Serves all dialects on `listener` until `stop`, then ends what is under way within [`Limits::grace`].
///
/// # Errors
/// None so far; whoever runs several listeners treats them alike.
pub async fn serve(
    api: Api,
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let limits = Limits::default();
    let listen = api.config.listen.clone();
    let service = Service::new(router::router(api, stop.clone()), limits).configured(&listen);
    serve_connections(service, listener, tls, stop).await;
    Ok(())
}

/// Serves the maintenance dialect alone on `listener`, like [`serve`].
///
/// # Errors
/// See [`serve`].
pub async fn serve_maintenance(
    api: Api,
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listen = api.config.listen.clone();
    let service = Service::new(router::maintenance_alone(api, stop.clone()), Limits::default()).configured(&listen);
    serve_connections(service.only(Dialect::Maintenance), listener, tls, stop).await;
    Ok(())
}
