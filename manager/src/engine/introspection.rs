//! What the engine must know of introspections: the facts of a decision and the rows that it writes.

use futures::future::BoxFuture;
use hostler_common::id::{HostId, InventoryId};
use hostler_core::introspection::command::{Command, Facts, Write};
use hostler_core::introspection::state::State;
use hostler_core::introspection::{Introspection, diff, summary};
use hostler_core::machine::Input;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::Turn;
use super::run::Domain;
use crate::store::host::AgentState;
use crate::store::introspection::{DataKind, data_find, data_put, status_put};
use crate::store::inventory::{NewInventory, inventory_insert, inventory_list};
use crate::store::{Connection, Error, Result, host, rule};

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
                Input::Command(_) | Input::Job(_) => false,
            };
            let stored = if needs_stored { data_find(tx, machine.host, DataKind::Unprocessed).await? } else { None };
            let rules = if processing { rule::rule_list(tx).await? } else { Vec::new() };
            Ok(Facts {
                node: host.node,
                revoked: host.agent_state == AgentState::Revoked,
                system_uuid: host.system_uuid,
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
                    Write::Unprocessed(document) => {
                        data_put(tx, next.host, DataKind::Unprocessed, &document, turn.now).await?;
                    }
                    Write::Processed { document, fresh } => {
                        data_put(tx, next.host, DataKind::Processed, &document, turn.now).await?;
                        if fresh {
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

/// Puts a processed document into the host's history, if it says anything new.
async fn keep_inventory(turn: &Turn, tx: &mut Connection, host: HostId, document: &Value) -> Result<()> {
    let figures = summary::summary(document);
    host::host_set_summary(tx, host, &figures, summary::system_uuid(document).as_deref()).await?;
    let hash = canonical_hash(document);
    let last = inventory_list(tx, host, None, 1).await?;
    if last.first().is_some_and(|info| info.hash == hash) {
        return Ok(());
    }
    let unprocessed =
        data_find(tx, host, DataKind::Unprocessed).await?.map_or_else(String::new, |document| document.text);
    let id = inventory_id(turn);
    let new = NewInventory {
        id,
        host,
        hash: &hash,
        sections: &section_states(document),
        processed: &serde_json::to_string(document)?,
        unprocessed: &unprocessed,
    };
    inventory_insert(tx, &new, turn.settings.inventories_kept.max(1), turn.now).await
}

fn inventory_id(turn: &Turn) -> InventoryId {
    let mut random = [0; 10];
    random.copy_from_slice(&turn.seed.to_le_bytes()[..10]);
    let millis = u64::try_from(turn.now.as_micros() / 1000).unwrap_or(0);
    InventoryId(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
}

/// The SHA-256 of a document's canonical form, hexadecimal: equal for inventories that say the same.
#[must_use]
pub fn canonical_hash(document: &Value) -> String {
    hex::encode(Sha256::digest(diff::canonical(document).to_string().as_bytes()))
}

fn section_states(document: &Value) -> Value {
    let sections = document.pointer("/fleet/sections").and_then(Value::as_object);
    let states: Map<String, Value> = sections
        .into_iter()
        .flatten()
        .map(|(name, section)| (name.clone(), section.get("status").cloned().unwrap_or(Value::Null)))
        .collect();
    Value::Object(states)
}
