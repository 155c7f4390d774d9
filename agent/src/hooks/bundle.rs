//! What the manager assigned to this host, as it lies on the disk: believed only with a manager's signature, also when it is
//! read back.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use hostler_common::hook::Assignment;
use hostler_common::script::Digest;
use hostler_proto::v1;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::files::{read_json, write_json};
use crate::script::keys::Keys;

/// The largest assignment that is taken, in bytes.
const DOCUMENT_MAX: usize = 4 << 20;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stored {
    revision: String,
    /// As it was signed.
    document: String,
    /// Hexadecimal.
    signature: String,
}

/// The assignment.
#[derive(Debug)]
pub struct Bundle {
    file: PathBuf,
    stored: Option<Stored>,
    assignment: Assignment,
}

impl Bundle {
    /// What is kept in `state_dir`. Nothing of it counts before [`Bundle::verify`].
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn load(state_dir: &Path) -> io::Result<Self> {
        let file = state_dir.join("assignment.json");
        Ok(Self { stored: read_json(&file)?, file, assignment: Assignment::default() })
    }

    /// Takes what was kept, if a manager signed it.
    ///
    /// # Errors
    /// Why it does not count, for people; then there is none.
    pub fn verify(&mut self, keys: &Keys) -> Result<(), String> {
        let Some(stored) = &self.stored else { return Ok(()) };
        let signature = hex::decode(&stored.signature).unwrap_or_default();
        match read(keys, &stored.revision, stored.document.as_bytes(), &signature) {
            Ok(assignment) => {
                self.assignment = assignment;
                Ok(())
            }
            Err(reason) => {
                self.stored = None;
                Err(reason)
            }
        }
    }

    /// Takes a new one: on the disk first.
    ///
    /// # Errors
    /// Why it does not count, for people; the old one stays.
    pub fn replace(&mut self, keys: &Keys, frame: v1::Assignment) -> Result<(), String> {
        let assignment = read(keys, &frame.revision, &frame.document, &frame.signature)?;
        let stored = Stored {
            revision: frame.revision,
            document: String::from_utf8(frame.document).map_err(|_| "it is not UTF-8")?,
            signature: hex::encode(&frame.signature),
        };
        write_json(&self.file, &stored).map_err(|error| format!("it cannot be kept: {error}"))?;
        (self.stored, self.assignment) = (Some(stored), assignment);
        Ok(())
    }

    /// The revision that this host has; empty if it has none.
    #[must_use]
    pub fn revision(&self) -> &str {
        self.stored.as_ref().map_or("", |stored| &stored.revision)
    }

    /// What is assigned.
    #[must_use]
    pub fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// The scripts that it names.
    #[must_use]
    pub fn scripts(&self) -> BTreeSet<Digest> {
        self.assignment.hooks.iter().map(|hook| hook.script.digest).collect()
    }
}

fn read(keys: &Keys, revision: &str, document: &[u8], signature: &[u8]) -> Result<Assignment, String> {
    if document.len() > DOCUMENT_MAX {
        return Err(format!("it has more than {DOCUMENT_MAX} bytes"));
    }
    if !keys.signed(document, signature) {
        return Err("its signature is not one of this host's manager".into());
    }
    if Digest(Sha256::digest(document).into()).to_string() != revision {
        return Err("its revision is not its digest".into());
    }
    hostler_proto::read_document("an assignment", document).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;

    fn frame(key: &Ed25519KeyPair, name: &str) -> v1::Assignment {
        let document = serde_json::to_vec(&Assignment { name: name.into(), ..Assignment::default() }).unwrap();
        v1::Assignment {
            revision: Digest(Sha256::digest(&document).into()).to_string(),
            signature: key.sign(&document).as_ref().to_vec(),
            document,
        }
    }

    #[test]
    fn only_what_a_manager_signed_is_taken_now_and_later() {
        let dir = tempfile::tempdir().unwrap();
        let key = Ed25519KeyPair::generate().unwrap();
        let mut keys = Keys::load(dir.path()).unwrap();
        let mut bundle = Bundle::load(dir.path()).unwrap();
        assert!(bundle.replace(&keys, frame(&key, "a")).is_err());
        keys.replace(&[key.public_key().as_ref().to_vec()]).unwrap();
        bundle.replace(&keys, frame(&key, "a")).unwrap();
        let mut wrong = frame(&key, "b");
        wrong.revision = "0".repeat(64);
        assert!(bundle.replace(&keys, wrong).unwrap_err().contains("digest"));
        assert!(bundle.replace(&keys, frame(&Ed25519KeyPair::generate().unwrap(), "b")).is_err());
        let mut bundle = Bundle::load(dir.path()).unwrap();
        assert_eq!(bundle.assignment().name, "");
        bundle.verify(&keys).unwrap();
        assert_eq!((bundle.assignment().name.as_str(), bundle.revision().len()), ("a", 64));
        // Somebody changed it on the disk.
        let file = dir.path().join("assignment.json");
        let text = std::fs::read_to_string(&file).unwrap().replace("a\\\"", "x\\\"");
        std::fs::write(&file, text).unwrap();
        let mut bundle = Bundle::load(dir.path()).unwrap();
        assert!(bundle.verify(&keys).is_err());
        assert_eq!((bundle.assignment().name.as_str(), bundle.revision()), ("", ""));
    }
}
