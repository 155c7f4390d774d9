//! Everything about a session, and its hosts (spec/maintenance.md §1.8).

use std::collections::BTreeMap;

use axum::body::Body;
use hostler_core::maintenance::host::{HostPhase, SessionHost};
use hostler_core::maintenance::instance::SessionInstance;
use hostler_core::maintenance::outlook::phase_of;
use hostler_core::maintenance::session::Session;
use hostler_core::maintenance::spec::Download;
use hostler_core::maintenance::state::State;
use http::Response;
use serde_json::{Value, json};

use super::error::{Failure, shown};
use super::moment::{maybe, text};
use super::render::{self, Names};
use super::session::{PAGE_MAX, find, limit, machine};
use super::transport::Call;
use crate::store::Connection;
use crate::store::host::host_numbers;
use crate::store::maintenance::{
    DownloadRow, PluginStand, ProjectRow, SessionRow, download_rows, host_rows, instance_page, plugin_stands,
    project_rows,
};

/// What belongs to a session, as far as this page shows it.
struct Rows {
    hosts: Vec<SessionHost>,
    /// How many hosts are in which phase, on all pages.
    phases: BTreeMap<HostPhase, usize>,
    projects: Vec<ProjectRow>,
    instances: Vec<SessionInstance>,
    plugins: Vec<PluginStand>,
    downloads: Vec<DownloadRow>,
    /// After what the next page begins, list by list.
    next: Value,
}

/// A page of a list: what comes behind the entry called `after`, and the name of the last entry if there are more.
fn page<T>(
    mut all: Vec<T>,
    after: Option<&str>,
    most: u32,
    name: impl Fn(&T) -> &str,
) -> Result<(Vec<T>, Option<String>), Failure> {
    if let Some(after) = after {
        let place = all.iter().position(|one| name(one) == after);
        let place = place.ok_or_else(|| Failure::field("after", format_args!("there is no {:?}", shown(after))))?;
        all.drain(..=place);
    }
    let more = all.len() > most as usize;
    all.truncate(most as usize);
    let next = all.last().filter(|_| more).map(|last| name(last).to_owned());
    Ok((all, next))
}

impl Rows {
    /// Those of the page that is asked for. Nothing that grows with the number of instances is read whole.
    async fn read(call: &Call<'_>, connection: &mut Connection, row: &SessionRow) -> Result<Self, Failure> {
        let most = limit(call, Some(PAGE_MAX))?.unwrap_or(PAGE_MAX);
        let after = |list: &str| call.parameter(&format!("{list}_after"));
        let hosts = host_rows(connection, row.id).await?;
        let mut phases = BTreeMap::new();
        hosts.iter().for_each(|host| *phases.entry(host.phase).or_default() += 1);
        let (hosts, next_host) = page(hosts, after("hosts").as_deref(), most, |host| &host.name)?;
        let (projects, next_project) =
            page(project_rows(connection, row.id).await?, after("projects").as_deref(), most, |row| &row.project)?;
        let from = after("instances").unwrap_or_default();
        let instances = instance_page(connection, row.id, &from, most + 1).await?;
        let (instances, next_instance) = page(instances, None, most, |one| &one.id)?;
        let mut plugins = plugin_stands(connection, row.id).await?;
        let first = after("hosts").is_none();
        plugins.retain(|stand| stand.host.map_or(first, |host| hosts.iter().any(|shown| shown.host == host)));
        let downloads = download_rows(connection, row.id).await?;
        let next = json!({ "hosts": next_host, "projects": next_project, "instances": next_instance });
        Ok(Self { hosts, phases, projects, instances, plugins, downloads, next })
    }
}

/// `GET /v1/maintenance/{session}/detail`. Deleted sessions are still to be seen here.
pub(super) async fn show(call: &Call<'_>, id: &str) -> Result<Response<Body>, Failure> {
    let row = find(call, id, true).await?;
    let session = machine(call, row.id).await?;
    let mut connection = call.engine().store.read().await?;
    let rows = Rows::read(call, &mut connection, &row).await?;
    let names = Names::new(host_numbers(&mut connection).await?, &rows.hosts);
    Ok(render::json(&body(&row, &session, &rows, &names)))
}

fn body(row: &SessionRow, session: &Session, rows: &Rows, names: &Names) -> Value {
    let spec = &*session.spec;
    let failed = row.state == State::MaintenanceFailed;
    let mut body = json!({
        "session_id": row.id.to_string(),
        "state": row.state.name(),
        "prev_state": row.prev_state.map(State::name),
        "maintenance_at": text(row.maintenance_at),
        "workflow": spec.workflow.name(),
        "metadata": spec.metadata,
        "meta": spec.metadata,
        "percent_done": row.percent,
        "paused": row.paused,
        "phase": phase_of(session.phase, &rows.phases),
        "reason": render::reason(session.reason.as_ref(), names),
        "warnings": session.warnings,
        "hosts": rows.hosts.iter().map(|host| render::host(host, names)).collect::<Vec<_>>(),
        "projects": rows.projects.iter().map(project).collect::<Vec<_>>(),
        "instances": rows.instances.iter().map(|one| instance(one, names)).collect::<Vec<_>>(),
        "action_plugins": spec.actions,
        "action_plugin_instances": plugin_instances(&rows.plugins, names),
        "downloads": downloads(session, &rows.downloads),
        "continue_with": row.prev_state.filter(|_| failed).map(State::name),
    });
    let more = json!({
        "name": spec.name,
        "description": spec.reason,
        "labels": spec.labels,
        "policy": spec.policy,
        "created_by": row.created_by,
        "created_at": text(row.created_at),
        "entered_at": text(row.entered_at),
        "deleted_at": maybe(row.deleted_at),
        "next": rows.next,
    });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    body
}

fn project(row: &ProjectRow) -> Value {
    json!({
        "project_id": row.project, "state": row.state, "reply_at": maybe(row.reply_at), "subscribed": row.subscribed,
    })
}

fn instance(one: &SessionInstance, names: &Names) -> Value {
    json!({
        "instance_id": one.id,
        "instance_name": one.name,
        "project_id": one.project,
        "host": names.of(one.host),
        "state": one.state,
        "project_state": one.project_state,
        "action": one.action.map(|action| action.name()),
        "action_done": one.action_done,
        "details": one.details,
        "impacted_from": maybe(one.impacted_from),
        "recovered_at": maybe(one.recovered_at),
    })
}

/// Where plug-ins stand on hosts: the last attempt of each.
fn plugin_instances(stands: &[PluginStand], names: &Names) -> Vec<Value> {
    let show = |stand: &PluginStand| {
        // Upstream's name of the management node.
        let host = stand.host.map_or_else(|| "localhost".to_owned(), |host| names.of(host));
        json!({ "plugin": stand.plugin, "hostname": host, "state": stand.state })
    };
    stands.iter().map(show).collect()
}

/// Files, and where they stand (§5.5).
fn downloads(session: &Session, rows: &[DownloadRow]) -> Vec<Value> {
    let show = |(place, file): (u32, &Download)| {
        let row = rows.iter().find(|row| row.place == place);
        let digest = row.and_then(|row| row.digest).map(|digest| digest.to_string());
        json!({
            "remote_file": file.url,
            "local_file": file.name,
            "sha256": digest.or_else(|| file.sha256.clone()),
            "size": row.and_then(|row| row.size).or(file.size),
            "state": row.map_or("PENDING", |row| row.state.name()),
            "details": row.and_then(|row| row.reason.as_ref()).map(|reason| &reason.text),
            "attempts": row.map_or(0, |row| row.attempts),
        })
    };
    (0..).zip(&session.spec.download).map(show).collect()
}

/// `GET /v1/maintenance/{session}/hosts`.
pub(super) async fn hosts(call: &Call<'_>, id: &str) -> Result<Response<Body>, Failure> {
    let row = find(call, id, true).await?;
    let most = limit(call, Some(PAGE_MAX))?.unwrap_or(PAGE_MAX);
    let mut connection = call.engine().store.read().await?;
    let all = host_rows(&mut connection, row.id).await?;
    let (hosts, next) = page(all, call.parameter("after").as_deref(), most, |host| &host.name)?;
    let names = Names::new(host_numbers(&mut connection).await?, &hosts);
    let shown: Vec<Value> = hosts.iter().map(|host| render::host(host, &names)).collect();
    Ok(render::json(&json!({ "session_id": row.id.to_string(), "hosts": shown, "next": next })))
}
