//! Tokens of an existing Keystone: strategy `keystone` (spec/introspection.md §1.4).
//!
//! The manager asks with a token of its own, which it gets and renews by itself. What Keystone says of a token is believed
//! for a while; what it does not know is forgotten soon, as it may be known a moment later. Whatever goes wrong on the way
//! is a failure to check, never a token that does not count: callers must not throw good tokens away because of us.

mod answer;
mod cache;
mod client;
mod service_token;

use std::sync::Arc;
use std::time::Duration;

use hostler_common::error::Class;
use hostler_common::time::Timestamp;
use hostler_core::policy::Caller;
use tokio::sync::Semaphore;

use super::token::hash;
use super::{Error, Identity, Result};
use crate::config;
use cache::Cache;
use client::{Client, Validation};
use service_token::ServiceToken;

/// The longest token that is worth a question, in bytes.
const TOKEN_MAX: usize = 8192;

/// How many questions may be under way at once; more callers wait.
const AT_ONCE: usize = 16;

/// What callers are told when Keystone cannot be asked; the reason is in the log.
const UNAVAILABLE: &str = "The Keystone of this installation cannot be asked at the moment; try again.";

/// A Keystone, and what it said lately.
#[derive(Debug)]
pub(super) struct Keystone {
    /// Why there is no client, if there is none: the file with the authorities cannot be read.
    client: std::result::Result<Client, String>,
    service: ServiceToken,
    cache: Cache,
    room: Semaphore,
    patience: Duration,
}

impl Keystone {
    /// A Keystone with these settings; nothing is asked yet.
    pub(super) fn new(settings: &config::Keystone) -> Self {
        let timeout = Duration::from_secs(settings.timeout_s.into());
        Self {
            client: Client::new(settings, timeout),
            service: ServiceToken::default(),
            cache: Cache::new(Duration::from_secs(settings.cache_s.into())),
            room: Semaphore::new(AT_ONCE),
            // A token of our own, its renewal and the question itself may each take their time.
            patience: timeout * 2,
        }
    }

    /// Who the bearer of a token is; `None` if it does not count.
    async fn caller(&self, token: &str, now: Timestamp) -> Result<Option<Arc<Caller>>> {
        if token.len() > TOKEN_MAX {
            return Ok(None);
        }
        let key = hash(token);
        if let Some(known) = self.cache.get(&key, now) {
            return Ok(known);
        }
        let asking = async {
            // It is never closed.
            let _room = self.room.acquire().await.map_err(|error| error.to_string())?;
            // Somebody may have asked the same while this one waited.
            if let Some(known) = self.cache.get(&key, now) {
                return Ok(known);
            }
            let said = self.ask(token, now).await?;
            let until = said.as_ref().map(|said| said.expires_at);
            let caller = said.map(|said| Arc::new(said.caller));
            self.cache.put(key, caller.clone(), now, until);
            Ok(caller)
        };
        let asked = tokio::time::timeout(self.patience, asking).await;
        let asked: std::result::Result<_, String> = asked.unwrap_or_else(|_| Err("it takes too long".into()));
        asked.map_err(|reason| {
            tracing::warn!(reason, "Keystone cannot be asked about a token");
            Error::Refused(Class::Unavailable, UNAVAILABLE.into())
        })
    }

    /// Asks about a token; once more with a fresh token of our own if the first one does not count any more.
    async fn ask(&self, token: &str, now: Timestamp) -> std::result::Result<Option<answer::Said>, String> {
        let client = self.client.as_ref().map_err(Clone::clone)?;
        let own = self.service.get(client, now).await?;
        match client.validate(&own, token).await? {
            Validation::Known(said) => return Ok(Some(said)),
            Validation::Unknown => return Ok(None),
            Validation::OwnRefused => self.service.forget(&own).await,
        }
        let own = self.service.get(client, now).await?;
        match client.validate(&own, token).await? {
            Validation::Known(said) => Ok(Some(said)),
            Validation::Unknown => Ok(None),
            Validation::OwnRefused => Err("it refuses the token that it has just given to this manager".into()),
        }
    }
}

/// Looks at the files that the settings of a Keystone name.
///
/// # Errors
/// What is wrong with them.
pub fn check(settings: &config::Keystone) -> std::result::Result<(), String> {
    Client::new(settings, Duration::from_secs(1)).map(|_| ())
}

impl Identity {
    /// Who the bearer of a token of the configured Keystone is; `None` if it does not count.
    ///
    /// # Errors
    /// Keystone cannot be asked, or none is configured: class `Unavailable`, never a wrong token.
    pub async fn keystone_caller(&self, token: &str) -> Result<Option<Arc<Caller>>> {
        match &self.inner.keystone {
            Some(keystone) => keystone.caller(token, self.now()).await,
            None => Err(Error::Refused(Class::Unavailable, "There is no Keystone in the settings.".into())),
        }
    }
}
