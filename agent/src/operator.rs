//! The identity of an agent whose certificate is of an operator's own PKI (design §5): files that somebody else renews.

use std::path::Path;
use std::sync::Arc;

use hostler_common::id::HostId;
use hostler_daemon::pki::{HostCertificate, Material};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::config::Pki;
use crate::dial::{self, Error};

/// The files, and whose they were when the agent started.
#[derive(Clone, Debug)]
pub struct Operator {
    settings: Pki,
    host: HostId,
    name: Option<String>,
}

impl Operator {
    /// The identity that the files of `settings` give now.
    ///
    /// # Errors
    /// A file is not what it should be, or the certificate names no host.
    pub fn open(settings: Pki) -> Result<Self, Error> {
        let (_, certificate) = read(&settings)?;
        let opened = Self { settings, host: certificate.host, name: certificate.name };
        opened.tls()?;
        Ok(opened)
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> HostId {
        self.host
    }

    /// The host's name as the certificate had it at the start, or its UUID.
    #[must_use]
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.host.to_string())
    }

    /// TLS with the files as they are now.
    ///
    /// # Errors
    /// They cannot be used, or are another host's by now: the journal of this agent is not that one's.
    pub fn tls(&self) -> Result<Arc<ClientConfig>, Error> {
        let (material, certificate) = read(&self.settings)?;
        if certificate.host != self.host {
            let file = self.settings.cert_file.display();
            return Err(Error::Identity(format!("{file}: the certificate names another host than at the start")));
        }
        dial::tls_with(material)
    }

    /// The name that a manager at `address` must have in its certificate.
    ///
    /// # Errors
    /// The address is none that a certificate can name.
    pub fn manager_name(&self, address: &str) -> Result<ServerName<'static>, Error> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let name = self.settings.manager_name.as_deref().unwrap_or(host.trim_matches(['[', ']']));
        ServerName::try_from(name.to_owned()).map_err(|error| Error::Identity(format!("{name:?}: {error}")))
    }
}

fn read(settings: &Pki) -> Result<(Material, HostCertificate), Error> {
    let refuse = |reason: String| Error::Identity(reason);
    let material = Material::read(&settings.ca_file, &settings.cert_file, &settings.key_file)
        .map_err(|error| refuse(error.to_string()))?;
    let named = |file: &Path, reason: String| refuse(format!("{}: {reason}", file.display()));
    let own = material.chain.first().ok_or_else(|| named(&settings.cert_file, "it is empty".into()))?;
    let certificate =
        HostCertificate::read(own, &settings.uri_prefix).map_err(|reason| named(&settings.cert_file, reason))?;
    Ok((material, certificate))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn write(dir: &Path, host: &str) -> Pki {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(format!("spiffe://hostler/host/{host}").try_into().unwrap())];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        let file = |name: &str, text: &str| -> PathBuf {
            let path = dir.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        Pki {
            ca_file: file("ca.pem", &certificate),
            cert_file: file("agent.pem", &certificate),
            key_file: file("agent.key", &key.serialize_pem()),
            uri_prefix: hostler_common::link::HOST_URI.into(),
            manager_name: None,
        }
    }

    #[test]
    fn files_are_read_anew_and_stay_those_of_one_host() {
        hostler_daemon::process::install_crypto();
        let dir = tempfile::tempdir().unwrap();
        let identity = Operator::open(write(dir.path(), "node-1")).unwrap();
        assert_eq!(identity.name(), "node-1");
        write(dir.path(), "node-1");
        identity.tls().unwrap();
        write(dir.path(), "node-2");
        assert!(identity.tls().unwrap_err().to_string().contains("names another host"));
        std::fs::write(dir.path().join("agent.pem"), "").unwrap();
        assert!(identity.tls().unwrap_err().to_string().contains("agent.pem"));
    }

    #[test]
    fn a_certificate_without_its_key_is_of_no_use() {
        hostler_daemon::process::install_crypto();
        let dir = tempfile::tempdir().unwrap();
        let settings = write(dir.path(), "node-1");
        std::fs::write(&settings.key_file, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        assert!(Operator::open(settings).is_err());
    }

    #[test]
    fn managers_are_asked_for_the_name_that_is_dialled_or_configured() {
        hostler_daemon::process::install_crypto();
        let dir = tempfile::tempdir().unwrap();
        let mut settings = write(dir.path(), "node-1");
        let named = |settings: &Pki, address: &str| {
            Operator::open(settings.clone()).unwrap().manager_name(address).unwrap().to_str().into_owned()
        };
        assert_eq!(named(&settings, "manager.example:7443"), "manager.example");
        assert_eq!(named(&settings, "[2001:db8::1]:7443"), "2001:db8::1");
        settings.manager_name = Some("fleet.example".into());
        assert_eq!(named(&settings, "192.0.2.1:7443"), "fleet.example");
    }
}
