//! Argon2id, off the async threads and few at a time.
//!
//! A hash takes 19 MiB and some tens of milliseconds by design; without a limit a flood of logins would take all memory and
//! all processors. Beyond the limit logins wait, and beyond a number of waiting ones they are refused at once.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use hostler_common::error::Class;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use super::{Error, Result};
use crate::store;

/// How many hashes are computed at a time, at the most.
const PARALLEL_MAX: usize = 4;

/// How many more may wait for their turn.
const WAITING_MAX: usize = 256;

/// What the password of a user that does not exist is compared with, so that the answer takes as long. It has the
/// parameters of every hash that we make.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGF0IGFsbCE$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Computes and compares hashes of passwords.
#[derive(Debug)]
pub(super) struct Passwords {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        let parallel = std::thread::available_parallelism().map_or(1, usize::from).min(PARALLEL_MAX);
        Self { running: Arc::new(Semaphore::new(parallel)), admitted: Arc::new(Semaphore::new(parallel + WAITING_MAX)) }
    }
}

impl Passwords {
    /// The hash of a new password, in the PHC format with a fresh salt.
    pub(super) async fn hash(&self, password: SecretString) -> Result<String> {
        self.run(move || {
            Argon2::default().hash_password(password.expose_secret().as_bytes()).map(|hash| hash.to_string())
        })
        .await?
        .map_err(|error| Error::Store(store::Error::Broken(format!("a password cannot be hashed: {error}"))))
    }

    /// Whether `password` is that of `hash`. Without a hash it never is, and that takes as long to find out.
    pub(super) async fn verify(&self, password: SecretString, hash: Option<String>) -> Result<bool> {
        self.run(move || {
            let known = hash.is_some();
            let hash = hash.as_deref().unwrap_or(NOBODY);
            let matches = PasswordHash::new(hash).is_ok_and(|hash| {
                Argon2::default().verify_password(password.expose_secret().as_bytes(), &hash).is_ok()
            });
            matches && known
        })
        .await
    }

    /// Runs something that takes the time and memory of a hash.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let busy =
            || Error::Refused(Class::Unavailable, "Too many logins at a time; try again in a few seconds.".into());
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| busy())?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| busy())?;
        // The permits go with the work: if whoever asked goes away, the work still counts until it has ended.
        let done = tokio::task::spawn_blocking(move || {
            let _held = (admitted, running);
            work()
        });
        done.await.map_err(|error| Error::Store(store::Error::Broken(format!("a hash was not computed: {error}"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "the parameters of NOBODY: {hash}");
        assert!(passwords.verify("correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("correct horsf".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("correct horse".into(), Some("nonsense".into())).await.unwrap());
        assert_ne!(passwords.hash("correct horse".into()).await.unwrap(), hash, "salted");
    }

    #[tokio::test]
    async fn nobody_has_no_password_and_takes_as_long() {
        assert!(PasswordHash::new(NOBODY).is_ok());
        let passwords = Passwords::default();
        let hash = passwords.hash("x".into()).await.unwrap();
        let start = std::time::Instant::now();
        assert!(!passwords.verify("y".into(), Some(hash)).await.unwrap());
        let known = start.elapsed();
        let start = std::time::Instant::now();
        assert!(!passwords.verify("y".into(), None).await.unwrap());
        assert!(start.elapsed() > known / 4, "an unknown user is answered without work");
    }

    #[tokio::test]
    async fn more_than_may_wait_are_refused() {
        let passwords =
            Arc::new(Passwords { running: Arc::new(Semaphore::new(1)), admitted: Arc::new(Semaphore::new(2)) });
        let (release, held) = std::sync::mpsc::channel::<()>();
        let first = tokio::spawn({
            let passwords = Arc::clone(&passwords);
            async move { passwords.run(move || held.recv()).await }
        });
        let second = tokio::spawn({
            let passwords = Arc::clone(&passwords);
            async move { passwords.run(|| ()).await }
        });
        while passwords.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let third = passwords.run(|| ()).await;
        assert!(matches!(third, Err(Error::Refused(Class::Unavailable, _))));
        release.send(()).unwrap();
        first.await.unwrap().unwrap().unwrap();
        second.await.unwrap().unwrap();
        passwords.run(|| ()).await.unwrap();
    }
}
