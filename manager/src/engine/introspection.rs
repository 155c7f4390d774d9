//! What the engine must know of introspections: the facts of a decision and the rows that it writes.

use futures::future::BoxFuture;
use hostler_common::id::HostId;
use hostler_common::job::JobState;
use hostler_core::introspection::command::{Command, Facts, Held, Write};
use hostler_core::introspection::state::State;
use hostler_core::introspection::summary::Identity;
use hostler_core::introspection::{Introspection, merge};
use hostler_core::machine::{Input, Machine as _};
use hostler_core::refresh::Refresh;
use serde_json::Value;

use super::Turn;
use super::inventory::{self, Documents};
use super::run::Domain;
use crate::store::held::HeldInfo;
use crate::store::host::AgentState;
use crate::store::introspection::{DataKind, data_find, data_put, status_put};
use crate::store::{Connection, Error, Result, held, host, job, rule, section};

/// The introspection of a host; the subject is the host's id.
#[derive(Clone, Copy, Debug)]
pub struct IntrospectionDomain;

impl Domain for IntrospectionDomain {
    type Machine = Introspection;

    fn fresh(subject: &str) -> Result<Introspection> {
        let host = subject.parse().map_err(|_| Error::Broken(format!("not a host id: {subject}")))?;
        Ok(Introspection::new(host))
    }

    fn facts<'t>(
        turn: &'t Turn,
        tx: &'t mut Connection,
        machine: &'t Introspection,
        input: &'t Input<Command>,
    ) -> BoxFuture<'t, Result<Facts>> {
        Box::pin(async move {
            let host = host::host_fetch(tx, machine.host).await?;
            let processing = matches!(machine.state, State::Processing | State::Reapplying);
            let needs_stored = match input {
                Input::Timer(_) => processing,
                Input::Command(Command::Reapply { data }) => data.is_none(),
                Input::Command(_) | Input::Job(_) | Input::Message(_) => false,
            };
            let stored = if needs_stored { data_find(tx, machine.host, DataKind::Unprocessed).await? } else { None };
            let rules = if processing { rule::rule_list(tx).await? } else { Vec::new() };
            let accepts = matches!(input, Input::Command(Command::AcceptIdentity));
            let held = if accepts { held_with_document(tx, machine.host).await? } else { None };
            let part = !machine.sections.is_empty();
            let arrives = matches!(input, Input::Job(update) if update.state == JobState::Succeeded)
                || matches!(input, Input::Command(Command::Callback { .. }));
            Ok(Facts {
                node: host.node,
                revoked: host.agent_state == AgentState::Revoked,
                known: host.identity,
                held,
                base: if part && arrives { inventory::base(tx, machine.host).await? } else { None },
                stored: stored.map(|document| serde_json::from_str(&document.text)).transpose()?,
                rules,
                settings: std::sync::Arc::clone(&turn.settings.introspection),
            })
        })
    }

    fn write<'t>(
        turn: &'t Turn,
        tx: &'t mut Connection,
        next: &'t Introspection,
        writes: Vec<Write>,
    ) -> BoxFuture<'t, Result<()>> {
        Box::pin(async move {
            if next.run > 0 {
                status_put(tx, next).await?;
            }
            for write in writes {
                match write {
                    // Whoever reads the host without being asked gives way.
                    Write::Begun => drop(job::job_yield(tx, next.host, Refresh::KIND).await?),
                    Write::Hold { document, known, found } => {
                        hold(turn, tx, next.host, known, found, &document).await?
                    }
                    Write::Accepted(identity) => {
                        held::held_delete(tx, next.host).await?;
                        host::host_set_identity(tx, next.host, &identity).await?;
                    }
                    Write::Unprocessed(document) => {
                        data_put(tx, next.host, DataKind::Unprocessed, &document, turn.now).await?;
                    }
                    Write::Processed { document, fresh } => {
                        data_put(tx, next.host, DataKind::Processed, &document, turn.now).await?;
                        if fresh {
                            mark(turn, tx, next, &document).await?;
                            keep_inventory(turn, tx, next.host, &document).await?;
                        }
                    }
                    Write::Node(node) => host::host_set_node(tx, next.host, &node).await?,
                }
            }
            Ok(())
        })
    }
}

async fn held_with_document(tx: &mut Connection, host: HostId) -> Result<Option<Held>> {
    let Some(info) = held::held_find(tx, host).await? else { return Ok(None) };
    Ok(Some(Held { found: info.found, document: held::held_document(tx, host).await? }))
}

/// Keeps a document aside that is of another machine.
pub(super) async fn hold(
    turn: &Turn,
    tx: &mut Connection,
    host: HostId,
    known: Identity,
    found: Identity,
    document: &Value,
) -> Result<()> {
    held::held_put(tx, host, &HeldInfo { known, found, held_at: turn.now }, document).await
}

/// Records when the sections that a run read arrived.
async fn mark(turn: &Turn, tx: &mut Connection, run: &Introspection, document: &Value) -> Result<()> {
    let mut read = merge::read(document);
    if run.sections.is_empty() {
        // One that did not answer this time stays, and ages.
        let named = document.pointer("/fleet/sections").and_then(Value::as_object);
        let names: Vec<String> = named.into_iter().flatten().map(|(name, _)| name.clone()).collect();
        section::section_retain(tx, run.host, &names).await?;
    } else {
        read.retain(|section| run.sections.contains(&section.name));
    }
    section::section_put(tx, run.host, &read, turn.now).await
}

/// Puts a processed document into the host's history, if it says anything new.
async fn keep_inventory(turn: &Turn, tx: &mut Connection, host: HostId, document: &Value) -> Result<()> {
    let unprocessed = data_find(tx, host, DataKind::Unprocessed).await?.map_or_else(String::new, |data| data.text);
    let documents = Documents { processed: document, unprocessed: &unprocessed };
    inventory::keep(turn, tx, host, documents).await
}
