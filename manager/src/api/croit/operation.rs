//! Changes of servers and clusters that agents make, with the hooks that surround them (spec/hooks.md §4.1, §4.2, §7).

use std::time::Duration;

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use hostler_common::cluster::ClusterState;
use hostler_common::id::{HostId, TaskId};
use hostler_common::step::{CephDaemon, CephFlag, Step, UnitAction};
use hostler_core::operation::OperationOptions;
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Json, empty};
use super::guard::Asker;
use super::parameters::Parameters;
use super::{Croit, server, task};
use crate::api::native::error::{Error, Result};
use crate::api::native::path::Id;
use crate::store::task::{Task, task_find};

/// How long a change that answers with its outcome is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// The check that says which flags are set.
const FLAGS_CHECK: &str = "OSDMAP_FLAGS";

/// The flags of a cluster that operators set, and what each does.
const FLAGS: &[(&str, &str)] = &[
    ("noout", "OSDs that are down are not marked out, so their data are not copied elsewhere."),
    ("noin", "OSDs that were out are not marked in when they come up."),
    ("nodown", "OSDs that do not answer are not marked down."),
    ("noup", "OSDs that start are not marked up."),
    ("nobackfill", "Data are not moved to new places."),
    ("norebalance", "Data are moved only where copies are missing."),
    ("norecover", "Missing copies are not made again."),
    ("noscrub", "Data are not scrubbed."),
    ("nodeep-scrub", "Data are not scrubbed deeply."),
    ("nosnaptrim", "Removed snapshots are not cleaned up."),
    ("notieragent", "Cache tiers are not flushed."),
    ("pause", "Clients can neither read nor write."),
];

/// A change of a server.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StepBody {
    step: Value,
    #[serde(default)]
    skip_hooks: bool,
}

/// 201 with the place of the task.
fn begun(task: TaskId) -> Response {
    let mut response = empty(StatusCode::CREATED);
    if let Ok(place) = HeaderValue::from_str(&format!("/api/tasks/{task}")) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

/// `POST /servers/{id}/steps`
pub(super) async fn step(
    State(croit): State<Croit>,
    asker: Asker,
    Id(number): Id<i64>,
    Json(body): Json<StepBody>,
) -> Result<Response> {
    let step: Step =
        serde_json::from_value(body.step).map_err(|error| Error::field("step", format_args!("is none: {error}")))?;
    let host = server::id_of(&croit, number).await?;
    let options = OperationOptions { skip_hooks: body.skip_hooks, ..OperationOptions::default() };
    let task = croit.api.engine.operation_start(step, host, options, Some(asker.name())).await?;
    Ok(Answer(task::whole(&croit, task).await?).into_response())
}

/// `POST /servers/{id}/services/{service}/{action}`
pub(super) async fn service(
    State(croit): State<Croit>,
    asker: Asker,
    Path((number, service, action)): Path<(String, String, String)>,
) -> Result<Response> {
    let number = number.parse().map_err(|_| Error::not_found("there is no such server"))?;
    let action = match action.as_str() {
        "start" => UnitAction::Start,
        "stop" => UnitAction::Stop,
        "restart" => UnitAction::Restart,
        _ => return Err(Error::not_found("a service can be started, stopped and restarted")),
    };
    let host = server::id_of(&croit, number).await?;
    let missing = || Error::not_found(format!("server {number} has no such service; see /servers/{number}/services"));
    let (kind, id) = service.split_once('.').ok_or_else(missing)?;
    if !server::has_service(&croit, number, kind, id).await? {
        return Err(missing());
    }
    let step = Step::CephDaemon(CephDaemon { kind: kind.to_owned(), id: id.to_owned(), action });
    let options = OperationOptions::default();
    Ok(begun(croit.api.engine.operation_start(step, host, options, Some(asker.name())).await?))
}

/// The cluster that a request is about: the one that it names, else the only one. With the host that watches it.
pub(super) fn cluster(croit: &Croit, named: Option<&str>) -> Result<(HostId, ClusterState)> {
    let mut all = croit.api.fleet.cluster_states();
    match named {
        Some(fsid) => {
            let found = all.into_iter().find(|(_, state)| state.fsid == fsid);
            found.ok_or_else(|| Error::not_found("no agent watches a cluster of that id"))
        }
        None if all.len() > 1 => Err(Error::field("cluster", "is required: several clusters are watched")),
        None => all.pop().ok_or_else(|| Error::conflict("no agent watches a Ceph cluster")),
    }
}

/// The flags that are set, as far as the cluster's health says it.
fn set_flags(state: &ClusterState) -> Option<Vec<&str>> {
    let health = state.health.as_ref()?;
    let message = health.checks.get(FLAGS_CHECK).map_or("", |check| check.message.as_str());
    let list = message.split(" flag").next().unwrap_or_default();
    Some(list.split(',').map(str::trim).filter(|flag| !flag.is_empty()).collect())
}

/// `GET /maintenance/flags`
pub(super) async fn flags(State(croit): State<Croit>, parameters: Parameters) -> Result<Response> {
    let (_, state) = cluster(&croit, parameters.get("cluster"))?;
    let set = set_flags(&state);
    let is_set = |name: &str| {
        // Ceph calls this one by what it does.
        let names = if name == "pause" { ["pause", "pauserd"] } else { [name, name] };
        set.as_ref().map(|set| set.iter().any(|flag| names.contains(flag)))
    };
    let shown: Vec<Value> = FLAGS
        .iter()
        .map(|(name, description)| {
            json!({ "name": name, "description": description, "recommendedState": false, "currentState": is_set(name) })
        })
        .collect();
    Ok(Answer(shown).into_response())
}

/// `PUT /maintenance/flags/{flag}/set` and `/unset`
pub(super) async fn flag(
    State(croit): State<Croit>,
    asker: Asker,
    Path((flag, change)): Path<(String, String)>,
    parameters: Parameters,
) -> Result<Response> {
    let set = match change.as_str() {
        "set" => true,
        "unset" => false,
        _ => return Err(Error::not_found("a flag can be set and unset")),
    };
    if !FLAGS.iter().any(|(name, _)| *name == flag) {
        return Err(Error::not_found("there is no such flag; see /maintenance/flags"));
    }
    let (host, _) = cluster(&croit, parameters.get("cluster"))?;
    made(&croit, &asker, host, Step::CephFlag(CephFlag { flag, set })).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Makes a change of a cluster and answers with its task when that has ended, or as it is when [`PATIENCE`] is over. One that
/// failed is a conflict with its reason.
pub(super) async fn made(croit: &Croit, asker: &Asker, host: HostId, step: Step) -> Result<Task> {
    let id = croit.api.engine.operation_start(step, host, OperationOptions::default(), Some(asker.name())).await?;
    let task = settled(croit, id).await?;
    if task.state.is_final() && task.status_code != 0 {
        return Err(Error::conflict(task.output.trim().to_owned()));
    }
    Ok(task)
}

/// A task when it has ended, or as it is when [`PATIENCE`] is over.
async fn settled(croit: &Croit, id: TaskId) -> Result<Task> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut changes = croit.api.engine.wake.watch();
    loop {
        let found = task_find(&mut *croit.api.engine.store.read().await?, id).await?;
        let task = found.ok_or_else(|| Error::internal(&"a task that was begun is gone"))?;
        if task.state.is_final() || tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
            return Ok(task);
        }
    }
}

#[cfg(test)]
mod tests {
    use hostler_common::cluster::{Check, Health};

    use super::*;

    #[test]
    fn flags_are_read_from_the_health() {
        let mut state = ClusterState::default();
        assert_eq!(set_flags(&state), None, "nobody knows");
        state.health = Some(Health::default());
        assert_eq!(set_flags(&state), Some(vec![]));
        let message = "noout,norebalance flag(s) set".to_owned();
        let checks = [(FLAGS_CHECK.to_owned(), Check { message, ..Check::default() })];
        state.health = Some(Health { checks: checks.into(), ..Health::default() });
        assert_eq!(set_flags(&state), Some(vec!["noout", "norebalance"]));
    }
}
