//! Hooks, and the moments to which they can be bound (spec/hooks.md §3-§6).

use std::collections::{BTreeMap, HashMap};

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use hostler_common::hook::{HookPoint, OnFailure, Place};
use hostler_common::id::{HookId, HostId, ScriptId};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use super::Croit;
use super::body::{Json, empty};
use super::guard::Asker;
use super::page::{Columns, Kind, Paging, column, listed, row};
use crate::api::native::error::{Error, Result};
use crate::api::native::path::Id;
use crate::hooks::{HookChange, Patch};
use crate::store::hook::Stored;
use crate::store::host::host_numbers;

/// What the list of hooks can be filtered and sorted by.
const COLUMNS: Columns = &[
    column("id", Kind::Number),
    column("scriptId", Kind::Number),
    column("scriptName", Kind::Text),
    column("event", Kind::Text),
    column("allServers", Kind::Flag),
    column("serverIds", Kind::List),
    column("serverNames", Kind::List),
    column("enabled", Kind::Flag),
    column("order", Kind::Number),
];

/// Points that clients of the older interface do not know (spec/hooks.md §1.1).
const NEWER: [HookPoint; 3] = [HookPoint::OnHealthImprove, HookPoint::OnCroitStartup, HookPoint::OnCroitAsyncStartup];

/// Numbers and names of hosts.
pub(super) struct Servers(HashMap<HostId, (i64, String)>);

impl Servers {
    /// The numbers of hosts, in their order.
    pub(super) fn numbers(&self, hosts: &[HostId]) -> Vec<i64> {
        hosts.iter().filter_map(|host| self.0.get(host)).map(|(number, _)| *number).collect()
    }

    fn names(&self, hosts: &[HostId]) -> Vec<String> {
        hosts.iter().filter_map(|host| self.0.get(host)).map(|(_, name)| name.clone()).collect()
    }
}

/// Numbers and names of all hosts.
pub(super) async fn server_numbers(croit: &Croit) -> Result<Servers> {
    let mut connection = croit.api.engine.store.read().await?;
    let all = host_numbers(&mut connection).await?;
    Ok(Servers(all.into_iter().map(|(id, number, name)| (id, (number, name))).collect()))
}

/// `SimpleHookInfo` as a request, and what `HookRequest` and `HookUpdateRequest` have in common with it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SimpleHook {
    event: Option<String>,
    all_servers: Option<bool>,
    server_ids: Option<Vec<i64>>,
    enabled: Option<bool>,
    order: Option<i32>,
    on_failure: Option<OnFailure>,
    timeout_seconds: Option<u32>,
    #[serde(default, deserialize_with = "nullable")]
    run_as: Option<Option<String>>,
    env: Option<BTreeMap<String, Variable>>,
    secrets: Option<BTreeMap<String, String>>,
    #[serde(default, deserialize_with = "nullable")]
    max_parallel: Option<Option<u32>>,
    stdin: Option<Stdin>,
    external: Option<bool>,
    leave_children: Option<bool>,
    #[serde(default, deserialize_with = "nullable")]
    revision: Option<Option<u32>>,
}

/// `HookRequest` and `HookUpdateRequest`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HookBody {
    script_id: Option<ScriptId>,
    #[serde(flatten)]
    rest: SimpleHook,
}

/// The value of a variable: a text, or a stored secret, which comes as a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Variable {
    /// The value itself.
    Text(String),
    /// The name of a stored secret.
    Secret {
        /// Which.
        secret: String,
    },
}

/// What a script reads from its standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stdin {
    /// Nothing.
    None,
    /// The occurrence.
    Json,
}

/// A field that may be there as null, which says something else than its absence.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> std::result::Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// Texts by name; `None` where nothing is said of them.
type Texts = Option<BTreeMap<String, String>>;

/// Tells plain variables from those that name secrets.
pub(super) fn split(variables: Option<BTreeMap<String, Variable>>, files: Texts) -> (Texts, Texts) {
    let Some(variables) = variables else { return (None, files) };
    let (mut plain, mut secrets) = (BTreeMap::new(), files.clone().unwrap_or_default());
    for (name, variable) in variables {
        match variable {
            Variable::Text(text) => drop(plain.insert(name, text)),
            Variable::Secret { secret } => drop(secrets.insert(name, secret)),
        }
    }
    let secrets = if secrets.is_empty() && files.is_none() { None } else { Some(secrets) };
    (Some(plain), secrets)
}

/// The hook point of that name.
///
/// # Errors
/// There is none.
pub(super) fn point(name: &str) -> Result<HookPoint> {
    let found = HookPoint::ALL.iter().copied().find(|point| point.name() == name);
    found.ok_or_else(|| {
        let name = hostler_common::text::clip(name, 64);
        Error::field("event", format_args!("there is no event {name:?}; GET /api/events/hooks/hook-points lists them"))
    })
}

impl SimpleHook {
    /// What the layer below is asked for.
    ///
    /// # Errors
    /// The event is none.
    pub(super) fn change(self) -> Result<HookChange> {
        if self.event.is_none() {
            return Err(Error::field("event", "is required"));
        }
        self.partial()
    }

    fn partial(self) -> Result<HookChange> {
        let (env, secrets) = split(self.env, self.secrets);
        Ok(HookChange {
            script: None,
            point: self.event.as_deref().map(point).transpose()?,
            all_hosts: self.all_servers,
            hosts: self.server_ids,
            patch: Patch {
                enabled: self.enabled,
                order: self.order,
                on_failure: self.on_failure,
                timeout_s: self.timeout_seconds,
                run_as: self.run_as,
                env,
                secrets,
                max_parallel: self.max_parallel,
                stdin_json: self.stdin.map(|stdin| stdin == Stdin::Json),
                external: self.external,
                leave_children: self.leave_children,
                revision: self.revision,
            },
        })
    }
}

/// `HookInfo`, with what we have beyond it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HookInfo {
    id: i64,
    script_id: i64,
    script_name: String,
    event: &'static str,
    all_servers: bool,
    server_ids: Vec<i64>,
    server_names: Vec<String>,
    enabled: bool,
    order: i32,
    on_failure: OnFailure,
    timeout_seconds: u32,
    run_as: Option<String>,
    env: BTreeMap<String, String>,
    secrets: BTreeMap<String, String>,
    max_parallel: Option<u32>,
    stdin: Stdin,
    external: bool,
    leave_children: bool,
    revision: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'static str>,
}

fn info(stored: Stored, servers: &Servers) -> HookInfo {
    let hook = stored.hook;
    let bound = hook.all_hosts || !hook.hosts.is_empty() || hook.point.place() == Place::Management;
    HookInfo {
        id: hook.id.0,
        script_id: hook.script_id.0,
        script_name: hook.script.name,
        event: hook.point.name(),
        all_servers: hook.all_hosts,
        server_ids: servers.numbers(&hook.hosts),
        server_names: servers.names(&hook.hosts),
        enabled: hook.enabled,
        order: hook.order,
        on_failure: hook.on_failure,
        timeout_seconds: hook.timeout_s,
        run_as: hook.run_as,
        env: hook.env,
        secrets: hook.secrets,
        max_parallel: hook.max_parallel,
        stdin: if hook.stdin_json { Stdin::Json } else { Stdin::None },
        external: hook.external,
        leave_children: hook.leave_children,
        revision: stored.pinned,
        warning: (!bound).then_some("bound to no server: it never runs"),
    }
}

/// `GET /events/hooks`
pub(super) async fn list(State(croit): State<Croit>, paging: Paging) -> Result<Response> {
    let hooks = croit.hooks().hooks().await?;
    let servers = server_numbers(&croit).await?;
    let rows: Result<Vec<_>> = hooks.into_iter().map(|stored| row(&info(stored, &servers))).collect();
    listed(COLUMNS, &paging, rows?)
}

/// `POST /events/hooks`
pub(super) async fn create(State(croit): State<Croit>, asker: Asker, Json(body): Json<HookBody>) -> Result<Response> {
    let change = HookChange { script: body.script_id, ..body.rest.change()? };
    let id = croit.hooks().hook_create(asker.name(), change).await?;
    let mut response = empty(StatusCode::CREATED);
    if let Ok(place) = HeaderValue::from_str(&format!("/api/events/hooks/{id}")) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// `PATCH /events/hooks/{id}`
pub(super) async fn update(
    State(croit): State<Croit>,
    asker: Asker,
    Id(id): Id<HookId>,
    Json(body): Json<HookBody>,
) -> Result<Response> {
    let change = HookChange { script: body.script_id, ..body.rest.partial()? };
    croit.hooks().hook_update(asker.name(), id, change).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// `DELETE /events/hooks/{id}`
pub(super) async fn remove(State(croit): State<Croit>, asker: Asker, Id(id): Id<HookId>) -> Result<Response> {
    croit.hooks().hook_remove(asker.name(), id).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// `GET /events/hooks/hook-points`
pub(super) async fn points(State(croit): State<Croit>) -> Response {
    let hidden = |point: &&HookPoint| croit.api.config.croit.hide_newer_events && NEWER.contains(point);
    let shown: Vec<_> = HookPoint::ALL
        .iter()
        .filter(|point| !hidden(point))
        .map(|point| {
            let parameters: Vec<_> = point
                .parameters()
                .iter()
                .map(|parameter| json!({ "name": parameter.name, "description": parameter.description }))
                .collect();
            json!({
                "name": point.name(), "canChooseServer": point.place() != Place::Management,
                "description": point.description(), "parameters": parameters, "blocking": point.blocking(),
            })
        })
        .collect();
    Answer(shown).into_response()
}
