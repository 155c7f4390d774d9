//! What a session asks of a project, and what the project answers (spec/maintenance.md §1.9).

use axum::body::Body;
use hostler_common::error::Class;
use hostler_core::maintenance::constraint::id_fault;
use hostler_core::maintenance::instance::SessionInstance;
use hostler_core::maintenance::question::Reply;
use hostler_core::policy::Action;
use http::Response;
use serde_json::json;

use super::error::Failure;
use super::moment::maybe;
use super::reply::{self, Sent};
use super::session::find;
use super::transport::Call;
use super::{fields, render};
use crate::store;
use crate::store::maintenance::{ProjectRow, SessionRow, instance_rows, project_rows};

/// A project in a session.
struct Place {
    session: SessionRow,
    project: ProjectRow,
    instances: Vec<SessionInstance>,
}

impl Place {
    /// Looks it up for a caller who may do that.
    async fn find(call: &Call<'_>, action: Action, id: &str, project: &str) -> Result<Self, Failure> {
        call.must_in(action, project, Failure::no_session())?;
        if let Some(fault) = id_fault(project) {
            return Err(Failure::not_found(format!("Invalid project: {fault}")));
        }
        let session = find(call, id, false).await?;
        let mut connection = call.engine().store.read().await?;
        let rows = project_rows(&mut connection, session.id).await?;
        let row = rows.into_iter().find(|row| row.project == project);
        let instances = instance_rows(&mut connection, session.id, Some(project)).await?;
        Ok(Self { session, project: row.ok_or_else(Failure::no_project)?, instances })
    }

    /// The state that the project was asked about last.
    fn asked(&self) -> Option<&str> {
        let state = self.project.state.as_deref()?;
        Some(state.strip_prefix("ACK_").or_else(|| state.strip_prefix("NACK_")).unwrap_or(state))
    }

    /// The instances that the question is about; all of the project's where it is about none in particular.
    fn listed(&self) -> Vec<String> {
        let ids = |about: &dyn Fn(&SessionInstance) -> bool| -> Vec<String> {
            self.instances.iter().filter(|one| about(one)).map(|one| one.id.clone()).collect()
        };
        let asked = self.asked();
        let of_question = ids(&|one| asked.is_some() && one.project_state.as_deref() == asked);
        if of_question.is_empty() { ids(&|_| true) } else { of_question }
    }

    fn instance(&self, id: &str) -> Result<&SessionInstance, Failure> {
        let found = self.instances.iter().find(|one| one.id == id);
        found.ok_or_else(|| Failure::not_found("Invalid instance"))
    }
}

/// `GET …/{session}/{project}`.
pub(super) async fn show(call: &Call<'_>, id: &str, project: &str) -> Result<Response<Body>, Failure> {
    let place = Place::find(call, Action::MaintenanceProjectGet, id, project).await?;
    let mut body = json!({ "instance_ids": place.listed() });
    // Where alarms lead whose metadata do not fit (§4.5).
    if call.parameter("metadata").as_deref() == Some("true") {
        body["metadata"] = json!(place.session.spec.metadata);
    }
    Ok(render::json(&body))
}

/// `GET …/{session}/{project}/{instance}`.
pub(super) async fn show_one(call: &Call<'_>, id: &str, project: &str, one: &str) -> Result<Response<Body>, Failure> {
    let place = Place::find(call, Action::MaintenanceProjectGet, id, project).await?;
    let instance = place.instance(one)?;
    let body = json!({
        "instance_ids": [instance.id],
        "state": instance.project_state.clone().or_else(|| place.project.state.clone()),
        "reply_at": maybe(place.project.reply_at),
    });
    Ok(render::json(&body))
}

/// `PUT …/{session}/{project}` and `PUT …/{session}/{project}/{instance}`.
pub(super) async fn answer(
    call: &Call<'_>,
    id: &str,
    project: &str,
    one: Option<&String>,
) -> Result<Response<Body>, Failure> {
    let action = if one.is_some() { Action::MaintenanceInstancePut } else { Action::MaintenanceProjectPut };
    let place = Place::find(call, action, id, project).await?;
    let sent = reply::read(fields::object(&call.body)?, place.session.id)?;
    let Sent::Answer(answer) = sent else { return Ok(render::echo(&call.body)) };
    if let Some(right) = call.granted.as_ref().filter(|right| right.state != answer.state) {
        return Err(Failure::denied(format!("the link is for answers to {}", right.state.name())));
    }
    if let Some(one) = one {
        place.instance(one)?;
    }
    let reply = Reply {
        project: project.to_owned(),
        instance: one.cloned(),
        state: answer.state,
        ack: answer.ack,
        actions: answer.actions_for(one.map(String::as_str), &place.listed())?,
    };
    match call.engine().session_reply(place.session.id, reply, call.actor()).await {
        Ok(()) => Ok(render::echo(&call.body)),
        Err(store::Error::Refused(Class::Conflict, text)) => {
            let failure = Failure::conflict(text).with("state", place.session.state.name());
            Err(failure.with("requested", answer.state.name()))
        }
        Err(error) => Err(error.into()),
    }
}
