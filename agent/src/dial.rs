//! Connections to a manager: TCP, then TLS 1.3 that asks for the name of managers whatever the address (design §5).

use std::sync::Arc;
use std::time::Duration;

use hostler_common::link::MANAGER_NAME;
use hostler_daemon::pki::Material;
use hyper_util::rt::TokioIo;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use crate::identity::Identity;

/// How long a connection may take to be set up.
const CONNECT: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The identity cannot be used.
    #[error("the identity of this agent cannot be used: {0}")]
    Identity(String),
    /// The manager cannot be reached, or the TLS handshake failed.
    #[error("{address}: {reason}")]
    Connect {
        /// Which.
        address: String,
        /// Why, with all causes.
        reason: String,
    },
}

/// TLS for an agent that has joined: it proves itself, and believes its own authority alone.
///
/// # Errors
/// The identity cannot be used.
pub fn tls_of(identity: &Identity) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(identity.ca.clone())).map_err(|error| Error::Identity(error.to_string()))?;
    let chain = vec![CertificateDer::from(identity.certificate.clone())];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.clone()));
    tls_with(Material { roots, chain, key })
}

/// TLS for an agent with these certificates.
///
/// # Errors
/// They cannot be used.
pub fn tls_with(material: Material) -> Result<Arc<ClientConfig>, Error> {
    let mut config = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_root_certificates(material.roots)
        .with_client_auth_cert(material.chain, material.key)
        .map_err(|error| Error::Identity(error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// TLS for a host that joins: it has no certificate, and believes the authority whose hash the join token carries.
#[must_use]
pub fn tls_by_hash(ca_sha256: [u8; 32]) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ByHash { ca_sha256 }))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// Verifies a manager by the hash of its authority: the manager presents the authority's certificate in its chain, and
/// the rest is the ordinary verification with that one as the only root.
#[derive(Debug)]
struct ByHash {
    ca_sha256: [u8; 32],
}

impl ByHash {
    fn verifier(certificate: &CertificateDer<'_>) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone().into_owned())?;
        WebPkiServerVerifier::builder(Arc::new(roots))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))
    }
}

impl ServerCertVerifier for ByHash {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let authority = intermediates
            .iter()
            .find(|certificate| <[u8; 32]>::from(Sha256::digest(certificate)) == self.ca_sha256)
            .ok_or_else(|| rustls::Error::General("this is not the manager that made the join token".into()))?;
        Self::verifier(authority)?.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A channel to the manager at `address` (`HOST:PORT`), whose certificate has the name of all managers.
///
/// # Errors
/// [`Error::Connect`] with all causes.
pub async fn dial(address: &str, tls: Arc<ClientConfig>) -> Result<Channel, Error> {
    let name = ServerName::try_from(MANAGER_NAME)
        .map_err(|error| Error::Connect { address: address.to_owned(), reason: error.to_string() })?;
    dial_name(address, name, tls).await
}

/// A channel to the manager at `address` (`HOST:PORT`), whose certificate has this name.
///
/// # Errors
/// [`Error::Connect`] with all causes.
pub async fn dial_name(address: &str, name: ServerName<'static>, tls: Arc<ClientConfig>) -> Result<Channel, Error> {
    let failed = |reason: String| Error::Connect { address: address.to_owned(), reason };
    let target = address.to_owned();
    let connector = tower::service_fn(move |_: http::Uri| {
        let (tls, name, target) = (TlsConnector::from(Arc::clone(&tls)), name.clone(), target.clone());
        async move {
            let stream = TcpStream::connect(&target).await?;
            stream.set_nodelay(true)?;
            let stream = tls.connect(name, stream).await?;
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        }
    });
    // The scheme and the name only fill the HTTP/2 headers; the connector knows where to go.
    let endpoint = Endpoint::from_static("http://manager.hostler.internal")
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true);
    tokio::time::timeout(CONNECT, endpoint.connect_with_connector(connector))
        .await
        .map_err(|_| failed(format!("no connection within {} s", CONNECT.as_secs())))?
        .map_err(|error| failed(chain_of(&error)))
}

/// An error and all its causes in one line.
#[must_use]
pub fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
