//! What every command is given: where to print, and how to reach the manager.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::client::Client;
use crate::connect::{ConnectArgs, Target};
use crate::failure::{Failure, Kind};
use crate::output::{Format, Output};

/// The surroundings of one command.
pub struct Context {
    /// Where and how to print.
    pub output: Output,
    /// The connection options as given.
    pub connect: ConnectArgs,
    /// Whether the command sees to Ctrl-C itself now.
    interrupts: AtomicBool,
}

/// While this lives, the command sees to Ctrl-C itself.
pub struct Interrupts<'a>(&'a AtomicBool);

impl Drop for Interrupts<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Context {
    /// Looks at the terminal and keeps the options.
    #[must_use]
    pub fn new(format: Format, connect: ConnectArgs) -> Self {
        Self { output: Output::detect(format), connect, interrupts: AtomicBool::new(false) }
    }

    /// From now on the command sees to Ctrl-C itself.
    #[must_use]
    pub fn take_interrupts(&self) -> Interrupts<'_> {
        self.interrupts.store(true, Ordering::Relaxed);
        Interrupts(&self.interrupts)
    }

    /// Ctrl-C that the command does not see to itself.
    pub async fn interrupted(&self) {
        loop {
            // Where signals cannot be had, Ctrl-C ends the process as ever.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            if !self.interrupts.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// A client with a token; logs in if there is a password but no token.
    ///
    /// # Errors
    /// No manager is named, or the login is refused.
    pub async fn client(&self) -> Result<Client, Failure> {
        let target = self.connect.target()?;
        let client = Client::new(&target)?;
        match (&target.token, &target.login) {
            (None, Some(login)) => Ok(client.with_token(client.log_in(login).await?.0)),
            _ => Ok(client),
        }
    }

    /// A client that acts as a user, and what the identity service tells of its token. Prefers a password login, as
    /// static tokens belong to no user.
    ///
    /// # Errors
    /// No manager is named, the login is refused, or the token belongs to no user.
    pub async fn user_session(&self) -> Result<(Client, Value), Failure> {
        let target = self.connect.target()?;
        let client = Client::new(&target)?;
        if let Some(login) = &target.login
            && !self.token_was_given()
        {
            let (token, told) = client.log_in(login).await?;
            return Ok((client.with_token(token), told));
        }
        let told = examine(&client, &target).await?;
        Ok((client, told))
    }

    fn token_was_given(&self) -> bool {
        self.connect.token.as_ref().is_some_and(|token| !token.is_empty())
    }
}

/// Asks the identity service whose token it is.
async fn examine(client: &Client, target: &Target) -> Result<Value, Failure> {
    let doing = "find out whose token this is";
    let Some(token) = &target.token else {
        return Err(Failure::new(Kind::Unreachable, format!("cannot {doing}"), "there is none")
            .hint("set HOSTLER_USERNAME and HOSTLER_PASSWORD, or HOSTLER_TOKEN to a token of a user"));
    };
    let call = client.get(doing, &["identity", "v3", "auth", "tokens"]).header("X-Subject-Token", token.as_str());
    let mut told = call.json().await?;
    let told = told["token"].take();
    if told["user"]["id"].is_string() {
        return Ok(told);
    }
    Err(Failure::new(Kind::Usage, format!("cannot {doing}"), "it belongs to no user")
        .hint("set HOSTLER_USERNAME and HOSTLER_PASSWORD instead of a static token"))
}
