//! Ordering an introspection.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use hostler_common::id::TaskId;
use hostler_core::introspection::command::Command;
use hostler_core::machine::Input;
use http::StatusCode;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::Value;

use super::body::{Fields, shown};
use super::error::{Error, Result};
use super::guard::Actor;
use super::path::Named;
use crate::api::Api;
use crate::engine::IntrospectionDomain;
use crate::identity::{self, By};
use crate::store::host::{AgentState, Host};

/// How many sections can be asked for at once.
const SECTIONS_MAX: usize = 64;

/// How much longer than a run waits for its data a token of it counts: what a run takes to begin waiting.
const MARGIN: Duration = Duration::from_secs(60);

/// What was begun.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Begun {
    task: i64,
    /// With what the host's data may be delivered from outside; shown this once.
    #[serde(flatten)]
    callback: Option<Callback>,
}

/// A token for `POST /v1/continue`. It has no `Debug` of its own: there is a secret in it.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Callback {
    callback_token: String,
    callback_expires_at: String,
}

impl std::fmt::Debug for Callback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callback").field("callback_expires_at", &self.callback_expires_at).finish_non_exhaustive()
    }
}

impl Begun {
    /// A task that began.
    #[must_use]
    pub fn of(task: TaskId) -> Self {
        Self { task: task.0, callback: None }
    }
}

/// `POST /hosts/{host}/introspect`
///
/// # Errors
/// A field breaks a rule, the host's agent is revoked, another run is in the way; see [`crate::store::Error`].
pub async fn start(
    State(api): State<Api>,
    Actor(actor): Actor,
    Named(host): Named,
    mut fields: Fields,
) -> Result<(StatusCode, Json<Begun>)> {
    let sections = fields.texts("sections", SECTIONS_MAX, 64)?.unwrap_or_default();
    let callback = wants_callback(&api, &mut fields)?;
    fields.finish()?;
    check_sections(&sections)?;
    if host.agent_state == AgentState::Revoked {
        return Err(Error::conflict(format!("the agent of {} is revoked; enrol the host again", host.name)));
    }
    let input = Input::Command(Command::Start { manage_boot: None, sections });
    let done = api.engine.input::<IntrospectionDomain>(&host.id.to_string(), input, Some(&actor)).await;
    let begun = done.map_err(|error| Error::from(error).of_state())?;
    let task = begun.task.ok_or_else(|| Error::internal(&"an introspection began without a task"))?;
    let callback = if callback { Some(callback_token(&api, &host, actor).await?) } else { None };
    Ok((StatusCode::ACCEPTED, Json(Begun { callback, ..Begun::of(task) })))
}

/// Whether a token for data from outside is asked for, where there are such data at all.
fn wants_callback(api: &Api, fields: &mut Fields) -> Result<bool> {
    match fields.take("callback") {
        None | Some(Value::Null | Value::Bool(false)) => Ok(false),
        Some(Value::Bool(true)) if api.config.introspection.callback_enabled => Ok(true),
        Some(Value::Bool(true)) => {
            Err(Error::field("callback", "is of no use: introspection.callback_enabled is false in the settings"))
        }
        Some(_) => Err(Error::field("callback", "must be true or false")),
    }
}

async fn callback_token(api: &Api, host: &Host, actor: String) -> Result<Callback> {
    let by = By { name: actor, from: None };
    let life = Duration::from_secs(api.config.introspection.timeout) + MARGIN;
    let (token, until) = api.identity.callback_token_make(&by, host.id, life).await.map_err(|error| match error {
        identity::Error::Store(error) => error.into(),
        other => Error::internal(&other),
    })?;
    Ok(Callback { callback_token: token.expose_secret().to_owned(), callback_expires_at: until.rfc3339() })
}

/// Which sections there are, the agent of the host knows; what is no name at all is refused here.
fn check_sections(sections: &[String]) -> Result<()> {
    let is_name = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
    };
    match sections.iter().find(|text| !is_name(text)) {
        None => Ok(()),
        Some(bad) => Err(Error::field("sections", format_args!("{:?} is not the name of a section", shown(bad)))),
    }
}
