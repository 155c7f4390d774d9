//! The keys with which a manager signs scripts and assignments. They come from a manager that proved itself, and are kept, so
//! that signatures can be checked while no manager can be reached.

use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use hostler_common::script::{ScriptRef, signed_text};

use crate::files::{read_json, write_json};

/// The most keys that are kept: more than two only while they are replaced.
const KEYS_MAX: usize = 16;

/// The length of a key, in bytes.
const KEY_LEN: usize = 32;

/// The keys.
#[derive(Clone, Debug)]
pub struct Keys {
    file: PathBuf,
    keys: Vec<Vec<u8>>,
}

impl Keys {
    /// Those that are kept in `state_dir`.
    ///
    /// # Errors
    /// They are there and cannot be read.
    pub fn load(state_dir: &Path) -> io::Result<Self> {
        let file = state_dir.join("signing-keys.json");
        let texts: Vec<String> = read_json(&file)?.unwrap_or_default();
        let keys = texts.iter().filter_map(|text| hex::decode(text).ok()).collect();
        Ok(Self { file, keys })
    }

    /// Takes the keys that a manager told us of in place of the old ones. A manager of an older release has none to tell of,
    /// and changes nothing.
    ///
    /// # Errors
    /// They cannot be kept; they are used all the same.
    pub fn replace(&mut self, keys: &[Vec<u8>]) -> io::Result<()> {
        let fresh: Vec<Vec<u8>> = keys.iter().filter(|key| key.len() == KEY_LEN).take(KEYS_MAX).cloned().collect();
        if fresh.is_empty() || fresh == self.keys {
            return Ok(());
        }
        self.keys = fresh;
        write_json(&self.file, &self.keys.iter().map(hex::encode).collect::<Vec<_>>())
    }

    /// Whether one of the keys signed `message`.
    #[must_use]
    pub fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.keys.iter().any(|key| UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok())
    }

    /// Checks the signature of a script.
    ///
    /// # Errors
    /// Why it does not count, for people.
    pub fn check(&self, script: &ScriptRef) -> Result<(), String> {
        if script.signature.is_empty() {
            return Err("the script is not signed".into());
        }
        if self.keys.is_empty() {
            return Err("no manager has told this host yet with which key it signs".into());
        }
        let signature = hex::decode(&script.signature).map_err(|_| "the script's signature is no signature")?;
        let text = signed_text(&script.name, script.revision, &script.digest);
        if self.signed(text.as_bytes(), &signature) {
            Ok(())
        } else {
            Err("the script's signature is not one of this host's manager".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use hostler_common::script::Digest;

    use super::*;

    #[test]
    fn only_what_a_known_key_signed_counts_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let key = Ed25519KeyPair::generate().unwrap();
        let mut script =
            ScriptRef { id: None, name: "a".into(), revision: 3, digest: Digest([7; 32]), signature: String::new() };
        let mut keys = Keys::load(dir.path()).unwrap();
        assert!(keys.check(&script).unwrap_err().contains("not signed"));
        let text = signed_text("a", 3, &script.digest);
        script.signature = hex::encode(key.sign(text.as_bytes()));
        assert!(keys.check(&script).unwrap_err().contains("no manager"));
        keys.replace(&[key.public_key().as_ref().to_vec(), vec![1, 2]]).unwrap();
        keys.replace(&[]).unwrap();
        let keys = Keys::load(dir.path()).unwrap();
        assert_eq!(keys.check(&script), Ok(()));
        for broken in [
            ScriptRef { revision: 4, ..script.clone() },
            ScriptRef { name: "b".into(), ..script.clone() },
            ScriptRef { digest: Digest([8; 32]), ..script.clone() },
            ScriptRef { signature: "zz".into(), ..script.clone() },
            ScriptRef { signature: hex::encode(Ed25519KeyPair::generate().unwrap().sign(text.as_bytes())), ..script },
        ] {
            assert!(keys.check(&broken).is_err(), "{broken:?}");
        }
    }
}
