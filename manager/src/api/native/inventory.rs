//! The history of inventories: list, show, compare.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hostler_common::id::{HostId, InventoryId};
use hostler_core::introspection::diff::delta;
use http::header;
use serde::Serialize;
use serde_json::Value;

use super::body::shown;
use super::change::ChangeView;
use super::error::{Error, Result};
use super::host::aged;
use super::path::{Inventory, Named};
use super::query::{Page, Query};
use super::section::Sections;
use crate::api::Api;
use crate::store::Connection;
use crate::store::host::Host;
use crate::store::inventory::{Delta, Info, delta_list, inventory_documents, inventory_list};
use crate::store::section::section_list;

/// `InventoryInfo` of docs/native-api.md.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InfoView {
    id: String,
    host: String,
    collected_at: String,
    hash: String,
    size: i64,
    sections: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    freshness: Option<Sections>,
}

impl InfoView {
    fn of(info: Info, freshness: Option<Sections>) -> Self {
        Self {
            freshness,
            id: info.id.to_string(),
            host: info.host.to_string(),
            collected_at: info.collected_at.rfc3339(),
            hash: info.hash,
            size: info.size,
            sections: info.sections,
        }
    }
}

/// `GET /hosts/{host}/inventories`
///
/// # Errors
/// A parameter breaks a rule, there is no such host; see [`crate::store::Error`].
pub async fn list(State(api): State<Api>, Named(host): Named, mut query: Query) -> Result<Json<Page<InfoView>>> {
    let (limit, before) = (query.limit()?, query.after()?);
    query.finish()?;
    let mut connection = api.engine.store.read().await?;
    let found = inventory_list(&mut connection, host.id, before, limit + 1).await?;
    // How old facts are is known of the newest inventory; older ones say what was.
    let mut newest = match before {
        None => Some(aged(&api, &host, section_list(&mut connection, host.id).await?)),
        Some(_) => None,
    };
    Ok(Json(Page::new(found, limit, |info| info.id, |info| InfoView::of(info, newest.take()))))
}

/// `InventoryChange` of docs/native-api.md.
#[derive(Clone, Debug, Serialize)]
pub struct DeltaView {
    inventory: String,
    at: String,
    severity: String,
    changes: Value,
}

/// `GET /hosts/{host}/inventory-changes`
///
/// # Errors
/// A parameter breaks a rule, there is no such host; see [`crate::store::Error`].
pub async fn changes(State(api): State<Api>, Named(host): Named, mut query: Query) -> Result<Json<Page<DeltaView>>> {
    let (limit, before) = (query.limit()?, query.after()?);
    query.finish()?;
    let mut connection = api.engine.store.read().await?;
    let found = delta_list(&mut connection, host.id, before, limit + 1).await?;
    let render = |delta: Delta| DeltaView {
        inventory: delta.inventory.to_string(),
        at: delta.at.rfc3339(),
        severity: delta.severity,
        changes: delta.changes,
    };
    Ok(Json(Page::new(found, limit, |delta| delta.inventory, render)))
}

/// `GET /hosts/{host}/inventories/{inventory}`
///
/// # Errors
/// There is no such host or inventory; see [`crate::store::Error`].
pub async fn show(
    State(api): State<Api>,
    Named(host): Named,
    Inventory(wanted): Inventory,
    mut query: Query,
) -> Result<Response> {
    let unprocessed = query.flag("unprocessed")?;
    query.finish()?;
    let mut connection = api.engine.store.read().await?;
    let id = resolve(&mut connection, &host, &wanted).await?;
    let (processed, raw) = documents(&mut connection, &host, id).await?;
    let text = if unprocessed { raw } else { processed };
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// What differs between two inventories.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    from: String,
    to: String,
    changes: Vec<ChangeView>,
}

/// `GET /hosts/{host}/inventory-diff`
///
/// # Errors
/// There is no such host or inventory; see [`crate::store::Error`].
pub async fn compare(State(api): State<Api>, Named(host): Named, mut query: Query) -> Result<Json<Comparison>> {
    let from = query.take("from")?.unwrap_or_else(|| "previous".into());
    let to = query.take("to")?.unwrap_or_else(|| "latest".into());
    query.finish()?;
    let mut connection = api.engine.store.read().await?;
    let from = resolve(&mut connection, &host, &from).await?;
    let to = resolve(&mut connection, &host, &to).await?;
    let old = documents(&mut connection, &host, from).await?.0;
    let new = documents(&mut connection, &host, to).await?.0;
    drop(connection);
    // Documents of 16 MiB take long enough to hold up everybody else on this thread.
    let found = tokio::task::spawn_blocking(move || differences(&old, &new)).await;
    let changes = found.map_err(|error| Error::internal(&error))??;
    Ok(Json(Comparison { from: from.to_string(), to: to.to_string(), changes }))
}

fn differences(old: &str, new: &str) -> Result<Vec<ChangeView>> {
    let read = |text| serde_json::from_str::<Value>(text).map_err(|error| Error::internal(&error));
    Ok(delta(&read(old)?, &read(new)?).into_iter().map(ChangeView::of).collect())
}

/// The inventory that a caller names: an id, `latest` or `previous`.
async fn resolve(connection: &mut Connection, host: &Host, wanted: &str) -> Result<InventoryId> {
    let back = match wanted {
        "latest" => 0,
        "previous" => 1,
        id => return id.parse().map_err(|_| none_of_id(host, id)),
    };
    nth(connection, host.id, back).await?.ok_or_else(|| match back {
        0 => Error::not_found(format!("{} has no inventory yet; introspect it first", host.name)),
        _ => Error::not_found(format!("{} has no two inventories yet: nothing changed since the first", host.name)),
    })
}

async fn nth(connection: &mut Connection, host: HostId, back: usize) -> Result<Option<InventoryId>> {
    let newest = inventory_list(connection, host, None, 2).await?;
    Ok(newest.get(back).map(|info| info.id))
}

/// The processed and the unprocessed text of an inventory.
async fn documents(connection: &mut Connection, host: &Host, id: InventoryId) -> Result<(String, String)> {
    let found = inventory_documents(connection, host.id, id).await?;
    found.ok_or_else(|| none_of_id(host, &id.to_string()))
}

fn none_of_id(host: &Host, id: &str) -> Error {
    let hint = "an id, `latest` or `previous` names one; old ones are dropped in time";
    Error::not_found(format!("{} has no inventory {}; {hint}", host.name, shown(id)))
}
