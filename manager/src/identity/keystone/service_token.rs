//! The token with which this manager itself asks Keystone.

use std::time::Duration;

use hostler_common::time::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;

use super::client::Client;

/// How long before its end a token is replaced.
const MARGIN: Duration = Duration::from_secs(30);

/// How long a failed login is not tried again: Keystone may lock users out who fail too often.
const PAUSE: Duration = Duration::from_secs(3);

/// The token, if there is one. One caller gets it and the others wait.
#[derive(Debug, Default)]
pub(super) struct ServiceToken {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
enum State {
    /// Not asked for yet, or refused since.
    #[default]
    None,
    /// Good until then.
    Held { token: SecretString, until: Timestamp },
    /// The login failed at that time, for that reason.
    Failed { at: Timestamp, reason: String },
}

impl ServiceToken {
    /// A token that counts.
    ///
    /// # Errors
    /// Keystone does not give one.
    pub(super) async fn get(&self, client: &Client, now: Timestamp) -> Result<SecretString, String> {
        let mut state = self.state.lock().await;
        match &*state {
            State::Held { token, until } if now.after(MARGIN) < *until => return Ok(token.clone()),
            State::Failed { at, reason } if *at <= now && now.since(*at) < PAUSE => return Err(reason.clone()),
            _ => {}
        }
        match client.login().await {
            Ok((token, until)) => {
                *state = State::Held { token: token.clone(), until };
                Ok(token)
            }
            Err(reason) => {
                *state = State::Failed { at: now, reason: reason.clone() };
                Err(reason)
            }
        }
    }

    /// Forgets a token that was refused, unless another has taken its place.
    pub(super) async fn forget(&self, refused: &SecretString) {
        let mut state = self.state.lock().await;
        if matches!(&*state, State::Held { token, .. } if token.expose_secret() == refused.expose_secret()) {
            *state = State::None;
        }
    }
}
