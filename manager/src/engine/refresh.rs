//! What the engine must know of refreshes: the facts of a decision and the rows that it writes; and that every host has
//! its refresh.

use std::time::Duration;

use futures::future::BoxFuture;
use hostler_common::id::HostId;
use hostler_common::job::JobState;
use hostler_core::introspection::Introspection;
use hostler_core::machine::{Input, Machine};
use hostler_core::refresh::Refresh;
use hostler_core::refresh::command::{Command, Facts, Write};
use tokio_util::sync::CancellationToken;

use super::introspection::hold;
use super::inventory::{self, Documents};
use super::run::{Domain, apply};
use super::{Engine, IntrospectionDomain, Turn};
use crate::store::host::{AgentState, host_fetch};
use crate::store::{Connection, Error, Result, held, job, machine, section};

/// How often it is looked for hosts that have no refresh yet.
const PERIOD: Duration = Duration::from_secs(60);

/// How many hosts get one in one go.
const BATCH: u32 = 256;

/// The refresh of a host; the subject is the host's id.
#[derive(Clone, Copy, Debug)]
pub struct RefreshDomain;

impl Domain for RefreshDomain {
    type Machine = Refresh;

    fn fresh(subject: &str) -> Result<Refresh> {
        let host = subject.parse().map_err(|_| Error::Broken(format!("not a host id: {subject}")))?;
        Ok(Refresh::new(host))
    }

    fn facts<'t>(
        turn: &'t Turn,
        tx: &'t mut Connection,
        machine: &'t Refresh,
        input: &'t Input<Command>,
    ) -> BoxFuture<'t, Result<Facts>> {
        Box::pin(async move {
            let host = host_fetch(tx, machine.host).await?;
            let subject = machine.host.to_string();
            let found = machine::machine_find::<Introspection>(tx, Introspection::KIND, &subject).await?;
            let found = found.map(|record| record.machine);
            let arrives = matches!(input, Input::Job(update) if update.state == JobState::Succeeded);
            let held = if arrives { held::held_find(tx, machine.host).await? } else { None };
            let mut facts = Facts {
                online: host.agent_state == AgentState::Online,
                revoked: host.agent_state == AgentState::Revoked,
                boot_id: host.boot_id,
                run: found.as_ref().map_or(0, |found| found.run),
                introspecting: found.is_some_and(|found| !found.state.is_terminal()),
                free: false,
                inventory: crate::store::inventory::inventory_exists(tx, machine.host).await?,
                base: if arrives { inventory::base(tx, machine.host).await? } else { None },
                node: host.node,
                known: host.identity,
                held: held.map(|held| held.found),
                settings: std::sync::Arc::clone(&turn.settings.refresh),
            };
            if !matches!(input, Input::Job(_)) && machine.would_probe(&facts, turn.now) {
                let (running, hosts) = job::job_probes(tx).await?;
                facts.free = running < facts.settings.at_once(hosts);
            }
            Ok(facts)
        })
    }

    fn write<'t>(
        turn: &'t Turn,
        tx: &'t mut Connection,
        next: &'t Refresh,
        writes: Vec<Write>,
    ) -> BoxFuture<'t, Result<()>> {
        Box::pin(async move {
            for write in writes {
                match write {
                    Write::Seen(read) => section::section_put(tx, next.host, &read, turn.now).await?,
                    Write::Inventory { unprocessed, processed } => {
                        let documents = Documents { processed: &processed, unprocessed: &unprocessed.to_string() };
                        inventory::keep(turn, tx, next.host, documents).await?;
                    }
                    Write::Publish(data) => publish(turn, tx, next.host, data).await?,
                    Write::Hold { document, known, found } => {
                        hold(turn, tx, next.host, known, found, &document).await?
                    }
                    Write::Forget(id) => job::job_forget(tx, id).await?,
                }
            }
            Ok(())
        })
    }
}

/// Hands data to the introspection of the host. Its timer needs no wake-up of its own: a refresh always sets one too.
async fn publish(turn: &Turn, tx: &mut Connection, host: HostId, data: serde_json::Value) -> Result<()> {
    let command = hostler_core::introspection::command::Command::Publish { data };
    apply::<IntrospectionDomain>(turn, tx, &host.to_string(), Input::Command(command)).await?;
    Ok(())
}

impl Engine {
    /// Sees to it that every host has its refresh, until `stop`.
    pub async fn run_refreshes(&self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.refreshes_begin().await {
                tracing::warn!(%error, "refreshes cannot be begun");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    /// Begins the refresh of each host that has none.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn refreshes_begin(&self) -> Result<()> {
        loop {
            let hosts = {
                let mut connection = self.store.read().await?;
                machine::machine_missing(&mut connection, Refresh::KIND, BATCH).await?
            };
            for host in &hosts {
                match self.input::<RefreshDomain>(host, Input::Command(Command::Begin), None).await {
                    // It was deleted meanwhile, or another manager was faster.
                    Ok(_) | Err(Error::Refused(..) | Error::Moved) => {}
                    Err(error) => return Err(error),
                }
            }
            if hosts.len() < BATCH as usize {
                return Ok(());
            }
        }
    }
}
