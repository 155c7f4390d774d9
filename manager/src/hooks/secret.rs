//! Secrets: values that scripts get as files and that nobody reads back (spec/hooks.md §10).

use hostler_common::error::Class;
use hostler_core::machine::Event;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::Hooks;
use crate::store::secret::{Secret, secret_delete, secret_list, secret_put, secret_sealed};
use crate::store::{Error, Result};

/// The longest value, in bytes.
const VALUE_MAX: usize = 64 << 10;

/// Whether a name may be that of a secret or of the file that holds it: it becomes a path on hosts.
pub(super) fn is_file_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (1..=128).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with('.')
}

impl Hooks {
    /// Stores a secret, over the one of that name if there is one.
    ///
    /// # Errors
    /// Class `Invalid` if name or value break a rule; see [`Error`].
    pub async fn secret_put(&self, by: &str, name: &str, value: SecretString) -> Result<()> {
        if !is_file_name(name) {
            let text = "name must have from 1 to 128 of A-Z, a-z, 0-9, '.', '-' and '_', and not begin with a dot";
            return Err(Error::Refused(Class::Invalid, text.into()));
        }
        if value.expose_secret().is_empty() || value.expose_secret().len() > VALUE_MAX {
            let text = format!("value must have from 1 to {VALUE_MAX} bytes");
            return Err(Error::Refused(Class::Invalid, text));
        }
        let sealed = self.vault.seal(name, value.expose_secret()).map_err(|error| Error::Broken(error.to_string()))?;
        let name = name.to_owned();
        self.commit(by, move |tx, turn| {
            Box::pin(async move {
                secret_put(tx, &name, &sealed, turn.actor.as_deref().unwrap_or_default(), turn.now).await?;
                Ok(((), vec![Event { kind: "secret.stored", subject: name, data: json!({}) }]))
            })
        })
        .await
    }

    /// All secrets, by name, without their values.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn secrets(&self) -> Result<Vec<Secret>> {
        secret_list(&mut *self.engine.store.read().await?).await
    }

    /// Removes a secret. Hooks that name it fail from now on.
    ///
    /// # Errors
    /// Class `NotFound` if there is none; see [`Error`].
    pub async fn secret_remove(&self, by: &str, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.commit(by, move |tx, _| {
            Box::pin(async move {
                if !secret_delete(tx, &name).await? {
                    return Err(Error::Refused(Class::NotFound, format!("there is no secret {name}")));
                }
                Ok(((), vec![Event { kind: "secret.removed", subject: name, data: json!({}) }]))
            })
        })
        .await
    }

    /// The value of a secret, for the host whose script needs it.
    ///
    /// # Errors
    /// Class `NotFound` if there is none; [`Error::Broken`] if the key file is another one than it was sealed with.
    pub async fn secret_reveal(&self, name: &str) -> Result<SecretString> {
        let sealed = secret_sealed(&mut *self.engine.store.read().await?, name).await?;
        let sealed = sealed.ok_or_else(|| Error::Refused(Class::NotFound, format!("there is no secret {name}")))?;
        self.vault.unseal(name, &sealed).map_err(|error| Error::Broken(format!("secret {name}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::is_file_name;

    #[test]
    fn names_that_may_be_files() {
        assert!(is_file_name("db.password-1_x"));
        for bad in ["", ".", "..", ".x", "a/b", "a b", "é", &"x".repeat(129)] {
            assert!(!is_file_name(bad), "{bad}");
        }
    }
}
