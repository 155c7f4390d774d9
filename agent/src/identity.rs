//! Who this agent is: its key, its certificate and the managers that it belongs to. The key never leaves the host.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::files::{read_json, write_json};

/// The identity, as it lies in `identity.json` of the state directory: one file, so that a renewal is whole or not there.
#[derive(Clone, Serialize, Deserialize)]
pub struct Identity {
    /// The host's id.
    pub host: HostId,
    /// The host's name.
    pub name: String,
    /// Where managers are, `HOST:PORT`; they are tried in this order.
    pub managers: Vec<String>,
    /// The agent's certificate, DER.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub certificate: Vec<u8>,
    /// The agent's private key, PKCS#8 DER.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub key: Vec<u8>,
    /// The certificate of the managers' authority, DER.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub ca: Vec<u8>,
    /// When the certificate was made.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

fn to_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}

fn file(state_dir: &Path) -> PathBuf {
    state_dir.join("identity.json")
}

impl Identity {
    /// The identity in `state_dir`, if the host has joined.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn load(state_dir: &Path) -> io::Result<Option<Self>> {
        read_json(&file(state_dir))
    }

    /// Writes it over the one before.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, state_dir: &Path) -> io::Result<()> {
        write_json(&file(state_dir), self)
    }

    /// Whether it is time for the next certificate: two thirds of this one's life are over.
    #[must_use]
    pub fn wants_renewal(&self, now: Timestamp) -> bool {
        now >= self.issued_at.after(self.expires_at.since(self.issued_at) * 2 / 3)
    }
}

/// A fresh key and a certificate request over it, both DER. The request carries no name: the manager knows who asks.
///
/// # Errors
/// The system has no randomness.
pub fn fresh_request() -> Result<(Vec<u8>, Vec<u8>), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let request = params.serialize_request(&key)?;
    Ok((key.serialize_der(), request.der().to_vec()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn renewal_begins_long_before_the_end() {
        let issued_at = Timestamp::from_micros(1_000_000_000);
        let identity = Identity {
            host: HostId(uuid_nil()),
            name: "a".into(),
            managers: Vec::new(),
            certificate: Vec::new(),
            key: Vec::new(),
            ca: Vec::new(),
            issued_at,
            expires_at: issued_at.after(Duration::from_secs(300)),
        };
        assert!(!identity.wants_renewal(issued_at.after(Duration::from_secs(199))));
        assert!(identity.wants_renewal(issued_at.after(Duration::from_secs(200))));
    }

    fn uuid_nil() -> uuid::Uuid {
        uuid::Uuid::nil()
    }
}
