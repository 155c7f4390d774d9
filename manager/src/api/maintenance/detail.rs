//! Everything about a session, and its hosts (spec/maintenance.md §1.8).

use std::collections::BTreeMap;

use axum::body::Body;
use hostler_core::maintenance::host::SessionHost;
use hostler_core::maintenance::instance::SessionInstance;
use hostler_core::maintenance::session::Session;
use hostler_core::maintenance::state::State;
use http::Response;
use serde_json::{Value, json};

use super::error::Failure;
use super::moment::{maybe, text};
use super::render::{self, Names};
use super::session::{PAGE_MAX, find, machine};
use super::transport::Call;
use crate::store::host::host_numbers;
use crate::store::maintenance::{
    ProjectRow, SessionRow, StepFilter, StepRow, host_rows, instance_rows, project_rows, step_rows,
};

/// What belongs to a session.
struct Rows {
    hosts: Vec<SessionHost>,
    projects: Vec<ProjectRow>,
    instances: Vec<SessionInstance>,
    plugins: Vec<StepRow>,
}

/// `GET /v1/maintenance/{session}/detail`. Deleted sessions are still to be seen here.
pub(super) async fn show(call: &Call<'_>, id: &str) -> Result<Response<Body>, Failure> {
    let row = find(call, id, true).await?;
    let session = machine(call, row.id).await?;
    let mut connection = call.engine().store.read().await?;
    let plugins = StepFilter { kind: Some("plugin".into()), ..StepFilter::default() };
    let rows = Rows {
        hosts: host_rows(&mut connection, row.id).await?,
        projects: project_rows(&mut connection, row.id).await?,
        instances: instance_rows(&mut connection, row.id, None).await?,
        plugins: step_rows(&mut connection, row.id, &plugins, 0, PAGE_MAX).await?,
    };
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
        "phase": session.phase,
        "reason": render::reason(session.reason.as_ref(), names),
        "warnings": session.warnings,
        "hosts": rows.hosts.iter().map(|host| render::host(host, names)).collect::<Vec<_>>(),
        "projects": rows.projects.iter().map(project).collect::<Vec<_>>(),
        "instances": rows.instances.iter().map(|one| instance(one, names)).collect::<Vec<_>>(),
        "action_plugins": spec.actions,
        "action_plugin_instances": plugin_instances(&rows.plugins, names),
        "downloads": downloads(session, row.state),
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
fn plugin_instances(steps: &[StepRow], names: &Names) -> Vec<Value> {
    let mut last: BTreeMap<(String, String), &str> = BTreeMap::new();
    for step in steps {
        // Upstream's name of the management node.
        let host = step.host.map_or_else(|| "localhost".to_owned(), |host| names.of(host));
        last.insert((step.name.clone(), host), &step.state);
    }
    let show = |((plugin, host), state): ((String, String), &str)| json!({ "plugin": plugin, "hostname": host, "state": state });
    last.into_iter().map(show).collect()
}

/// Files, as far as the state of the session tells: it does not begin before all are there (§5.5).
fn downloads(session: &Session, state: State) -> Vec<Value> {
    let word = match state {
        State::Maintenance => "PENDING",
        State::MaintenanceFailed if session.prev_state == Some(State::Maintenance) => "PENDING",
        _ => "VERIFIED",
    };
    let show = |file: &hostler_core::maintenance::spec::Download| json!({ "remote_file": file.url, "local_file": file.name, "sha256": file.sha256, "size": file.size, "state": word });
    session.spec.download.iter().map(show).collect()
}

/// `GET /v1/maintenance/{session}/hosts`.
pub(super) async fn hosts(call: &Call<'_>, id: &str) -> Result<Response<Body>, Failure> {
    let row = find(call, id, true).await?;
    let mut connection = call.engine().store.read().await?;
    let hosts = host_rows(&mut connection, row.id).await?;
    let names = Names::new(host_numbers(&mut connection).await?, &hosts);
    let shown: Vec<Value> = hosts.iter().map(|host| render::host(host, &names)).collect();
    Ok(render::json(&json!({ "session_id": row.id.to_string(), "hosts": shown })))
}
