//! The identity, shared by whoever dials and whoever renews.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::identity::Identity;

/// The current identity. Cheap to clone.
#[derive(Clone)]
pub struct SharedIdentity {
    state_dir: PathBuf,
    current: Arc<Mutex<Arc<Identity>>>,
}

impl SharedIdentity {
    /// Shares `identity`, which lies in `state_dir`.
    #[must_use]
    pub fn new(state_dir: PathBuf, identity: Identity) -> Self {
        Self { state_dir, current: Arc::new(Mutex::new(Arc::new(identity))) }
    }

    /// The identity now.
    #[must_use]
    pub fn current(&self) -> Arc<Identity> {
        // The value is replaced whole, so it is whole after any panic.
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes the next identity to the disk and then uses it.
    ///
    /// # Errors
    /// It cannot be written; the old one stays in use.
    pub fn replace(&self, next: Identity) -> io::Result<()> {
        next.save(&self.state_dir)?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(())
    }
}
