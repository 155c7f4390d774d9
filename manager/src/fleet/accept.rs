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
use hostler_common::time::Timestamp;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use super::Fleet;
use super::admit::Refusals;
use super::authority::{Authority, Error};
use super::ca::SERVER_LIFE;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How often it is looked whether files of the operator's PKI changed.
const FILES_CHECK: Duration = Duration::from_secs(5);

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

/// The certificate of a host, as far as TLS can tell: whether it still counts, the store knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCertificate {
    /// Whose.
    pub host: HostId,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// Who made it.
    pub issuer: Issuer,
}

/// Who made the certificate of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Issuer {
    /// The built-in authority, which knows each certificate that it made.
    BuiltIn,
    /// The operator's own PKI.
    Operator {
        /// The name of the host, if the certificate has one.
        name: Option<String>,
        /// When the certificate ends, and the link with it.
        expires_at: Timestamp,
    },
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

/// The TLS settings of the agents' listener; replaced while it runs, before the certificate ends.
pub struct Tls {
    current: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Settings with a fresh certificate, or that of the operator's PKI.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn new(fleet: &Fleet) -> Result<Self, Error> {
        Ok(Self { current: ArcSwap::from_pointee(fleet.authority.server_config(fleet.engine.clock.now())?) })
    }

    /// Replaces the certificate until `stop`: one of the built-in authority when two thirds of its life are over, that of the
    /// operator's PKI when its files changed.
    pub async fn rotate(&self, fleet: &Fleet, stop: CancellationToken) {
        let (pki, period) = match &fleet.authority {
            Authority::BuiltIn(_) => (None, SERVER_LIFE * 2 / 3),
            Authority::Operator(pki) => (Some(pki), FILES_CHECK),
        };
        let mut used = pki.map(|pki| pki.stamp());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(period) => {}
            }
            let found = pki.map(|pki| pki.stamp());
            if found.is_some() && found == used {
                continue;
            }
            // Files that are replaced one after the other do not fit together for a moment; what is complained of then is
            // not looked at again before the next change.
            used = found;
            match fleet.authority.server_config(fleet.engine.clock.now()) {
                Ok(config) => {
                    self.current.store(Arc::new(config));
                    tracing::info!("the manager's certificate for agents was replaced");
                }
                Err(error) => tracing::error!(%error, "the manager's certificate cannot be renewed; the old one stays"),
            }
        }
    }
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
            let (handshakes, authority) = (Arc::clone(&handshakes), fleet.authority.clone());
            tokio::spawn(async move {
                let Ok(_turn) = handshakes.acquire().await else { return };
                match handshake(&acceptor, &authority, stream, address).await {
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
    authority: &Authority,
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
        Some(certificate) => Some(read_certificate(authority, certificate)?),
        None => None,
    };
    Ok((stream, Peer { address, certificate }))
}

fn read_certificate(authority: &Authority, certificate: &CertificateDer<'_>) -> Result<HostCertificate, String> {
    let read = hostler_daemon::pki::HostCertificate::read(certificate, authority.uri_prefix())?;
    let issuer = match authority {
        Authority::BuiltIn(_) => Issuer::BuiltIn,
        Authority::Operator(_) => Issuer::Operator { name: read.name, expires_at: read.expires_at },
    };
    Ok(HostCertificate { host: read.host, serial: read.serial, issuer })
}
