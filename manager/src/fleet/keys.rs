//! What the fleet needs of the keys that others keep: those with which scripts are signed, and that of the secrets.

use std::fmt;
use std::sync::Arc;

use hostler_common::job::{JobSpec, Work};

use super::Fleet;
use crate::store::secret::secret_sealed;
use crate::store::{self, Error};

/// Signs a document, Ed25519.
pub type Sign = Arc<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// Opens the sealed value of the secret of that name; an error says why it cannot be opened.
pub type Open = Arc<dyn Fn(&str, &str) -> Result<Vec<u8>, String> + Send + Sync>;

/// The keys.
#[derive(Clone)]
pub struct Keys {
    /// Ed25519 public keys with which scripts may be signed.
    pub signing: Vec<Vec<u8>>,
    /// Signs assignments with the first of these.
    pub sign: Sign,
    /// Opens secrets.
    pub open: Open,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            signing: Vec::new(),
            sign: Arc::new(|_| Vec::new()),
            open: Arc::new(|_, _| Err("this manager keeps no secrets".into())),
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("signing", &self.signing.len()).finish_non_exhaustive()
    }
}

impl Fleet {
    /// The same fleet, with keys.
    #[must_use]
    pub fn with_keys(mut self, keys: Keys) -> Self {
        self.keys = keys;
        self
    }

    /// The values of the secrets that a job names, by the file's name.
    ///
    /// # Errors
    /// Class `NotFound` if one is not there, with its name; see [`Error`].
    pub(super) async fn secrets(&self, spec: &JobSpec) -> store::Result<Vec<(String, Vec<u8>)>> {
        let Work::Script(script) = &spec.work else { return Ok(Vec::new()) };
        let mut values = Vec::new();
        if script.secrets.is_empty() {
            return Ok(values);
        }
        let mut connection = self.engine.store.read().await?;
        for (file, name) in &script.secrets {
            let refuse = |why: String| Error::Refused(hostler_common::error::Class::NotFound, why);
            let sealed = secret_sealed(&mut connection, name).await?;
            let sealed = sealed.ok_or_else(|| refuse(format!("there is no secret {name:?}")))?;
            let value = (self.keys.open)(name, &sealed).map_err(|why| refuse(format!("secret {name:?}: {why}")))?;
            values.push((file.clone(), value));
        }
        Ok(values)
    }
}
