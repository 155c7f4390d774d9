//! The newest inventory of a host, its history, and what follows from both (spec/introspection.md §6.4).

use hostler_common::id::{HostId, InventoryId};
use hostler_core::introspection::diff::{self, Change, Severity};
use hostler_core::introspection::facts;
use hostler_core::introspection::summary::{self, Identity};
use hostler_core::machine::Event;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::Turn;
use crate::store::host::Portrait;
use crate::store::inventory::{Delta, NewInventory, Newest};
use crate::store::{Connection, Result, drift, event, host, inventory};

/// How many changes an event names; all of them are in the record of changes.
const NAMED_MAX: usize = 10;

/// A document in both forms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Documents<'a> {
    /// After the processing hooks.
    pub(super) processed: &'a Value,
    /// As it came, JSON text.
    pub(super) unprocessed: &'a str,
}

/// Makes a document the newest inventory of its host: a new entry of the history where it says something else than the
/// one before, else in the place of that.
pub(super) async fn keep(turn: &Turn, tx: &mut Connection, host: HostId, documents: Documents<'_>) -> Result<()> {
    let document = documents.processed;
    let portrait = Portrait {
        summary: summary::summary(document),
        identity: Identity::of(document),
        model: facts::model(document),
    };
    host::host_set_portrait(tx, host, &portrait).await?;
    drift::fact_put(tx, host, &facts::of(document)).await?;
    let hash = canonical_hash(document);
    let (sections, text) = (section_states(document), serde_json::to_string(document)?);
    let last = inventory::inventory_newest(tx, host).await?;
    if let Some(same) = last.as_ref().filter(|last| last.hash == hash) {
        return inventory::inventory_renew(tx, same.id, &sections, &text, documents.unprocessed).await;
    }
    let id = inventory_id(turn);
    let new = NewInventory {
        id,
        host,
        hash: &hash,
        sections: &sections,
        processed: &text,
        unprocessed: documents.unprocessed,
    };
    inventory::inventory_insert(tx, &new, turn.settings.inventories_kept.max(1), turn.now).await?;
    match last {
        Some(last) => keep_changes(turn, tx, host, id, &last, document).await,
        None => Ok(()),
    }
}

/// Records what is new, and tells the world.
async fn keep_changes(
    turn: &Turn,
    tx: &mut Connection,
    host: HostId,
    id: InventoryId,
    last: &Newest,
    document: &Value,
) -> Result<()> {
    let changes = diff::delta(&serde_json::from_str(&last.processed)?, document);
    let Some(severity) = changes.iter().map(|change| change.severity).max() else { return Ok(()) };
    let delta = Delta {
        inventory: id,
        at: turn.now,
        severity: severity.name().to_owned(),
        changes: serde_json::to_value(&changes)?,
    };
    inventory::delta_insert(tx, host, &delta).await?;
    let told = Event {
        kind: "inventory.changed",
        subject: host.to_string(),
        data: json!({
            "inventory": id.to_string(),
            "severity": severity.name(),
            "changes": changes.len(),
            "named": named(&changes),
        }),
    };
    event::event_insert(tx, turn.now, turn.actor.as_deref(), &told).await?;
    Ok(())
}

/// The changes that matter most, at least a warning.
fn named(changes: &[Change]) -> Vec<Value> {
    let mut worth: Vec<&Change> = changes.iter().filter(|change| change.severity > Severity::Info).collect();
    worth.sort_by_key(|change| std::cmp::Reverse(change.severity));
    let shown =
        |change: &&Change| json!({ "path": change.path, "op": change.op.name(), "severity": change.severity.name() });
    worth.iter().take(NAMED_MAX).map(shown).collect()
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

/// The newest unprocessed document, to put sections into; `None` where there is none that can be read.
pub(super) async fn base(tx: &mut Connection, host: HostId) -> Result<Option<Value>> {
    let newest = inventory::inventory_newest(tx, host).await?;
    Ok(newest.and_then(|newest| serde_json::from_str(&newest.unprocessed).ok()))
}
