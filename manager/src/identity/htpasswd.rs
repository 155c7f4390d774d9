//! Password files of `auth.strategy = "http_basic"`: lines of `name:hash`, bcrypt only (spec/introspection.md §1.4).
//!
//! The file is read again when it changes. A password that matched is remembered under a key that only this process knows,
//! because bcrypt costs some fifty milliseconds and HTTP Basic sends the password with every request.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use hostler_common::error::Class;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Error, Identity, Result};

/// The largest password file that is read, in bytes.
const FILE_MAX: u64 = 4 << 20;

/// A password file.
#[derive(Debug)]
pub(super) struct Htpasswd {
    path: PathBuf,
    read: Mutex<Option<Arc<Contents>>>,
}

/// What a file had in it when it was last read.
#[derive(Debug)]
struct Contents {
    modified: SystemTime,
    length: u64,
    entries: HashMap<String, String>,
    key: [u8; 32],
    matched: Mutex<HashMap<String, [u8; 32]>>,
}

impl Contents {
    fn parse(text: &str, modified: SystemTime, length: u64) -> std::io::Result<Self> {
        let mut entries = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.split_once(':') {
                Some((name, hash)) if ["$2y$", "$2a$", "$2b$"].iter().any(|kind| hash.starts_with(kind)) => {
                    entries.insert(name.to_owned(), hash.to_owned());
                }
                _ => tracing::warn!(
                    line = index + 1,
                    "a line of the password file is not name:bcrypt-hash; it is ignored"
                ),
            }
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(std::io::Error::other)?;
        Ok(Self { modified, length, entries, key, matched: Mutex::default() })
    }

    fn digest(&self, name: &str, password: &str) -> [u8; 32] {
        let mut digest = Sha256::new_with_prefix(self.key);
        digest.update(u64::try_from(name.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(name.as_bytes());
        digest.update(password.as_bytes());
        digest.finalize().into()
    }

    /// Whether this password matched before.
    fn remembered(&self, name: &str, password: &str) -> bool {
        let digest = self.digest(name, password);
        let matched = self.matched.lock().unwrap_or_else(PoisonError::into_inner);
        matched.get(name).is_some_and(|known| bool::from(known.ct_eq(&digest)))
    }

    /// Compares with bcrypt; for a name that is not in the file with somebody else's hash, so that it takes as long.
    fn matches(&self, name: &str, password: &str) -> bool {
        let own = self.entries.get(name);
        let Some(hash) = own.or_else(|| self.entries.values().next()) else { return false };
        let matches = bcrypt::verify(password, hash).unwrap_or(false) && own.is_some();
        if matches {
            let digest = self.digest(name, password);
            self.matched.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), digest);
        }
        matches
    }
}

impl Htpasswd {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, read: Mutex::default() }
    }

    /// The entries of the file as it is now.
    fn contents(&self) -> std::io::Result<Arc<Contents>> {
        let about = std::fs::metadata(&self.path)?;
        let (modified, length) = (about.modified()?, about.len());
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = read.as_ref().filter(|known| known.modified == modified && known.length == length) {
            return Ok(Arc::clone(known));
        }
        if length > FILE_MAX {
            return Err(std::io::Error::other(format!("the file is larger than {FILE_MAX} bytes")));
        }
        let contents = Arc::new(Contents::parse(&std::fs::read_to_string(&self.path)?, modified, length)?);
        *read = Some(Arc::clone(&contents));
        Ok(contents)
    }
}

impl Identity {
    /// Whether the password file has that name with that password.
    ///
    /// # Errors
    /// A refusal of class `Unavailable` if there is no password file, it cannot be read, or too many ask at a time.
    pub async fn password_file_matches(&self, name: &str, password: &SecretString) -> Result<bool> {
        let refuse = |text: &str| Error::Refused(Class::Unavailable, text.to_owned());
        let inner = Arc::clone(&self.inner);
        let contents = tokio::task::spawn_blocking(move || inner.htpasswd.as_ref().map(Htpasswd::contents)).await;
        let contents = match contents {
            Ok(Some(Ok(contents))) => contents,
            Ok(None) => return Err(refuse("auth.htpasswd_file is not configured")),
            Ok(Some(Err(error))) => {
                tracing::error!(%error, "the password file cannot be read");
                return Err(refuse("The password file cannot be read; the manager's log has the reason."));
            }
            Err(error) => {
                tracing::error!(%error, "reading the password file ended");
                return Err(refuse("The password file cannot be read; the manager's log has the reason."));
            }
        };
        if contents.remembered(name, password.expose_secret()) {
            return Ok(true);
        }
        let (name, password) = (name.to_owned(), password.clone());
        self.inner.passwords.run(move || contents.matches(&name, password.expose_secret())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(text: &str) -> Contents {
        Contents::parse(text, SystemTime::UNIX_EPOCH, text.len() as u64).unwrap()
    }

    #[test]
    fn all_three_kinds_of_bcrypt_match_and_nothing_else() {
        let hash = bcrypt::hash("pw", 4).unwrap();
        for kind in ["$2y$", "$2a$", "$2b$"] {
            let file = contents(&format!("# people\n\nann:{kind}{}\n", &hash[4..]));
            assert!(file.matches("ann", "pw"), "{kind}");
            assert!(!file.matches("ann", "px"));
            assert!(!file.matches("bob", "pw"), "somebody else's hash never counts");
        }
        for other in ["{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=", "$apr1$x$y", "pw", "$2x$04$abc"] {
            assert!(contents(&format!("ann:{other}")).entries.is_empty(), "{other}");
        }
    }

    #[test]
    fn what_matched_is_remembered_for_that_name_and_password_only() {
        let hash = bcrypt::hash("pw", 4).unwrap();
        let file = contents(&format!("ann:{hash}\nbob:{hash}"));
        assert!(!file.remembered("ann", "pw"));
        assert!(file.matches("ann", "pw"));
        assert!(file.remembered("ann", "pw"));
        assert!(!file.remembered("ann", "px") && !file.remembered("bob", "pw"));
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let path = std::env::temp_dir().join(format!("hostler-htpasswd-{}", uuid::Uuid::new_v4()));
        let hash = bcrypt::hash("pw", 4).unwrap();
        std::fs::write(&path, format!("ann:{hash}\n")).unwrap();
        let file = Htpasswd::new(path.clone());
        let before = file.contents().unwrap();
        assert!(Arc::ptr_eq(&before, &file.contents().unwrap()), "an unchanged file is not read again");
        std::fs::write(&path, format!("bobby:{hash}\n")).unwrap();
        assert!(file.contents().unwrap().matches("bobby", "pw"));
        assert!(!file.contents().unwrap().matches("ann", "pw"));
        std::fs::remove_file(&path).unwrap();
        assert!(file.contents().is_err());
    }
}
