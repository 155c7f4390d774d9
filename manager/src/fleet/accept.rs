//! Lets agents in: TLS 1.3 on one port, with a client certificate for the link and without one for enrolment (design §5).
//!
//! Handshakes run beside each other, each with a deadline, so that a slow one delays nobody. The verified certificate
//! travels with the connection to every request on it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use hostler_common::id::HostId;
use hostler_common::link::host_of_uri;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::Fleet;
use super::admit::Refusals;
use super::ca::SERVER_LIFE;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How many handshakes run at once: they cost processor time, connections cost memory.
const HANDSHAKES_AT_ONCE: usize = 64;

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where from.
    pub address: SocketAddr,
    /// The verified certificate, if one was presented.
    pub certificate: Option<HostCertificate>,
}

/// A certificate that our authority made for a host, as far as TLS can tell: whether it still counts, the store knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCertificate {
    /// Whose.
    pub host: HostId,
    /// Its serial number, hexadecimal.
    pub serial: String,
}

/// A connection with its peer.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Why the listener cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate cannot be made.
    #[error(transparent)]
    Ca(#[from] super::ca::Error),
    /// TLS does not accept what we configured.
    #[error("TLS for agents: {0}")]
    Tls(String),
}

/// The TLS settings of the agents' listener; replaced while it runs, before the certificate ends.
pub struct Tls {
    current: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Settings with a fresh certificate.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn new(fleet: &Fleet) -> Result<Self, Error> {
        Ok(Self { current: ArcSwap::from_pointee(server_config(fleet)?) })
    }

    /// Replaces the certificate when two thirds of its life are over, until `stop`.
    pub async fn rotate(&self, fleet: &Fleet, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SERVER_LIFE * 2 / 3) => {}
            }
            match server_config(fleet) {
                Ok(config) => self.current.store(Arc::new(config)),
                Err(error) => tracing::error!(%error, "the manager's certificate cannot be renewed"),
            }
        }
    }
}

fn server_config(fleet: &Fleet) -> Result<ServerConfig, Error> {
    let tls = |error: &dyn std::fmt::Display| Error::Tls(error.to_string());
    let mut roots = RootCertStore::empty();
    roots.add(fleet.ca.certificate().clone()).map_err(|error| tls(&error))?;
    let verifier =
        WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated().build().map_err(|error| tls(&error))?;
    let (chain, key) = fleet.ca.issue_server(fleet.engine.clock.now())?;
    let mut config = ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| tls(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // Without tickets every connection proves its certificate anew.
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Accepts connections until `stop`; the receiver yields those whose handshake succeeded.
pub fn accept(
    fleet: Fleet,
    tls: Arc<Tls>,
    refusals: Arc<Refusals>,
    listener: TcpListener,
    stop: CancellationToken,
) -> mpsc::Receiver<std::io::Result<Connection>> {
    let (ready, accepted) = mpsc::channel(16);
    tokio::spawn(async move {
        let connections = Arc::new(Semaphore::new(fleet.settings.max_connections));
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_AT_ONCE));
        loop {
            let (stream, address) = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of file descriptors, mostly: others may close theirs.
                        tracing::warn!(%error, "an agent's connection cannot be accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
                refusals.record(&fleet.engine, address, "", "too many agents are connected").await;
                continue;
            };
            let acceptor = TlsAcceptor::from(tls.current.load_full());
            let (ready, refusals, engine) = (ready.clone(), Arc::clone(&refusals), fleet.engine.clone());
            let handshakes = Arc::clone(&handshakes);
            tokio::spawn(async move {
                let Ok(_turn) = handshakes.acquire().await else { return };
                match handshake(&acceptor, stream, address).await {
                    // The receiver is gone when the manager stops.
                    Ok((stream, peer)) => {
                        ready.send(Ok(Connection { stream, peer, _permit: permit })).await.ok();
                    }
                    Err(reason) => refusals.record(&engine, address, "", &reason).await,
                }
            });
        }
    });
    accepted
}

async fn handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
) -> Result<(TlsStream<TcpStream>, Peer), String> {
    // Small frames must not wait for each other.
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream))
        .await
        .map_err(|_| "the TLS handshake took too long".to_owned())?
        .map_err(|error| format!("TLS: {error}"))?;
    let certificate = match stream.get_ref().1.peer_certificates().and_then(<[_]>::first) {
        Some(certificate) => Some(read_certificate(certificate)?),
        None => None,
    };
    Ok((stream, Peer { address, certificate }))
}

fn read_certificate(certificate: &CertificateDer<'_>) -> Result<HostCertificate, String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| format!("certificate: {error}"))?;
    let names = parsed.subject_alternative_name().map_err(|error| format!("certificate: {error}"))?;
    let host = names
        .iter()
        .flat_map(|names| names.value.general_names.iter())
        .find_map(|name| match name {
            GeneralName::URI(uri) => host_of_uri(uri),
            _ => None,
        })
        .ok_or("certificate: it names no host")?;
    Ok(HostCertificate { host, serial: hex::encode(parsed.raw_serial()) })
}
