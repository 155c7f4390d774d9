//! Signs revisions of scripts, so that agents run nothing that this manager did not take in (spec/hooks.md §10).

use std::path::Path;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use hostler_common::script::{Digest, signed_text};

use super::vault::{VaultError, key_file};

/// Signs with Ed25519. Its key is `scripts.key` of the state directory.
#[derive(Debug)]
pub struct Signer {
    pair: Ed25519KeyPair,
}

impl Signer {
    /// Opens the key; a new one is made if there is none.
    ///
    /// # Errors
    /// See [`VaultError`].
    pub fn open(state_dir: &Path) -> Result<Self, VaultError> {
        let path = state_dir.join("scripts.key");
        let bytes = key_file(&path, || {
            let pair = Ed25519KeyPair::generate().map_err(|_| VaultError::Cipher)?;
            let document = pair.to_pkcs8v1().map_err(|_| VaultError::Cipher)?;
            Ok(document.as_ref().to_vec())
        })?;
        let pair = Ed25519KeyPair::from_pkcs8(&bytes).map_err(|_| VaultError::NoKey(path))?;
        Ok(Self { pair })
    }

    /// The public key, 32 bytes: what agents are told.
    #[must_use]
    pub fn public_key(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }

    /// The signature of a revision, hexadecimal.
    #[must_use]
    pub fn sign(&self, name: &str, revision: u32, digest: &Digest) -> String {
        hex::encode(self.pair.sign(signed_text(name, revision, digest).as_bytes()))
    }

    /// The signature of a document that agents keep.
    #[must_use]
    pub fn sign_document(&self, document: &[u8]) -> Vec<u8> {
        self.pair.sign(document).as_ref().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn signatures_hold_for_what_was_signed_only() {
        let dir = tempfile::tempdir().unwrap();
        let signer = Signer::open(dir.path()).unwrap();
        let digest = Digest([7; 32]);
        let signature = hex::decode(signer.sign("a", 1, &digest)).unwrap();
        let public = Signer::open(dir.path()).unwrap().public_key();
        let key = UnparsedPublicKey::new(&ED25519, public);
        assert!(key.verify(signed_text("a", 1, &digest).as_bytes(), &signature).is_ok());
        assert!(key.verify(signed_text("a", 2, &digest).as_bytes(), &signature).is_err());
    }
}
