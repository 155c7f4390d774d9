//! Certificates of hosts and files of an operator's own PKI, as both ends of the agent link read them (design §5).

use std::path::Path;

use hostler_common::id::HostId;
use hostler_common::text::check_host_name;
use hostler_common::time::Timestamp;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// What is in the files of one end: which authorities it believes, and how it proves who it is.
#[derive(Debug)]
pub struct Material {
    /// The authorities that certify the other end.
    pub roots: RootCertStore,
    /// Its own certificate, and those between it and an authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct Error {
    /// Which.
    pub file: String,
    /// What is wrong with it; repeats nothing of its content.
    pub reason: String,
}

impl Error {
    /// `file` cannot be used because of `reason`.
    pub fn new(file: &Path, reason: impl ToString) -> Self {
        Self { file: file.display().to_string(), reason: reason.to_string() }
    }
}

impl Material {
    /// Reads PEM files: authorities, certificate chain, private key.
    ///
    /// # Errors
    /// The first file that is not what it should be. Whether certificate and key belong together is seen when they are used.
    pub fn read(ca: &Path, certificate: &Path, key: &Path) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for authority in read_all::<CertificateDer<'static>>(ca)? {
            roots.add(authority).map_err(|error| Error::new(ca, error))?;
        }
        let chain = read_all(certificate)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| Error::new(key, error))?;
        Ok(Self { roots, chain, key })
    }
}

/// Reads all objects of one kind from a PEM file, of which there must be one at least.
///
/// # Errors
/// The file cannot be read, or has none.
pub fn read_all<T: PemObject>(file: &Path) -> Result<Vec<T>, Error> {
    let found: Vec<T> = T::pem_file_iter(file).and_then(Iterator::collect).map_err(|error| Error::new(file, error))?;
    if found.is_empty() {
        Err(Error::new(file, "there is nothing of the kind that is needed in it"))
    } else {
        Ok(found)
    }
}

/// What the certificate of a host says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCertificate {
    /// Whose it is.
    pub host: HostId,
    /// The host's name: of the URI, or else the first DNS name, or else the common name that can be the name of a host.
    pub name: Option<String>,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl HostCertificate {
    /// Reads a certificate (DER) whose URI begins with `prefix`, followed by the UUID of a host or its name.
    ///
    /// # Errors
    /// It is none, or names no host, or more than one.
    pub fn read(certificate: &[u8], prefix: &str) -> Result<Self, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("certificate: {error}");
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| wrong(&error))?;
        let names = parsed.subject_alternative_name().map_err(|error| wrong(&error))?;
        let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
        let mut hosts = names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix(prefix).and_then(|rest| host_of(uri, rest)),
            _ => None,
        });
        let (host, own_name) =
            hosts.next().ok_or_else(|| wrong(&format_args!("it names no host with a URI below {prefix}")))?;
        if hosts.any(|(other, _)| other != host) {
            return Err(wrong(&"it names more than one host"));
        }
        let dns = names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        });
        let common = parsed.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        let name = own_name.or_else(|| dns.chain(common).find(|name| check_host_name(name).is_ok()));
        Ok(Self {
            host,
            name: name.map(str::to_owned),
            serial: parsed.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect(),
            expires_at: Timestamp::from_micros(parsed.validity().not_after.timestamp().saturating_mul(1_000_000)),
        })
    }
}

/// The host of a URI that ends in `rest`, and its name if it is that. The id of a host that is named follows from the whole
/// URI, so that both ends know it without asking each other.
fn host_of<'a>(uri: &str, rest: &'a str) -> Option<(HostId, Option<&'a str>)> {
    if let Ok(host) = rest.parse() {
        return Some((host, None));
    }
    check_host_name(rest).ok()?;
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::digest(uri)[..16]);
    Some((HostId(uuid::Builder::from_custom_bytes(bytes).into_uuid()), Some(rest)))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    const PREFIX: &str = "spiffe://example.org/hostler/";
    const ID: &str = "c3d1078a-9c5e-43b6-9614-dcda508a162a";

    fn read(common_name: &str, names: &[&str]) -> Result<HostCertificate, String> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.contains("://") {
                true => SanType::URI((*name).try_into().unwrap()),
                false => SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        HostCertificate::read(certificate.der(), PREFIX)
    }

    #[test]
    fn a_certificate_names_its_host_by_uuid_or_by_name() {
        let by_id = read("x y", &["ceph-07.example", &format!("{PREFIX}{ID}")]).unwrap();
        assert_eq!((by_id.host.to_string().as_str(), by_id.name.as_deref()), (ID, Some("ceph-07.example")));
        assert_eq!(read("ceph-08", &[&format!("{PREFIX}{ID}")]).unwrap().name.as_deref(), Some("ceph-08"));
        assert_eq!(read("no name", &[&format!("{PREFIX}{ID}")]).unwrap().name, None);

        let named = read("x", &["other.example", &format!("{PREFIX}ceph-07")]).unwrap();
        assert_eq!(named.name.as_deref(), Some("ceph-07"));
        assert_eq!(named.host, read("y", &[&format!("{PREFIX}ceph-07")]).unwrap().host, "the same at all times");
        assert_ne!(named.host, read("y", &[&format!("{PREFIX}ceph-08")]).unwrap().host);
        assert!(named.expires_at > Timestamp::from_micros(0));
    }

    #[test]
    fn certificates_without_one_host_are_none() {
        for names in [&["ceph-07"][..], &["spiffe://other/ceph-07"], &[&format!("{PREFIX}a/b")], &[PREFIX]] {
            assert!(read("ceph-07", names).unwrap_err().contains("names no host"), "{names:?}");
        }
        let two = [format!("{PREFIX}a"), format!("{PREFIX}b")];
        assert!(read("a", &[&two[0], &two[1]]).unwrap_err().contains("more than one"));
        assert!(HostCertificate::read(b"junk", PREFIX).is_err());
    }

    #[test]
    fn files_that_are_of_no_use_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (empty, absent) = (dir.path().join("empty.pem"), dir.path().join("absent.pem"));
        std::fs::write(&empty, "").unwrap();
        for file in [&empty, &absent] {
            let error = Material::read(file, file, file).unwrap_err().to_string();
            assert!(error.starts_with(&file.display().to_string()), "{error}");
        }
    }
}
