//! The certificate of the REST listener.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier};

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read, or is not what it should be.
    #[error("{file}: {reason}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key do not fit together, or are of a kind that cannot be used.
    #[error("the certificate and the key cannot be used: {0}")]
    Pair(#[from] rustls::Error),
}

/// The settings of a TLS listener with the certificate chain and the key of these PEM files.
///
/// # Errors
/// See [`Error`].
pub fn from_files(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, Error> {
    let (chain, key) = pair(certificate, key)?;
    let config = builder(provider())?.with_no_client_auth().with_single_cert(chain, key)?;
    Ok(with_protocols(&config))
}

/// The same, for a listener that also asks clients for a certificate. They need not show one; one that none of the
/// `authorities` vouches for ends the handshake.
///
/// # Errors
/// See [`Error`].
pub fn from_files_with_clients(certificate: &Path, key: &Path, authorities: &Path) -> Result<Arc<ServerConfig>, Error> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(authorities)? {
        roots.add(authority).map_err(|error| wrong(authorities, error))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let verifier = verifier.allow_unauthenticated().build().map_err(|error| wrong(authorities, error))?;
    let (chain, key) = pair(certificate, key)?;
    let mut config = builder(provider())?.with_client_cert_verifier(verifier).with_single_cert(chain, key)?;
    // Sessions are not resumed: every connection proves its certificate anew.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(with_protocols(&config))
}

fn wrong(file: &Path, reason: impl std::fmt::Display) -> Error {
    Error::File { file: file.display().to_string(), reason: reason.to_string() }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn builder(provider: Arc<CryptoProvider>) -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, Error> {
    Ok(ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?)
}

/// The certificates in a PEM file, of which there is at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Vec<_> =
        CertificateDer::pem_file_iter(file).and_then(Iterator::collect).map_err(|error| wrong(file, error))?;
    if found.is_empty() { Err(wrong(file, "there is no certificate in it")) } else { Ok(found) }
}

fn pair(certificate: &Path, key: &Path) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    Ok((certificates(certificate)?, PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error))?))
}

/// The same settings, offering HTTP/2 and HTTP/1.1 where they offer nothing yet.
pub(super) fn with_protocols(config: &ServerConfig) -> Arc<ServerConfig> {
    let mut config = config.clone();
    if config.alpn_protocols.is_empty() {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    Arc::new(config)
}
