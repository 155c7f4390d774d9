//! Servers: our hosts as the dialect shows them (spec/hooks.md §4.1). The id is the host's number.

mod facts;
mod view;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use hostler_common::id::HostId;
use hostler_core::introspection::command::Command;
use hostler_core::machine::Input;
use http::StatusCode;

use super::Croit;
use super::body::empty;
use super::guard::Asker;
use super::page::{Columns, Kind, Paging, column, listed, row};
use crate::api::native::error::{Error, Result};
use crate::api::native::path::Id;
use crate::engine::IntrospectionDomain;
use crate::store::host::{AgentState, Host, host_by_number, host_find, host_list};
use crate::store::introspection::{DataKind, data_etags, data_find};
use facts::Facts;

/// What the list of servers can be filtered and sorted by.
const COLUMNS: Columns = &[
    column("id", Kind::Number),
    column("hostname", Kind::Text),
    column("state", Kind::Text),
    column("stateLabel", Kind::Text),
    column("macs", Kind::List),
    column("ip", Kind::Text),
    column("ips", Kind::List),
    column("image", Kind::Text),
    column("imageDescription", Kind::Text),
    column("machineId", Kind::Text),
    column("notes", Kind::Text),
    column("daemonVersion", Kind::Text),
];

/// How many hosts are read from the store at a time.
const CHUNK: u32 = 1000;

/// What was read from the last document of each host. A document is read once, not with each list.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<HashMap<HostId, (String, Arc<Facts>)>>);

impl Cache {
    fn get(&self, host: HostId, etag: &str) -> Option<Arc<Facts>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&host).filter(|(stored, _)| stored == etag).map(|(_, facts)| Arc::clone(facts))
    }

    fn put(&self, host: HostId, etag: String, facts: &Arc<Facts>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(host, (etag, Arc::clone(facts)));
    }

    fn keep(&self, hosts: &HashMap<HostId, String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|host, _| hosts.contains_key(host));
    }
}

async fn facts_of(croit: &Croit, host: HostId, etag: Option<&String>) -> Result<Arc<Facts>> {
    let Some(etag) = etag else { return Ok(Arc::default()) };
    if let Some(facts) = croit.servers.get(host, etag) {
        return Ok(facts);
    }
    let mut connection = croit.api.engine.store.read().await?;
    let Some(document) = data_find(&mut connection, host, DataKind::Processed).await? else {
        return Ok(Arc::default());
    };
    drop(connection);
    let read = tokio::task::spawn_blocking(move || Facts::read(&document.text).map(|facts| (facts, document.etag)));
    let (facts, etag) =
        read.await.map_err(|error| Error::internal(&error))?.map_err(|error| Error::internal(&error))?;
    let facts = Arc::new(facts);
    croit.servers.put(host, etag, &facts);
    Ok(facts)
}

/// `GET /servers`
pub(super) async fn list(State(croit): State<Croit>, paging: Paging) -> Result<Response> {
    let mut hosts: Vec<Host> = Vec::new();
    let mut connection = croit.api.engine.store.read().await?;
    loop {
        let after = hosts.last().map_or(0, |host| host.number);
        let more = host_list(&mut connection, after, None, CHUNK).await?;
        let last = more.len() < CHUNK as usize;
        hosts.extend(more);
        if last {
            break;
        }
    }
    let etags = data_etags(&mut connection).await?;
    drop(connection);
    croit.servers.keep(&etags);
    let now = croit.api.engine.clock.now();
    let mut rows = Vec::with_capacity(hosts.len());
    for host in hosts {
        let facts = facts_of(&croit, host.id, etags.get(&host.id)).await?;
        rows.push(row(&view::server(&host, &facts, now))?);
    }
    listed(COLUMNS, &paging, rows)
}

async fn find(croit: &Croit, number: i64) -> Result<(Host, Arc<Facts>)> {
    let mut connection = croit.api.engine.store.read().await?;
    let host = match host_by_number(&mut connection, number).await? {
        Some(id) => host_find(&mut connection, id).await?,
        None => None,
    };
    let host = host.ok_or_else(|| Error::not_found(format!("there is no server {number}")))?;
    let etags = data_etags(&mut connection).await?;
    drop(connection);
    let facts = facts_of(croit, host.id, etags.get(&host.id)).await?;
    Ok((host, facts))
}

/// The id of the host of that number.
///
/// # Errors
/// There is none.
pub(super) async fn id_of(croit: &Croit, number: i64) -> Result<HostId> {
    let found = host_by_number(&mut *croit.api.engine.store.read().await?, number).await?;
    found.ok_or_else(|| Error::not_found(format!("there is no server {number}")))
}

/// Whether a Ceph daemon was found on the server of that number.
///
/// # Errors
/// There is no such server.
pub(super) async fn has_service(croit: &Croit, number: i64, kind: &str, id: &str) -> Result<bool> {
    let (_, facts) = find(croit, number).await?;
    Ok(facts.daemons.iter().any(|daemon| daemon.kind == kind && daemon.id == id))
}

/// `GET /servers/{id}`
pub(super) async fn show(State(croit): State<Croit>, Id(number): Id<i64>) -> Result<Response> {
    let (host, facts) = find(&croit, number).await?;
    Ok(Answer(view::server(&host, &facts, croit.api.engine.clock.now())).into_response())
}

/// `GET /servers/{id}/services`
pub(super) async fn services(State(croit): State<Croit>, Id(number): Id<i64>) -> Result<Response> {
    let (_, facts) = find(&croit, number).await?;
    Ok(Answer(view::services(&facts)).into_response())
}

/// `POST /servers/{id}/redetect`
pub(super) async fn redetect(State(croit): State<Croit>, asker: Asker, Id(number): Id<i64>) -> Result<Response> {
    let (host, _) = find(&croit, number).await?;
    if host.agent_state == AgentState::Revoked {
        return Err(Error::conflict(format!("the agent of {} is revoked; enrol the server again", host.name)));
    }
    let input = Input::Command(Command::Start { manage_boot: None, sections: Vec::new() });
    let done = croit.api.engine.input::<IntrospectionDomain>(&host.id.to_string(), input, Some(asker.name())).await;
    done.map_err(|error| Error::from(error).of_state())?;
    Ok(empty(StatusCode::CREATED))
}
