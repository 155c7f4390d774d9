//! Encrypts secrets at rest: AES-256-GCM with a key file that lies in the state directory, beside the database and not in it.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::SecretString;

/// The length of the key, in bytes.
const KEY: usize = 32;

/// The length of the number that each encryption uses once, in bytes.
const NONCE: usize = 12;

/// Why a key file or a sealed value cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The file cannot be read or made.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is there and is no key.
    #[error("{0}: is no key of Hostler")]
    NoKey(PathBuf),
    /// The value was sealed with another key, under another name, or is damaged.
    #[error("a stored secret cannot be opened: it was sealed with another key, or is damaged")]
    Damaged,
    /// The system gives no random numbers, or the cipher fails.
    #[error("encryption fails")]
    Cipher,
}

/// Seals and opens values.
#[derive(Debug)]
pub struct Vault {
    key: RandomizedNonceKey,
}

impl Vault {
    /// Opens the vault whose key is `secrets.key` of the state directory; a new one is made if there is none.
    ///
    /// # Errors
    /// See [`VaultError`].
    pub fn open(state_dir: &Path) -> Result<Self, VaultError> {
        let path = state_dir.join("secrets.key");
        let bytes = key_file(&path, || {
            let mut fresh = [0; KEY];
            getrandom::fill(&mut fresh).map_err(|_| VaultError::Cipher)?;
            Ok(fresh.to_vec())
        })?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| VaultError::NoKey(path))?;
        Ok(Self { key })
    }

    /// The sealed form of a value, as text. It opens under this name only.
    ///
    /// # Errors
    /// [`VaultError::Cipher`].
    pub fn seal(&self, name: &str, value: &str) -> Result<String, VaultError> {
        let mut bytes = value.as_bytes().to_vec();
        let sealed = self.key.seal_in_place_append_tag(Aad::from(name.as_bytes()), &mut bytes);
        let nonce = sealed.map_err(|_| VaultError::Cipher)?;
        Ok(BASE64.encode([nonce.as_ref().as_slice(), bytes.as_slice()].concat()))
    }

    /// The value of a sealed form.
    ///
    /// # Errors
    /// [`VaultError::Damaged`].
    pub fn unseal(&self, name: &str, sealed: &str) -> Result<SecretString, VaultError> {
        let bytes = BASE64.decode(sealed).map_err(|_| VaultError::Damaged)?;
        let (nonce, rest) = bytes.split_at_checked(NONCE).ok_or(VaultError::Damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::Damaged)?;
        let mut rest = rest.to_vec();
        let plain = self.key.open_in_place(nonce, Aad::from(name.as_bytes()), &mut rest);
        let plain = plain.map_err(|_| VaultError::Damaged)?;
        let text = std::str::from_utf8(plain).map_err(|_| VaultError::Damaged)?;
        Ok(SecretString::from(text))
    }
}

/// The bytes of a key file; one that is not there is made from `fresh`, for the manager alone.
pub(super) fn key_file(
    path: &Path,
    fresh: impl FnOnce() -> Result<Vec<u8>, VaultError>,
) -> Result<Vec<u8>, VaultError> {
    let fail = |source| VaultError::File { path: path.to_owned(), source };
    match std::fs::read(path) {
        Ok(bytes) => return Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail(error)),
    }
    let bytes = fresh()?;
    // Whole or not at all: half a key would lock out what is sealed with it.
    let partial = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new();
    let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(&partial).map_err(fail)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(fail)?;
    std::fs::rename(&partial, path).map_err(fail)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_and_under_its_name_only() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let vault = Vault::open(dir.path()).unwrap();
        let sealed = vault.seal("db", "hünter2").unwrap();
        assert!(!sealed.contains("nter2"));
        assert_ne!(sealed, vault.seal("db", "hünter2").unwrap(), "each time with a fresh number");
        let again = Vault::open(dir.path()).unwrap();
        assert_eq!(again.unseal("db", &sealed).unwrap().expose_secret(), "hünter2");
        assert!(again.unseal("other", &sealed).is_err());
        assert!(Vault::open(other.path()).unwrap().unseal("db", &sealed).is_err());
        for bad in ["", "AAAA", "%", &sealed[..sealed.len() - 4]] {
            assert!(again.unseal("db", bad).is_err(), "{bad}");
        }
        let mode = std::fs::metadata(dir.path().join("secrets.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secrets.key"), "short").unwrap();
        assert!(matches!(Vault::open(dir.path()), Err(VaultError::NoKey(_))));
    }
}
