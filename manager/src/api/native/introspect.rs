//! Ordering an introspection.

use axum::Json;
use axum::extract::State;
use hostler_common::id::TaskId;
use hostler_core::introspection::command::Command;
use hostler_core::machine::Input;
use http::StatusCode;
use serde::Serialize;

use super::body::{Fields, shown};
use super::error::{Error, Result};
use super::guard::Actor;
use super::path::Named;
use crate::api::Api;
use crate::engine::IntrospectionDomain;
use crate::store::host::AgentState;

/// How many sections can be asked for at once.
const SECTIONS_MAX: usize = 64;

/// What was begun.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Begun {
    task: i64,
}

impl Begun {
    /// A task that began.
    #[must_use]
    pub fn of(task: TaskId) -> Self {
        Self { task: task.0 }
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
    fields.finish()?;
    check_sections(&sections)?;
    if host.agent_state == AgentState::Revoked {
        return Err(Error::conflict(format!("the agent of {} is revoked; enrol the host again", host.name)));
    }
    let input = Input::Command(Command::Start { manage_boot: None, sections });
    let done = api.engine.input::<IntrospectionDomain>(&host.id.to_string(), input, Some(&actor)).await;
    let begun = done.map_err(|error| Error::from(error).of_state())?;
    let task = begun.task.ok_or_else(|| Error::internal(&"an introspection began without a task"))?;
    Ok((StatusCode::ACCEPTED, Json(Begun::of(task))))
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
