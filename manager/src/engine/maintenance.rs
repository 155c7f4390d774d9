//! Maintenance: what the engine must know of sessions, stays and moves, and what others can ask of sessions
//! (spec/maintenance.md §1, §3).

mod mover;
mod plan;
mod plugin;
mod rows;
mod session;
mod stay;
mod zone;

use std::time::Duration;

use hostler_common::error::Class;
use hostler_common::id::SessionId;
use hostler_core::machine::Input;
use hostler_core::maintenance::question::Reply;
use hostler_core::maintenance::session::{Command, Create, Session};
use hostler_core::maintenance::spec::{Leave, Spec, Update};
use hostler_core::maintenance::state::State;
use uuid::Builder;

use super::Engine;
use super::run::{Committed, apply};
use crate::store::maintenance::{NewSession, session_get, session_insert, session_number};
use crate::store::{Connection, Error, Result};

pub use mover::MoveDomain;
pub use session::SessionDomain;
pub use stay::StayDomain;

/// How often it is tried again after another manager was faster.
const TRIES: usize = 8;

/// Settings of maintenance.
#[derive(Clone, Debug)]
pub struct MaintenanceSettings {
    /// How many sessions may be neither over nor deleted; 0 means any number.
    pub max_active_sessions: u32,
    /// How long deleted sessions are kept.
    pub history: Duration,
    /// After how long without progress people are told.
    pub stall_alert: Duration,
    /// The name of the host on which the manager runs, if it has an agent.
    pub manager: Option<String>,
}

impl Default for MaintenanceSettings {
    fn default() -> Self {
        Self {
            max_active_sessions: 20,
            history: Duration::from_secs(400 * 86_400),
            stall_alert: Duration::from_secs(1800),
            manager: None,
        }
    }
}

impl Engine {
    /// Creates a session; when this returns, it is durable, its hosts are its own, and it goes on by itself.
    ///
    /// # Errors
    /// Class `Invalid` if a host, a plug-in or a time zone is unknown, `Conflict` with their names if hosts are in other
    /// sessions, `Exhausted` if there are too many sessions; see [`Error`]. Nothing is left behind then.
    pub async fn session_create(&self, spec: Spec, actor: &str) -> Result<SessionId> {
        zone::check(&spec)?;
        let mut tries = 0;
        loop {
            let (turn, spec) = (self.turn(Some(actor)), spec.clone());
            let id = SessionId(Builder::from_random_bytes(turn.nth(1).seed.to_be_bytes()).into_uuid());
            let done = self.store.write(move |tx| {
                Box::pin(async move {
                    let number = session_number(tx).await?;
                    let actor = turn.actor.as_deref().unwrap_or("hostler");
                    session_insert(tx, number, NewSession { id, spec: &spec, actor }, turn.now).await?;
                    let create = Command::Create(Box::new(Create { spec, id }));
                    apply::<SessionDomain>(&turn, tx, &id.to_string(), Input::Command(create)).await
                })
            });
            tries += 1;
            match done.await {
                Err(Error::Moved) if tries < TRIES => {}
                Ok(done) => {
                    self.woken(&done);
                    self.wake.downloads();
                    return Ok(id);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Changes a session; returns its state after that.
    ///
    /// # Errors
    /// Class `NotFound` if there is none of that id, or if it is deleted; `Conflict` if it cannot be done in its state; see
    /// [`Error`].
    pub async fn session_update(&self, id: SessionId, update: Update, actor: &str) -> Result<State> {
        if let Some(policy) = &update.policy {
            zone::check_policy(policy)?;
        }
        Ok(self.session_ask(id, Command::Update(update), actor).await?.machine.state)
    }

    /// Takes a project's answer.
    ///
    /// # Errors
    /// Class `NotFound` if there is no such session, or not for that project; `Conflict` if that is not asked, or not any more;
    /// see [`Error`].
    pub async fn session_reply(&self, id: SessionId, reply: Reply, actor: &str) -> Result<()> {
        self.session_ask(id, Command::Reply(reply), actor).await.map(|_| ())
    }

    /// Deletes a session: it is gone for those who look for it, and gives back what it took by itself.
    ///
    /// # Errors
    /// Class `NotFound` if there is none of that id, or if it is deleted; see [`Error`].
    pub async fn session_delete(&self, id: SessionId, leave: Leave, actor: &str) -> Result<()> {
        self.session_ask(id, Command::Delete(leave), actor).await.map(|_| ())
    }

    async fn session_ask(&self, id: SessionId, command: Command, actor: &str) -> Result<Committed<Session>> {
        let mut tries = 0;
        loop {
            let (turn, command) = (self.turn(Some(actor)), command.clone());
            let done = self.store.write(move |tx| {
                Box::pin(async move {
                    must_be(tx, id).await?;
                    apply::<SessionDomain>(&turn, tx, &id.to_string(), Input::Command(command)).await
                })
            });
            tries += 1;
            match done.await {
                Err(Error::Moved) if tries < TRIES => {}
                Ok(done) => {
                    self.woken(&done);
                    return Ok(done);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Refuses if there is no such session, or if it is deleted.
async fn must_be(tx: &mut Connection, id: SessionId) -> Result<()> {
    match session_get(tx, id).await? {
        Some(row) if row.deleted_at.is_none() => Ok(()),
        _ => Err(Error::Refused(Class::NotFound, "Invalid session".into())),
    }
}
