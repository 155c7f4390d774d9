//! The built-in certificate authority (design §5).
//!
//! Its key and certificate lie in the state directory, the key readable by the manager alone. Certificates of hosts are
//! short-lived and carry the host's identity as a URI; from a certificate request only the public key is taken, never a
//! name. Only managers get certificates for servers, so that no host can pose as a manager.

use std::path::Path;
use std::time::Duration;

use hostler_common::id::HostId;
use hostler_common::link::{MANAGER_NAME, host_of_uri, host_uri};
use hostler_common::time::Timestamp;
use hostler_daemon::files;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};

/// How long the authority itself counts.
const CA_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);

/// How long a manager's certificate counts; a new one is made at every start and when two thirds of it are over.
pub const SERVER_LIFE: Duration = Duration::from_secs(30 * 86_400);

/// How far certificates are dated back, so that an agent whose clock is behind can still hear why it is refused.
const BACKDATED: Duration = Duration::from_secs(2 * 86_400);

/// Why a certificate cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the authority cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the authority, or a certificate request, cannot be understood.
    #[error("{what}: {reason}")]
    Malformed {
        /// What it is.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate request names another host.
    #[error("the certificate request names another identity: {0}")]
    ForeignName(String),
}

fn malformed(what: &'static str) -> impl Fn(rcgen::Error) -> Error {
    move |error| Error::Malformed { what, reason: error.to_string() }
}

/// The authority.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A certificate that was made for a host.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Ca {
    /// Reads the authority from `dir`, or makes it there: `ca.pem`, which hosts may see, and `ca.key`, which nobody may.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(dir: &Path, now: Timestamp) -> Result<Self, Error> {
        let (certificate_path, key_path) = (dir.join("ca.pem"), dir.join("ca.key"));
        if !key_path.exists() {
            let key = KeyPair::generate().map_err(malformed("a new key"))?;
            let certificate = authority(now).self_signed(&key).map_err(malformed("a new authority"))?;
            // The certificate first: a crash in between leaves no key, and both are made anew.
            write_file(&certificate_path, 0o644, certificate.pem().as_bytes())?;
            write_file(&key_path, 0o600, key.serialize_pem().as_bytes())?;
        }
        let key = KeyPair::from_pem(&read_file(&key_path)?).map_err(malformed("ca.key"))?;
        let pem = read_file(&certificate_path)?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| Error::Malformed { what: "ca.pem", reason: error.to_string() })?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(malformed("ca.pem"))?;
        Ok(Self { issuer, certificate })
    }

    /// The authority's certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of the authority's certificate: what join tokens carry.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.certificate).into()
    }

    /// A certificate for the listener of a manager, with the chain and the key.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn issue_server(
        &self,
        now: Timestamp,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
        let key = KeyPair::generate().map_err(malformed("a new key"))?;
        let mut params = leaf(now, SERVER_LIFE, "Hostler manager")?;
        params.subject_alt_names =
            vec![SanType::DnsName(MANAGER_NAME.try_into().map_err(malformed("the name of managers"))?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer).map_err(malformed("a manager's certificate"))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok((vec![certificate.der().clone(), self.certificate.clone()], key))
    }

    /// A certificate for the agent of `host` over the public key of a request (PKCS#10, DER).
    ///
    /// # Errors
    /// [`Error::ForeignName`] if the request claims to be another host; see [`Error`].
    pub fn issue_host(&self, host: HostId, csr: &[u8], life: Duration, now: Timestamp) -> Result<Issued, Error> {
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr))
            .map_err(malformed("the certificate request"))?;
        refuse_foreign_names(host, &request.params.subject_alt_names)?;
        let mut params = leaf(now, life, &host.to_string())?;
        params.subject_alt_names =
            vec![SanType::URI(host_uri(host).try_into().map_err(malformed("the host's identity"))?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let serial = params.serial_number.as_ref().map(SerialNumber::to_bytes).unwrap_or_default();
        let certificate =
            params.signed_by(&request.public_key, &self.issuer).map_err(malformed("the host's certificate"))?;
        Ok(Issued { certificate: certificate.der().to_vec(), serial: hex::encode(serial), expires_at: now.after(life) })
    }
}

fn refuse_foreign_names(host: HostId, names: &[SanType]) -> Result<(), Error> {
    for name in names {
        if let SanType::URI(uri) = name
            && host_of_uri(uri.as_str()).is_some_and(|named| named != host)
        {
            return Err(Error::ForeignName(uri.as_str().to_owned()));
        }
    }
    Ok(())
}

fn authority(now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("Hostler CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    dated(params, now, CA_LIFE)
}

fn leaf(now: Timestamp, life: Duration, common_name: &str) -> Result<CertificateParams, Error> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial)
        .map_err(|error| Error::Malformed { what: "a serial number", reason: error.to_string() })?;
    // A serial number is a positive integer without leading zero bytes.
    serial[0] = (serial[0] & 0x7f) | 0x40;
    let mut params = CertificateParams::default();
    params.distinguished_name = name(common_name);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(dated(params, now, life))
}

/// The same, with both ends of its validity set, in whole seconds.
fn dated(mut params: CertificateParams, now: Timestamp, life: Duration) -> CertificateParams {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let seconds = |at: Timestamp| Duration::from_secs(u64::try_from(at.as_micros() / 1_000_000).unwrap_or(0));
    params.not_before = epoch + seconds(now.before(BACKDATED));
    params.not_after = epoch + seconds(now.after(life));
    params
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn read_file(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::File { path: path.display().to_string(), source })
}

fn write_file(path: &Path, mode: u32, content: &[u8]) -> Result<(), Error> {
    files::write_with(path, mode, content).map_err(|source| Error::File { path: path.display().to_string(), source })
}
