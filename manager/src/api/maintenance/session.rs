//! Sessions: list, make, show, change, delete (spec/maintenance.md §1.3 to §1.7).

use axum::body::Body;
use hostler_common::error::Class;
use hostler_common::id::SessionId;
use hostler_core::machine::Machine as _;
use hostler_core::maintenance::plan::Plan;
use hostler_core::maintenance::session::Session;
use hostler_core::maintenance::spec::{Leave, Spec};
use hostler_core::maintenance::state::State;
use hostler_core::policy::Action;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::error::{Failure, shown};
use super::path::session_id;
use super::render::Names;
use super::transport::Call;
use super::{create, fields, moment, render, update};
use crate::api::replay::{self, Entrance};
use crate::store;
use crate::store::host::host_numbers;
use crate::store::machine::machine_find;
use crate::store::maintenance::{Filter, SessionRow, locks_of, session_get, session_list};

/// The longest page of a list.
pub(super) const PAGE_MAX: u32 = 1000;

/// The status of upstream for too many sessions.
const TOO_MANY: u16 = 509;

/// What is remembered of a session that was changed under an `Idempotency-Key`.
const CHANGED: &str = "changed";

/// The session of a path.
///
/// # Errors
/// 404 if there is none, or if it is deleted and `deleted` does not ask for such.
pub(super) async fn find(call: &Call<'_>, id: &str, deleted: bool) -> Result<SessionRow, Failure> {
    let found = session_get(&mut *call.engine().store.read().await?, session_id(id)?).await?;
    found.filter(|row| deleted || row.deleted_at.is_none()).ok_or_else(Failure::no_session)
}

/// The machine of a session.
///
/// # Errors
/// 404 if there is none.
pub(super) async fn machine(call: &Call<'_>, id: SessionId) -> Result<Session, Failure> {
    let mut connection = call.engine().store.read().await?;
    let found = machine_find::<Session>(&mut connection, Session::KIND, &id.to_string()).await?;
    found.map(|record| record.machine).ok_or_else(Failure::no_session)
}

/// `GET /v1/maintenance`.
pub(super) async fn list(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let mut filter = Filter { project: call.parameter("project_id"), ..Filter::default() };
    if let Some(name) = call.parameter("state") {
        let known = || State::ALL.map(State::name).join(", ");
        let wrong = || Failure::field("state", format_args!("must be one of {}", known()));
        filter.state = Some(State::from_name(&name).ok_or_else(wrong)?);
    }
    if let Some(name) = call.parameter("host") {
        let fleet = host_numbers(&mut *call.engine().store.read().await?).await?;
        let wrong = || Failure::field("host", format_args!("there is no host {:?}", shown(&name)));
        filter.host = Some(Names::new(fleet, &[]).find(&name).ok_or_else(wrong)?);
    }
    filter.limit = limit(call, None)?;
    filter.deleted = truth(call, "deleted")?;
    if let Some(marker) = call.parameter("marker") {
        let wrong = |_| Failure::field("marker", "must be the id of a session");
        filter.after = Some(session_id(&marker).map_err(wrong)?);
    }
    let rows = session_list(&mut *call.engine().store.read().await?, &filter).await?;
    let ids: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
    let mut body = json!({ "sessions": ids, "session_id": ids });
    if filter.limit.is_some_and(|limit| ids.len() >= limit as usize) {
        body["next"] = ids.last().cloned().into();
    }
    Ok(render::json(&body))
}

/// The parameter `limit`.
pub(super) fn limit(call: &Call<'_>, usual: Option<u32>) -> Result<Option<u32>, Failure> {
    let Some(text) = call.parameter("limit") else { return Ok(usual) };
    let rule = || Failure::field("limit", format_args!("must be from 1 to {PAGE_MAX}"));
    let number: u32 = text.parse().map_err(|_| rule())?;
    Some(number).filter(|number| (1..=PAGE_MAX).contains(number)).ok_or_else(rule).map(Some)
}

fn truth(call: &Call<'_>, name: &str) -> Result<bool, Failure> {
    match call.parameter(name).map(|text| text.to_ascii_lowercase()).as_deref() {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(_) => Err(Failure::field(name, "must be true or false")),
    }
}

/// `POST /v1/maintenance`.
pub(super) async fn create(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let admin_project = call.project().unwrap_or_default().to_owned();
    let mut wanted = create::read(fields::object(&call.body)?, call.settings(), admin_project)?;
    let (downloads, weaker) = create::special(&wanted.spec, &call.settings().policy);
    if downloads {
        call.must_specially(Action::MaintenanceDownload)?;
    }
    if weaker {
        call.must_specially(Action::MaintenanceForce)?;
    }
    super::download::complete(&mut wanted.spec.download, call.settings()).await?;
    if wanted.dry_run {
        return rehearsed(call, wanted.spec).await;
    }
    let ticket = match enter(call).await? {
        Entrance::Again(id, _) if id.parse::<SessionId>().is_ok() => return Ok(created(&id)),
        Entrance::Again(_, ticket) => Some(ticket),
        Entrance::New(ticket) => ticket,
    };
    let named = wanted.spec.hosts.clone();
    match call.engine().session_create(wanted.spec, call.actor()).await {
        Ok(id) => {
            replay::remember(call.engine(), ticket, id.to_string()).await;
            Ok(created(&id.to_string()))
        }
        Err(error) => Err(refused(call, error, &named).await),
    }
}

fn created(id: &str) -> Response<Body> {
    render::json(&json!({ "session_id": id }))
}

pub(super) async fn enter(call: &Call<'_>) -> Result<Entrance, Failure> {
    Ok(replay::enter(call.engine(), &call.dialect.running, call.actor(), call.parts, &call.body).await?)
}

/// What a refusal of a new session is to its sender.
async fn refused(call: &Call<'_>, error: store::Error, named: &[String]) -> Failure {
    match error {
        store::Error::Refused(Class::Exhausted, text) => {
            let status = StatusCode::from_u16(TOO_MANY).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            Failure::new(status, "session.limit", "Too many sessions").with("detail", text)
        }
        store::Error::Refused(Class::Conflict, text) => {
            let taken = taken(call, named).await.unwrap_or_default();
            Failure::new(StatusCode::CONFLICT, "host.locked", text).with("hosts", taken)
        }
        other => other.into(),
    }
}

/// The hosts, of those named, that sessions have; of all if none is named.
async fn taken(call: &Call<'_>, named: &[String]) -> Result<Value, store::Error> {
    let mut connection = call.engine().store.read().await?;
    let (locks, fleet) = (locks_of(&mut connection).await?, host_numbers(&mut connection).await?);
    let short = |name: &str| name.split('.').next().unwrap_or(name).to_ascii_lowercase();
    let wanted: Vec<String> = named.iter().map(|name| short(name)).collect();
    let taken = fleet
        .into_iter()
        .filter(|(id, _, name)| locks.contains_key(id) && (wanted.is_empty() || wanted.contains(&short(name))));
    Ok(taken.map(|(_, _, name)| name).collect())
}

/// `GET /v1/maintenance/{session}`.
pub(super) async fn show(call: &Call<'_>, id: &str) -> Result<Response<Body>, Failure> {
    let row = find(call, id, false).await?;
    Ok(render::json(&json!({ "session_id": row.id.to_string(), "state": row.state.name() })))
}

/// `PUT` and `POST /v1/maintenance/{session}`.
pub(super) async fn update(call: &Call<'_>, id: &str) -> Result<Response<Body>, Failure> {
    let row = find(call, id, false).await?;
    let session = machine(call, row.id).await?;
    let body = if call.body.is_empty() { serde_json::Map::new() } else { fields::object(&call.body)? };
    let update = update::read(body, &session.spec.policy)?;
    if update.force.is_some() {
        call.must_specially(Action::MaintenanceForce)?;
    }
    if let Some(policy) = &update.policy {
        let asked = Spec { policy: (**policy).clone(), download: Vec::new(), ..(*session.spec).clone() };
        if create::special(&asked, &session.spec.policy).1 {
            call.must_specially(Action::MaintenanceForce)?;
        }
    }
    let ticket = match enter(call).await? {
        Entrance::Again(outcome, _) if outcome == CHANGED => return Ok(updated(call, row.id, session.state)),
        Entrance::Again(_, ticket) => Some(ticket),
        Entrance::New(ticket) => ticket,
    };
    let asked = update.state.map(State::name);
    let state = call.engine().session_update(row.id, update, call.actor()).await.map_err(|error| {
        let conflict = error.class() == Class::Conflict;
        let failure = Failure::from(error);
        if conflict { failure.with("state", session.state.name()).with("requested", asked) } else { failure }
    })?;
    replay::remember(call.engine(), ticket, CHANGED.into()).await;
    Ok(updated(call, row.id, state))
}

fn updated(call: &Call<'_>, id: SessionId, state: State) -> Response<Body> {
    let link = call.link(&format!("/v1/maintenance/{id}"));
    render::json(&json!({ "maintenance": link, "session_id": id.to_string(), "state": state.name() }))
}

/// `DELETE /v1/maintenance/{session}`. A repetition succeeds without a second effect (§1.1).
pub(super) async fn delete(call: &Call<'_>, id: &str) -> Result<Response<Body>, Failure> {
    let leave = match call.parameter("mode").as_deref() {
        None | Some("exit") => Leave::Exit,
        Some("hold") => Leave::Hold,
        Some(_) => return Err(Failure::field("mode", "must be exit or hold")),
    };
    let row = find(call, id, true).await?;
    if row.deleted_at.is_none() {
        match call.engine().session_delete(row.id, leave, call.actor()).await {
            // Somebody else was faster.
            Ok(()) | Err(store::Error::Refused(Class::NotFound, _)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(render::json(&json!({})))
}

/// `GET /v1/maintenance/{session}/plan`: what is left to do, as it looks now.
pub(super) async fn plan(call: &Call<'_>, id: &str) -> Result<Response<Body>, Failure> {
    let row = find(call, id, true).await?;
    let plan = call.engine().session_plan_of(row.id).await?;
    Ok(render::json(&json!({ "session_id": row.id.to_string(), "plan": shown_plan(call, &plan).await? })))
}

/// The answer to a dry run.
async fn rehearsed(call: &Call<'_>, spec: Spec) -> Result<Response<Body>, Failure> {
    let named = spec.hosts.clone();
    // The whole of it, with what the configuration adds: whoever reads the plan sees by which rules it was made.
    let mut session = json!(spec);
    session["maintenance_at"] = moment::text(spec.maintenance_at).into();
    match call.engine().session_plan(spec).await {
        Ok(plan) => {
            let plan = shown_plan(call, &plan).await?;
            Ok(render::json(&json!({ "dry_run": true, "plan": plan, "session": session })))
        }
        Err(error) => Err(refused(call, error, &named).await),
    }
}

/// A plan, with the names of hosts in place of their ids.
async fn shown_plan(call: &Call<'_>, plan: &Plan) -> Result<Value, Failure> {
    let names = Names::new(host_numbers(&mut *call.engine().store.read().await?).await?, &[]);
    let mut shown = serde_json::to_value(plan).map_err(|_| Failure::internal())?;
    named(&mut shown, &names);
    Ok(shown)
}

/// Puts names in the place of the ids of hosts, wherever they stand alone.
fn named(value: &mut Value, names: &Names) {
    match value {
        Value::String(text) => {
            if let Some(name) = names.by_id(text) {
                *text = name;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| named(item, names)),
        Value::Object(map) => map.values_mut().for_each(|item| named(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
