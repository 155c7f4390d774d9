//! Who certifies hosts and managers: the built-in authority, or the operator's own PKI in its place (design §5).

use std::path::PathBuf;
use std::sync::Arc;

use hostler_common::error::Class;
use hostler_common::link::HOST_URI;
use hostler_common::time::Timestamp;
use hostler_daemon::pki::{self, Material};
use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};

use super::ca::{self, Ca};
use crate::config;
use crate::store::{self, Error as StoreError};

/// Why the listener of agents cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate cannot be made.
    #[error(transparent)]
    Ca(#[from] ca::Error),
    /// A file of the operator's PKI cannot be used.
    #[error(transparent)]
    File(#[from] pki::Error),
    /// TLS does not accept what we configured.
    #[error("TLS for agents: {0}")]
    Tls(String),
}

fn tls(error: impl std::fmt::Display) -> Error {
    Error::Tls(error.to_string())
}

/// Who certifies hosts and managers. Cheap to clone.
#[derive(Clone)]
pub enum Authority {
    /// The built-in authority: hosts join with tokens.
    BuiltIn(Arc<Ca>),
    /// The operator's own PKI: hosts have their certificates from it, and appear when they connect.
    Operator(Arc<OperatorPki>),
}

impl From<Arc<Ca>> for Authority {
    fn from(ca: Arc<Ca>) -> Self {
        Self::BuiltIn(ca)
    }
}

/// The operator's own PKI.
#[derive(Clone, Debug)]
pub struct OperatorPki {
    settings: config::Pki,
}

impl OperatorPki {
    /// The PKI of these settings, after a look whether its files can be used.
    ///
    /// # Errors
    /// They cannot.
    pub fn open(settings: config::Pki) -> Result<Self, Error> {
        let pki = Self { settings };
        pki.server_config()?;
        Ok(pki)
    }

    /// What the files are now: changes when one of them does. A file that cannot be read counts as empty.
    #[must_use]
    pub fn stamp(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for file in self.files() {
            hash.update(Sha256::digest(std::fs::read(file).unwrap_or_default()));
        }
        hash.finalize().into()
    }

    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let settings = &self.settings;
        [&settings.ca_file, &settings.cert_file, &settings.key_file].into_iter().chain(&settings.crl_file)
    }

    fn server_config(&self) -> Result<ServerConfig, Error> {
        let settings = &self.settings;
        let material = Material::read(&settings.ca_file, &settings.cert_file, &settings.key_file)?;
        let revoked: Vec<CertificateRevocationListDer<'static>> = match &settings.crl_file {
            Some(file) => pki::read_all(file)?,
            None => Vec::new(),
        };
        server_config(material, revoked)
    }
}

impl Authority {
    /// The built-in authority.
    ///
    /// # Errors
    /// A refusal of that class: the operator's own PKI is in its place.
    pub(super) fn built_in(&self, class: Class) -> store::Result<&Ca> {
        match self {
            Self::BuiltIn(ca) => Ok(ca),
            Self::Operator(_) => Err(StoreError::Refused(
                class,
                "this installation uses its operator's own PKI: hosts do not join with a token, the agent is given a \
                 certificate of that PKI in its agent.toml ([pki])"
                    .into(),
            )),
        }
    }

    /// What the URI in the certificate of a host begins with.
    pub(super) fn uri_prefix(&self) -> &str {
        match self {
            Self::BuiltIn(_) => HOST_URI,
            Self::Operator(pki) => &pki.settings.uri_prefix,
        }
    }

    /// The TLS settings of the agents' listener, with a certificate that is fresh, or the one that the files have now.
    ///
    /// # Errors
    /// See [`Error`].
    pub(super) fn server_config(&self, now: Timestamp) -> Result<ServerConfig, Error> {
        match self {
            Self::BuiltIn(ca) => {
                let mut roots = RootCertStore::empty();
                roots.add(ca.certificate().clone()).map_err(tls)?;
                let (chain, key) = ca.issue_server(now)?;
                server_config(Material { roots, chain, key }, Vec::new())
            }
            Self::Operator(pki) => pki.server_config(),
        }
    }
}

fn server_config(
    material: Material,
    revoked: Vec<CertificateRevocationListDer<'static>>,
) -> Result<ServerConfig, Error> {
    let mut verifier = WebPkiClientVerifier::builder(Arc::new(material.roots)).allow_unauthenticated();
    if !revoked.is_empty() {
        // An authority between the root and a host may publish no list of its own.
        verifier = verifier.with_crls(revoked).only_check_end_entity_revocation().allow_unknown_revocation_status();
    }
    let mut config = ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_client_cert_verifier(verifier.build().map_err(tls)?)
        .with_single_cert(material.chain, material.key)
        .map_err(tls)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // Without tickets every connection proves its certificate anew.
    config.send_tls13_tickets = 0;
    Ok(config)
}
