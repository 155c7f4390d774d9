//! Data that are held back because they are of another machine: look, accept, discard.

use axum::Json;
use axum::extract::State;
use hostler_core::introspection::summary::Identity;
use http::StatusCode;
use serde::Serialize;

use super::body::Fields;
use super::error::{Error, Result};
use super::guard::Actor;
use super::introspect::Begun;
use super::path::Named;
use super::query::Query;
use crate::api::Api;
use crate::store::held::{HeldInfo, held_find};

/// Which machine, on the wire.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineView {
    system_uuid: Option<String>,
    serial: Option<String>,
}

impl MachineView {
    fn of(identity: Identity) -> Self {
        Self { system_uuid: identity.system_uuid, serial: identity.serial }
    }
}

/// `IdentityChange` of docs/native-api.md.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeView {
    held_at: String,
    known: MachineView,
    found: MachineView,
}

impl ChangeView {
    /// What is held back of a host.
    #[must_use]
    pub fn of(info: HeldInfo) -> Self {
        let (known, found) = (MachineView::of(info.known), MachineView::of(info.found));
        Self { held_at: info.held_at.rfc3339(), known, found }
    }
}

/// Which machine a host is, and which it seems to be now.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityView {
    known: MachineView,
    change: Option<ChangeView>,
}

/// `GET /hosts/{host}/identity`
///
/// # Errors
/// There is no such host; see [`crate::store::Error`].
pub async fn show(State(api): State<Api>, Named(host): Named, query: Query) -> Result<Json<IdentityView>> {
    query.finish()?;
    let mut connection = api.engine.store.read().await?;
    let held = held_find(&mut connection, host.id).await?;
    Ok(Json(IdentityView { known: MachineView::of(host.identity), change: held.map(ChangeView::of) }))
}

/// `POST /hosts/{host}/identity/accept`
///
/// # Errors
/// Nothing is held back, a run is under way; see [`crate::store::Error`].
pub async fn accept(
    State(api): State<Api>,
    Actor(actor): Actor,
    Named(host): Named,
    fields: Fields,
) -> Result<(StatusCode, Json<Begun>)> {
    fields.finish()?;
    let done = api.engine.identity_accept(host.id, &actor).await?;
    let task = done.task.ok_or_else(|| Error::internal(&"an introspection began without a task"))?;
    Ok((StatusCode::ACCEPTED, Json(Begun::of(task))))
}

/// `POST /hosts/{host}/identity/discard`
///
/// # Errors
/// Nothing is held back; see [`crate::store::Error`].
pub async fn discard(
    State(api): State<Api>,
    Actor(actor): Actor,
    Named(host): Named,
    fields: Fields,
) -> Result<StatusCode> {
    fields.finish()?;
    api.engine.identity_discard(host.id, &actor).await?;
    Ok(StatusCode::NO_CONTENT)
}
