//! The identity, shared by whoever dials and whoever renews.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use hostler_common::id::HostId;
use tonic::transport::Channel;

use crate::dial::{Error, dial, dial_name, tls_of};
use crate::identity::Identity;
use crate::operator::Operator;

/// The current identity. Cheap to clone.
#[derive(Clone)]
pub struct SharedIdentity(Source);

#[derive(Clone)]
enum Source {
    Joined { state_dir: PathBuf, current: Arc<Mutex<Arc<Identity>>> },
    Operator(Arc<Operator>),
}

impl SharedIdentity {
    /// Shares `identity`, which lies in `state_dir`.
    #[must_use]
    pub fn new(state_dir: PathBuf, identity: Identity) -> Self {
        Self(Source::Joined { state_dir, current: Arc::new(Mutex::new(Arc::new(identity))) })
    }

    /// Shares an identity of an operator's own PKI.
    #[must_use]
    pub fn of_operator(operator: Operator) -> Self {
        Self(Source::Operator(Arc::new(operator)))
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> HostId {
        match &self.0 {
            Source::Joined { current, .. } => now(current).host,
            Source::Operator(operator) => operator.host(),
        }
    }

    /// A channel to the manager at `address`, proved with the identity as it is now.
    ///
    /// # Errors
    /// The identity cannot be used, or there is no connection.
    pub async fn dial(&self, address: &str) -> Result<Channel, Error> {
        match &self.0 {
            Source::Joined { current, .. } => dial(address, tls_of(&now(current))?).await,
            Source::Operator(operator) => dial_name(address, operator.manager_name(address)?, operator.tls()?).await,
        }
    }

    /// The identity that is ours to renew, if it is.
    #[must_use]
    pub fn to_renew(&self) -> Option<Arc<Identity>> {
        match &self.0 {
            Source::Joined { current, .. } => Some(now(current)),
            Source::Operator(_) => None,
        }
    }

    /// Writes the next identity to the disk and then uses it; nothing happens to one that is not ours to renew.
    ///
    /// # Errors
    /// It cannot be written; the old one stays in use.
    pub fn replace(&self, next: Identity) -> io::Result<()> {
        if let Source::Joined { state_dir, current } = &self.0 {
            next.save(state_dir)?;
            *current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        }
        Ok(())
    }
}

fn now(current: &Mutex<Arc<Identity>>) -> Arc<Identity> {
    // The value is replaced whole, so it is whole after any panic.
    Arc::clone(&current.lock().unwrap_or_else(PoisonError::into_inner))
}
