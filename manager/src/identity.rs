//! Who is who: users, projects, roles, application credentials and tokens of the embedded identity (design §8), and the
//! other proofs that callers may bring (static tokens, password files).
//!
//! Everything here is asked by the dialects and answers in nouns; the Keystone wire format is in `api/identity`. Every
//! mutation is one transaction with its audit event, and holds at once: a token is checked against the rows, or against a
//! cache that every mutation of this manager empties and that other managers outlive by no more than [`session::FRESH`].

mod api_token;
mod audit;
mod callback;
mod credential;
mod error;
mod grant;
mod htpasswd;
mod issue;
pub mod keystone;
mod login;
mod password;
mod project;
mod session;
mod static_token;
mod token;
mod user;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use hostler_common::time::Timestamp;
use hostler_core::machine::Event;
use uuid::Uuid;

use crate::config;
use crate::engine::{Engine, Turn};
use crate::store::{self, Connection};

pub use api_token::NewApiToken;
pub use audit::By;
pub use credential::NewCredential;
pub use error::{Error, Result};
pub use login::{CredentialRef, ProjectRef, Proof, Target, UserRef};
pub use project::{NewProject, ProjectChange};
pub use session::{Place, Session};
pub use user::{NewUser, UserChange};

/// How long a token counts where the configuration does not say.
const LIFETIME: Duration = Duration::from_secs(3600);

/// The one domain of this installation, by id.
pub const DOMAIN_ID: &str = "default";

/// The one domain of this installation, by name.
pub const DOMAIN_NAME: &str = "Default";

/// The embedded identity. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    lifetime: Duration,
    passwords: password::Passwords,
    statics: Vec<static_token::StaticToken>,
    htpasswd: Option<htpasswd::Htpasswd>,
    keystone: Option<keystone::Keystone>,
    sessions: session::Cache,
    failures: audit::Failures,
}

impl Identity {
    /// An identity over the store and the clock of `engine`. Static tokens of `auth` whose hash or roles cannot be read
    /// never match; the configuration's own check refuses them with a reason.
    #[must_use]
    pub fn new(engine: Engine, auth: &config::Auth) -> Self {
        let inner = Inner {
            engine,
            lifetime: auth.token_lifetime.unwrap_or(LIFETIME),
            passwords: password::Passwords::default(),
            statics: auth.static_tokens.iter().filter_map(static_token::StaticToken::read).collect(),
            htpasswd: auth.htpasswd_file.clone().map(htpasswd::Htpasswd::new),
            keystone: auth.keystone.as_ref().map(keystone::Keystone::new),
            sessions: session::Cache::default(),
            failures: audit::Failures::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Makes sure that the first administrator exists: the project, the user, and the user's `admin` in the project and in
    /// the system. What exists stays as it is, passwords too.
    ///
    /// # Errors
    /// A name or the password breaks a rule, the domain is not `Default`, or the store does not answer.
    pub async fn bootstrap(&self, settings: &config::Bootstrap) -> Result<()> {
        if !settings.domain.eq_ignore_ascii_case(DOMAIN_NAME) {
            return Err(Error::invalid("bootstrap.domain", "must be Default, the one domain there is"));
        }
        let by = By { name: "bootstrap".into(), from: None };
        let project = match self.project_by_name(&settings.project).await? {
            Some(project) => project,
            None => {
                let new = NewProject {
                    name: settings.project.clone(),
                    description: "Project of the first administrator".into(),
                    enabled: true,
                };
                self.project_create(&by, new).await?
            }
        };
        let user = match self.user_by_name(&settings.username).await? {
            Some(user) => user,
            None => {
                let new = NewUser {
                    name: settings.username.clone(),
                    description: "First administrator".into(),
                    email: None,
                    enabled: true,
                    project: Some(project.id),
                    password: Some(settings.password.clone()),
                };
                self.user_create(&by, new).await?
            }
        };
        for scope in [store::identity::Scope::Project(project.id), store::identity::Scope::System] {
            let role = hostler_core::policy::Role::Admin;
            self.grant_create(&by, store::identity::Grant { user: user.id, scope, role }).await?;
        }
        Ok(())
    }

    fn now(&self) -> Timestamp {
        self.inner.engine.clock.now()
    }

    async fn read(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Any>> {
        Ok(self.inner.engine.store.read().await?)
    }

    /// Runs `work` and writes the events that it returns in the same transaction; then nobody's session is believed
    /// without a look at the rows.
    async fn commit<T, F>(&self, by: &By, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Connection, &'t Turn) -> BoxFuture<'t, store::Result<(T, Vec<Event>)>>
            + Send
            + 'static,
    {
        let turn = self.inner.engine.turn(Some(&by.name));
        let from = by.from;
        let done = self
            .inner
            .engine
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let (value, events) = work(tx, &turn).await?;
                    for event in events {
                        let event = audit::with_origin(event, from);
                        store::event::event_insert(tx, turn.now, turn.actor.as_deref(), &event).await?;
                    }
                    Ok(value)
                })
            })
            .await;
        self.inner.sessions.forget();
        self.inner.engine.wake.changed();
        Ok(done?)
    }
}

/// A fresh identifier from what a transaction works with.
fn fresh_id(turn: &Turn) -> Uuid {
    let bytes = turn.seed.to_be_bytes();
    let mut random = [0; 10];
    random.copy_from_slice(&bytes[..10]);
    let millis = u64::try_from(turn.now.as_micros() / 1000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}
