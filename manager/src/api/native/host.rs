//! Hosts: list, show, describe, delete.

use axum::Json;
use axum::extract::State;
use hostler_core::refresh::age::Mark;
use http::StatusCode;
use serde_json::Value;

pub mod view;

use super::body::Fields;
use super::error::{Error, Result};
use super::guard::Actor;
use super::path::Named;
use super::query::{Page, Query};
use super::section::{self, Sections};
use crate::api::Api;
use crate::api::json::kind;
use crate::fleet;
use crate::store::cluster::{reach_find, reach_of_numbers};
use crate::store::held::{held_find, held_of_numbers};
use crate::store::host::{self, AgentState, Description, Host};
use crate::store::introspection::{status_find, status_of_numbers};
use crate::store::section::{section_list, section_of_numbers};
use view::{Around, HostView};

/// How many roles are looked at; there are fewer.
const ROLES_MAX: usize = 16;

/// Longest free text of a host, in bytes.
const DESCRIPTION_MAX: usize = 4096;

/// Longest name of a zone and longest value of a label, in bytes.
const VALUE_MAX: usize = 255;

/// How many labels a host may have.
const LABELS_MAX: usize = 64;

/// `GET /hosts`
///
/// # Errors
/// A parameter breaks a rule; see [`crate::store::Error`].
pub async fn list(State(api): State<Api>, mut query: Query) -> Result<Json<Page<HostView>>> {
    let state = query.word("state", "enrolled, online, offline, revoked", AgentState::from_name)?;
    let name = query.take("name")?;
    let (limit, after) = (query.limit()?, query.after()?.unwrap_or(0));
    query.finish()?;
    let mut connection = api.engine.store.read().await?;
    let found = match name {
        None => host::host_list(&mut connection, after, state, limit + 1).await?,
        Some(name) => match host::host_by_name(&mut connection, &name).await? {
            None => Vec::new(),
            Some(id) => host::host_find(&mut connection, id).await?.into_iter().collect(),
        },
    };
    let fits = |host: &Host| host.number > after && state.is_none_or(|state| host.agent_state == state);
    let found: Vec<Host> = found.into_iter().filter(fits).collect();
    let numbers = (found.first().map_or(0, |host| host.number), found.last().map_or(0, |host| host.number));
    let mut statuses = status_of_numbers(&mut connection, numbers.0, numbers.1).await?;
    let mut marks = section_of_numbers(&mut connection, numbers.0, numbers.1).await?;
    let mut held = held_of_numbers(&mut connection, numbers.0, numbers.1).await?;
    let mut reaches = reach_of_numbers(&mut connection, numbers.0, numbers.1).await?;
    let render = |host: Host| {
        let sections = aged(&api, &host, marks.remove(&host.id).unwrap_or_default());
        let around = Around {
            reach: reaches.remove(&host.id).unwrap_or_default(),
            status: statuses.remove(&host.id),
            sections,
            held: held.remove(&host.id),
        };
        HostView::of(host, around, true)
    };
    Ok(Json(Page::new(found, limit, |host| host.number, render)))
}

/// `GET /hosts/{host}`
///
/// # Errors
/// There is no such host; see [`crate::store::Error`].
pub async fn show(State(api): State<Api>, Named(host): Named, query: Query) -> Result<Json<HostView>> {
    query.finish()?;
    render(&api, host).await
}

async fn render(api: &Api, host: Host) -> Result<Json<HostView>> {
    let mut connection = api.engine.store.read().await?;
    let status = status_find(&mut connection, host.id).await?;
    let sections = aged(api, &host, section_list(&mut connection, host.id).await?);
    let held = held_find(&mut connection, host.id).await?;
    let reach = reach_find(&mut connection, host.id).await?;
    Ok(Json(HostView::of(host, Around { reach, status, sections, held }, false)))
}

/// How old the facts of a host are now.
pub(super) fn aged(api: &Api, host: &Host, marks: Vec<Mark>) -> Sections {
    let online = host.agent_state == AgentState::Online;
    section::sections(marks, api.engine.refresh_settings(), online, api.engine.clock.now())
}

/// `PATCH /hosts/{host}`
///
/// # Errors
/// A field breaks a rule, there is no such host; see [`crate::store::Error`].
pub async fn describe(
    State(api): State<Api>,
    Actor(actor): Actor,
    Named(host): Named,
    fields: Fields,
) -> Result<Json<HostView>> {
    let host = api.engine.host_describe(host.id, description(fields)?, &actor).await?;
    render(&api, host).await
}

/// What is to be written. Null takes a text away, which the store does for an empty one.
fn description(mut fields: Fields) -> Result<Description> {
    let clear = |text: Option<Option<String>>| text.map(Option::unwrap_or_default);
    let new = Description {
        description: clear(fields.nullable_text("description", DESCRIPTION_MAX)?),
        labels: labels(fields.take("labels"))?,
        zone: clear(fields.nullable_text("zone", VALUE_MAX)?),
        roles: roles(&mut fields)?,
    };
    fields.finish()?;
    Ok(new)
}

/// The field `roles`.
fn roles(fields: &mut Fields) -> Result<Option<Vec<String>>> {
    let roles = fields.texts("roles", ROLES_MAX, 64)?;
    fleet::check_roles(roles.as_deref().unwrap_or_default())
        .map_err(|rule| Error::new(StatusCode::BAD_REQUEST, rule))?;
    Ok(roles)
}

fn labels(given: Option<Value>) -> Result<Option<Value>> {
    let refuse = |rule: String| Err(Error::field("labels", rule));
    let map = match given {
        None => return Ok(None),
        Some(Value::Object(map)) => map,
        Some(other) => return refuse(format!("must be an object of texts, is {}", kind(&other))),
    };
    if map.len() > LABELS_MAX {
        return refuse(format!("may have at most {LABELS_MAX} entries, has {}", map.len()));
    }
    for (key, value) in &map {
        let sane = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/');
        if key.is_empty() || key.len() > 63 || !key.bytes().all(sane) {
            let key = super::body::shown(key);
            return refuse(format!("the name {key:?} must have 1 to 63 letters, digits, '.', '-', '_' or '/'"));
        }
        match value {
            Value::String(text) if text.len() <= VALUE_MAX && !text.chars().any(char::is_control) => {}
            Value::String(_) => return refuse(format!("{key} must be one line of at most {VALUE_MAX} bytes")),
            other => return refuse(format!("{key} must be a text, is {}", kind(other))),
        }
    }
    Ok(Some(Value::Object(map)))
}

/// `DELETE /hosts/{host}`
///
/// # Errors
/// The host's agent is in use; there is no such host; see [`crate::store::Error`].
pub async fn delete(State(api): State<Api>, Actor(actor): Actor, Named(host): Named) -> Result<StatusCode> {
    api.fleet.host_delete(host.id, &actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /hosts/{host}/agent/revoke`
///
/// # Errors
/// A field breaks a rule, there is no such host; see [`crate::store::Error`].
pub async fn revoke(
    State(api): State<Api>,
    Actor(actor): Actor,
    Named(host): Named,
    mut fields: Fields,
) -> Result<StatusCode> {
    let reason = fields.text("reason", DESCRIPTION_MAX)?.unwrap_or_default();
    fields.finish()?;
    api.fleet.agent_revoke(host.id, &reason, &actor).await?;
    Ok(StatusCode::NO_CONTENT)
}
