//! Tokens for `POST /v1/continue` (spec/introspection.md §1.7.8): each is for the data of one host and for one run.
//!
//! Such a token is no caller: it has no roles, and no other path takes it.

use std::time::Duration;

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{By, Identity, Result, audit, token};
use crate::store::callback_token::{callback_token_find, callback_token_put};

impl Identity {
    /// Makes the token of a host, which counts for so long, and until when that is. The one before it counts no more.
    ///
    /// # Errors
    /// There is no such host, or the store does not answer.
    pub async fn callback_token_make(
        &self,
        by: &By,
        host: HostId,
        life: Duration,
    ) -> Result<(SecretString, Timestamp)> {
        let (fresh, until) = (token::fresh_callback()?, self.now().after(life));
        let hash = hex::encode(token::hash(fresh.expose_secret()));
        self.commit(by, move |tx, _| {
            Box::pin(async move {
                callback_token_put(tx, host, &hash, until).await?;
                let event =
                    audit::event("introspection.callback_token.made", &host, json!({ "expires_at": until.rfc3339() }));
                Ok(((), vec![event]))
            })
        })
        .await?;
        Ok((fresh, until))
    }

    /// The host whose data the bearer of a token may deliver; `None` if it is none of these tokens, or counts no more.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn callback_host(&self, presented: &str) -> Result<Option<HostId>> {
        if !token::is_callback(presented) {
            return Ok(None);
        }
        let hash = hex::encode(token::hash(presented));
        Ok(callback_token_find(&mut *self.read().await?, &hash, self.now()).await?)
    }
}
