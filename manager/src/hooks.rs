//! Scripts, hooks and secrets as operators manage them (spec/hooks.md §4, §10). The dialects ask, the rules are here.
//!
//! Every change is one transaction with its event. Nothing here runs anything: runs belong to the engine.

mod hook;
mod rules;
mod script;
mod secret;
mod signer;
mod vault;

use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use hostler_core::machine::Event;
use secrecy::ExposeSecret as _;

use crate::engine::{Engine, Turn};
use crate::fleet::keys::Keys;
use crate::store::{self, Connection};

pub use hook::{HookChange, Patch};
pub use rules::{TIMEOUT_BLOCKING, TIMEOUT_OTHERS};
pub use script::ScriptChange;
pub use signer::Signer;
pub use vault::{Vault, VaultError};

/// The result of what looks into scripts.
pub type Result<T> = std::result::Result<T, Failure>;

/// Why a script is not taken in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// It is larger than what is taken.
    #[error("{0}")]
    TooLarge(String),
    /// The kernel could not start it.
    #[error("{0}")]
    Unfit(String),
    /// The store says no, or another rule does.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Manages scripts, hooks and secrets. Cheap to clone.
#[derive(Clone)]
pub struct Hooks {
    engine: Engine,
    signer: Arc<Signer>,
    vault: Arc<Vault>,
    script_max: usize,
}

impl Hooks {
    /// Opens the key files in `state_dir`, which are made if they are not there. Scripts may have `script_max` bytes.
    ///
    /// # Errors
    /// A key file cannot be read or made.
    pub fn open(engine: Engine, state_dir: &Path, script_max: usize) -> std::result::Result<Self, VaultError> {
        Ok(Self {
            engine,
            signer: Arc::new(Signer::open(state_dir)?),
            vault: Arc::new(Vault::open(state_dir)?),
            script_max,
        })
    }

    /// Signs revisions of scripts.
    #[must_use]
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// The keys that the fleet needs: with which scripts are signed, and what opens secrets on their way to a host.
    #[must_use]
    pub fn keys(&self) -> Keys {
        let vault = Arc::clone(&self.vault);
        let open = move |name: &str, sealed: &str| match vault.unseal(name, sealed) {
            Ok(value) => Ok(value.expose_secret().as_bytes().to_vec()),
            Err(error) => Err(error.to_string()),
        };
        let signer = Arc::clone(&self.signer);
        let sign = move |document: &[u8]| signer.sign_document(document);
        Keys { signing: vec![self.signer.public_key()], sign: Arc::new(sign), open: Arc::new(open) }
    }

    /// Encrypts what nobody may read in the store.
    #[must_use]
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// Runs `work` and writes the events that it returns in the same transaction.
    async fn commit<T, F>(&self, by: &str, work: F) -> store::Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Connection, &'t Turn) -> BoxFuture<'t, store::Result<(T, Vec<Event>)>>
            + Send
            + 'static,
    {
        let turn = self.engine.turn(Some(by));
        let done = self
            .engine
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let (value, events) = work(tx, &turn).await?;
                    for event in events {
                        store::event::event_insert(tx, turn.now, turn.actor.as_deref(), &event).await?;
                    }
                    Ok(value)
                })
            })
            .await?;
        self.engine.wake.assignments();
        self.engine.wake.changed();
        Ok(done)
    }
}
