//! Runs scripts on servers (spec/hooks.md §4, §10), and tries hooks with sample values (§8).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use hostler_common::hook::{Occurrence, Origin as Cause, Place};
use hostler_common::id::{HookId, HostId, ScriptId};
use hostler_common::script::{STDIN_MAX, ScriptFault, check_args, check_env};
use hostler_core::run::spec::DEADLINE_MAX;
use hostler_core::run::{HookOrigin, Origin, Quota, Spec};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::Croit;
use super::body::Json;
use super::failure::script_failure;
use super::guard::Asker;
use super::hook::{Variable, split};
use super::task;
use crate::api::native::error::{Error, Result};
use crate::api::native::path::Id;
use crate::store::host::{AgentState, Host, host_list, host_numbers};

/// How many hosts are read from the store at the most.
const HOSTS_MAX: u32 = 20_000;

/// `RunScriptRequest`
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunBody {
    args: Option<Vec<String>>,
    servers: Option<Vec<i64>>,
    script_id: Option<ScriptId>,
    script: Option<String>,
    revision: Option<u32>,
    labels: Option<BTreeMap<String, String>>,
    roles: Option<Vec<String>>,
    max_concurrency: Option<Value>,
    max_errors: Option<Value>,
    timeout_seconds: Option<u64>,
    run_as: Option<String>,
    env: Option<BTreeMap<String, Variable>>,
    secrets: Option<BTreeMap<String, String>>,
    stdin: Option<String>,
    success_exit_codes: Option<Vec<i32>>,
    #[serde(default)]
    leave_children: bool,
    #[serde(default)]
    canary: u32,
}

fn fault(fault: ScriptFault) -> Error {
    match fault {
        ScriptFault::TooLarge(text) => Error::new(StatusCode::PAYLOAD_TOO_LARGE, text),
        ScriptFault::Broken(text) => Error::new(StatusCode::BAD_REQUEST, text),
    }
}

fn quota(name: &str, given: Option<&Value>) -> Result<Option<Quota>> {
    let text = match given {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    text.parse().map(Some).map_err(|rule| Error::field(name, rule))
}

async fn all_hosts(croit: &Croit) -> Result<Vec<Host>> {
    let mut connection = croit.api.engine.store.read().await?;
    Ok(host_list(&mut connection, 0, None, HOSTS_MAX).await?)
}

/// The hosts that a request names, each once: first those that it numbers, in its order, then those that it describes.
async fn chosen(croit: &Croit, body: &RunBody) -> Result<Vec<HostId>> {
    let (mut hosts, mut seen) = (Vec::new(), HashSet::new());
    if let Some(numbers) = &body.servers {
        // The whole of every host is much to read for a script that is to run on few.
        let all = host_numbers(&mut *croit.api.engine.store.read().await?).await?;
        let known: HashMap<i64, HostId> = all.into_iter().map(|(id, number, _)| (number, id)).collect();
        for number in numbers {
            let host = known.get(number).copied();
            let host = host.ok_or_else(|| Error::field("servers", format_args!("there is no server {number}")))?;
            hosts.extend(seen.insert(host).then_some(host));
        }
    }
    if body.labels.is_some() || body.roles.is_some() {
        let fits = |host: &&Host| {
            let labels = body.labels.iter().flatten().all(|(name, value)| host.labels[name] == value.as_str());
            let roles = body.roles.as_ref().is_none_or(|roles| roles.iter().any(|role| host.roles.contains(role)));
            labels && roles && host.agent_state != AgentState::Revoked
        };
        let all = all_hosts(croit).await?;
        hosts.extend(all.iter().filter(fits).map(|host| host.id).filter(|host| seen.insert(*host)));
    }
    if hosts.is_empty() {
        return Err(Error::field("servers", "must name at least one server"));
    }
    Ok(hosts)
}

/// `POST /events/scripts/execute`
pub(super) async fn execute(State(croit): State<Croit>, asker: Asker, Json(body): Json<RunBody>) -> Result<Response> {
    let args = body.args.clone().ok_or_else(|| Error::field("args", "is required"))?;
    check_args(&args).map_err(fault)?;
    if body.servers.is_none() && body.labels.is_none() && body.roles.is_none() {
        return Err(Error::field("servers", "is required"));
    }
    let hosts = chosen(&croit, &body).await?;
    let (env, secrets) = split(body.env, body.secrets);
    let (env, secrets) = (env.unwrap_or_default(), secrets.unwrap_or_default());
    check_env(&env).map_err(fault)?;
    if body.stdin.as_ref().is_some_and(|stdin| stdin.len() > STDIN_MAX) {
        return Err(Error::new(StatusCode::PAYLOAD_TOO_LARGE, format!("stdin has more than {STDIN_MAX} bytes")));
    }
    let (script, origin) = match (body.script_id, body.script) {
        (Some(id), None) => {
            (croit.hooks().script_revision(id, body.revision).await.map_err(of_body)?.0.script, Origin::Execute)
        }
        (None, Some(contents)) => {
            (croit.hooks().script_verbatim(asker.name(), contents).await.map_err(script_failure)?, Origin::Verbatim)
        }
        _ => return Err(Error::new(StatusCode::BAD_REQUEST, "give either scriptId or script")),
    };
    let mut spec = Spec::new(format!("Script {}", script.name), script, hosts, origin);
    if let Some(seconds) = body.timeout_seconds {
        if !(1..=DEADLINE_MAX.as_secs()).contains(&seconds) {
            let rule = format_args!("must be from 1 to {}", DEADLINE_MAX.as_secs());
            return Err(Error::field("timeoutSeconds", rule));
        }
        spec.deadline = Duration::from_secs(seconds);
    }
    spec.args = args;
    spec.env = env;
    spec.secrets = secrets;
    spec.max_concurrency = quota("maxConcurrency", body.max_concurrency.as_ref())?.unwrap_or(spec.max_concurrency);
    spec.max_errors = quota("maxErrors", body.max_errors.as_ref())?;
    spec.run_as = body.run_as;
    spec.stdin = body.stdin;
    spec.success_codes = body.success_exit_codes.unwrap_or_default();
    spec.leave_children = body.leave_children;
    spec.canary = body.canary;
    begin(&croit, &asker, spec).await
}

/// What a body names and is not there is a wrong body, not a wrong path.
fn of_body(error: crate::store::Error) -> Error {
    match error {
        crate::store::Error::Refused(hostler_common::error::Class::NotFound, text) => Error::field("scriptId", text),
        other => other.into(),
    }
}

async fn begin(croit: &Croit, asker: &Asker, spec: Spec) -> Result<Response> {
    let task = croit.api.engine.run_start(spec, Some(asker.name())).await?;
    let view = task::whole(croit, task).await?;
    Ok(Answer(view).into_response())
}

/// What a hook is tried with.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TestBody {
    values: Option<BTreeMap<String, String>>,
    servers: Option<Vec<i64>>,
}

/// `POST /events/hooks/{id}/test`
pub(super) async fn test(
    State(croit): State<Croit>,
    asker: Asker,
    Id(id): Id<HookId>,
    Json(body): Json<TestBody>,
) -> Result<Response> {
    let hook = croit.hooks().hook(id).await?.hook;
    let given = body.values.unwrap_or_default();
    let known: Vec<&str> = hook.point.parameters().iter().map(|parameter| parameter.name).collect();
    if let Some(name) = given.keys().find(|name| !known.contains(&name.as_str())) {
        let name = hostler_common::text::clip(name, 64);
        return Err(Error::field("values", format_args!("{name:?} is none of {}", known.join(", "))));
    }
    let values = known.iter().map(|name| given.get(*name).cloned().unwrap_or_else(|| format!("sample-{name}")));
    let values: Vec<String> = values.collect();
    let at = croit.api.engine.clock.now();
    let occurrence = Occurrence { id: Uuid::now_v7(), point: hook.point, origin: Cause::Test, at, values };
    let hosts = places(&croit, &hook, body.servers.as_deref()).await?;
    let name = format!("Hook {}: {} (test)", hook.point.name(), hook.script.name);
    let mut spec = Spec::new(name, hook.script.clone(), hosts, Origin::Execute);
    spec.args = occurrence.values.clone();
    spec.deadline = Duration::from_secs(u64::from(hook.timeout_s));
    spec.run_as = hook.run_as;
    spec.env = hook.env;
    spec.secrets = hook.secrets;
    spec.leave_children = hook.leave_children;
    spec.origin = Origin::Hook(Box::new(HookOrigin {
        hook: hook.id,
        script: hook.script_id,
        occurrence,
        blocking: false,
        any_one: hook.point.place() == Place::OneHost,
        stdin_json: hook.stdin_json,
    }));
    begin(&croit, &asker, spec).await
}

/// Where a hook is tried: on the hosts that are named, else where it is bound to.
async fn places(croit: &Croit, hook: &hostler_core::hook::Hook, named: Option<&[i64]>) -> Result<Vec<HostId>> {
    let all = all_hosts(croit).await?;
    let hosts: Vec<HostId> = match (hook.point.place(), named) {
        (Place::Management, _) => {
            let manages = |host: &&Host| {
                host.agent_state == AgentState::Online && host.roles.iter().any(|role| role == "management")
            };
            all.iter().find(manages).map(|host| host.id).into_iter().collect()
        }
        (Place::Host | Place::OneHost, Some(numbers)) => {
            all.iter().filter(|host| numbers.contains(&host.number)).map(|host| host.id).collect()
        }
        (Place::Host | Place::OneHost, None) => {
            all.iter().filter(|host| hook.covers(host.id)).map(|host| host.id).collect()
        }
    };
    if hosts.is_empty() {
        return Err(Error::conflict(format!("there is no server on which hook {} could be tried", hook.id)));
    }
    Ok(hosts)
}
