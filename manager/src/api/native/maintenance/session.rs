//! Sessions at a glance, and what one does right now.

use axum::Json;
use axum::extract::State;
use hostler_common::id::SessionId;
use hostler_core::machine::Machine as _;
use hostler_core::maintenance::outlook::{Wait, of_session, of_stay};
use hostler_core::maintenance::session::Session;
use hostler_core::maintenance::state;
use hostler_core::maintenance::stay::Stay;
use hostler_core::maintenance::word::{errand_subject, stay_subject};

use super::super::error::{Error, Result};
use super::super::path::Id;
use super::super::query::{Page, Query};
use super::view::{Glance, NowView, Seen};
use crate::api::Api;
use crate::store::Connection;
use crate::store::host::host_numbers;
use crate::store::machine::machine_find;
use crate::store::maintenance::{Filter, host_rows, phase_counts, session_get, session_list};

/// Of how many hosts at work it is said what they do.
const STAYS_MAX: usize = 100;

/// `GET /maintenance/sessions`: the oldest first.
///
/// # Errors
/// A parameter breaks a rule; see [`crate::store::Error`].
pub async fn list(State(api): State<Api>, mut query: Query) -> Result<Json<Page<Glance>>> {
    let names = || state::State::ALL.map(state::State::name).join(", ");
    let filter = Filter {
        state: query.word("state", &names(), state::State::from_name)?,
        deleted: query.flag("deleted")?,
        after: query.after()?,
        ..Filter::default()
    };
    let limit = query.limit()?;
    query.finish()?;
    let mut connection = api.engine.store.read().await?;
    let found = session_list(&mut connection, &Filter { limit: Some(limit + 1), ..filter }).await?;
    let ids: Vec<SessionId> = found.iter().map(|row| row.id).collect();
    let mut counts = phase_counts(&mut connection, &ids).await?;
    let mut rows = Vec::with_capacity(found.len());
    for row in found {
        let machine = machine(&mut connection, row.id).await?;
        let counts = counts.remove(&row.id).unwrap_or_default();
        rows.push((row, machine, counts));
    }
    Ok(Json(Page::new(rows, limit, |(row, ..)| row.id, |(row, machine, counts)| Glance::of(row, &machine, counts))))
}

async fn machine(connection: &mut Connection, id: SessionId) -> Result<Session> {
    let found = machine_find::<Session>(connection, Session::KIND, &id.to_string()).await?;
    found.map(|record| record.machine).ok_or_else(|| no_session(id))
}

fn no_session(id: SessionId) -> Error {
    Error::not_found(format!("there is no maintenance session {id}"))
}

/// `GET /maintenance/sessions/{id}`: also of one that was deleted.
///
/// # Errors
/// There is no such session; see [`crate::store::Error`].
pub async fn show(State(api): State<Api>, Id(id): Id<SessionId>) -> Result<Json<NowView>> {
    let mut connection = api.engine.store.read().await?;
    let row = session_get(&mut connection, id).await?.ok_or_else(|| no_session(id))?;
    let session = machine(&mut connection, id).await?;
    let hosts = host_rows(&mut connection, id).await?;
    let mut stays: Vec<Wait> = Vec::new();
    let subjects = session.lanes.iter().map(|lane| stay_subject(id.0, lane.host));
    let errand = session.errand.as_ref().map(|errand| errand_subject(id.0, errand.host, errand.kind));
    for subject in subjects.chain(errand).take(STAYS_MAX) {
        let found = machine_find::<Stay>(&mut connection, Stay::KIND, &subject).await?;
        stays.extend(found.and_then(|record| of_stay(&record.machine)));
    }
    let names = host_numbers(&mut connection).await?.into_iter().map(|(id, _, name)| (id, name)).collect();
    let waits = of_session(&session);
    let now = api.engine.clock.now();
    Ok(Json(NowView::of(Seen { row, session, hosts, stays, waits, names, now })))
}
