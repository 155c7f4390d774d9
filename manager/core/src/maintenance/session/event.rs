//! What the world is told (spec/maintenance.md §4.2 to §4.4). URLs are paths: whoever delivers an event puts the public address
//! of the manager in front.

use hostler_common::id::{HostId, SessionId};
use hostler_common::time::Timestamp;
use serde_json::{Map, Value, json};

use super::{Session, Turn};
use crate::machine::Event;
use crate::maintenance::notice::aodh::segment;
use crate::maintenance::question::Question;
use crate::maintenance::spec::Workflow;
use crate::maintenance::state::State;

/// To owners of instances; it keeps the name that clients know.
pub const SCHEDULED: &str = "maintenance.scheduled";

/// To administrators: about a host.
pub const HOST: &str = "maintenance.host";

/// To administrators: about the session.
pub const SESSION: &str = "maintenance.session";

/// To administrators: nothing of the session changed for long, though it is not over (§2.6).
pub const STALLED: &str = "maintenance.stalled";

/// What the owner of an instance is told when that has left its host.
pub const ACTION_DONE: &str = "INSTANCE_ACTION_DONE";

/// `YYYY-MM-DD HH:MM:SS`.
pub fn blank(at: Timestamp) -> String {
    at.naive().chars().take(19).map(|letter| if letter == 'T' { ' ' } else { letter }).collect()
}

fn project_path(session: SessionId, project: &str) -> String {
    format!("/v1/maintenance/{session}/{}", segment(project))
}

/// The question as its project is told of it.
pub fn question(session: &Session, question: &Question) -> Event {
    let path = project_path(session.id, &question.project);
    let vnf = session.spec.workflow == Workflow::Vnf;
    let (instances, reply_url) = match &question.instance {
        Some(instance) if vnf => (json!([instance]), format!("{path}/{}", segment(instance))),
        _ => (json!(path), path),
    };
    let actions_at = match question.state {
        State::Maintenance => session.spec.maintenance_at,
        _ => question.reply_at,
    };
    let data = json!({
        "service": "fenix",
        "project_id": question.project,
        "session_id": session.id,
        "state": question.state.name(),
        "instance_ids": instances,
        "allowed_actions": question.allowed,
        "reply_url": reply_url,
        "reply_at": blank(question.reply_at),
        "actions_at": blank(actions_at),
        "metadata": session.spec.metadata,
    });
    Event { kind: SCHEDULED, subject: question.project.clone(), data }
}

impl Turn<'_> {
    /// Something of which a project is told, and which it need not answer.
    pub(super) fn tell_project(&mut self, project: &str, state: &str, instances: Value) {
        let data = json!({
            "service": "fenix",
            "project_id": project,
            "session_id": self.s.id,
            "state": state,
            "instance_ids": instances,
            "allowed_actions": [],
            "reply_url": project_path(self.s.id, project),
            "reply_at": null,
            "actions_at": null,
            "metadata": Map::new(),
        });
        self.out.events.push(Event { kind: SCHEDULED, subject: project.to_owned(), data });
    }

    /// The owner of an instance is told that it has left its host.
    pub(super) fn tell_action_done(&mut self, project: &str, instance: &str) {
        self.tell_project(project, ACTION_DONE, json!([instance]));
    }

    /// Projects are told that they are not disturbed any longer, in a session that ends early.
    pub(super) fn tell_over(&mut self) {
        let told: Vec<String> = self.s.projects.iter().filter(|(_, shown)| shown.subscribed).map(one).collect();
        for project in told {
            let path = project_path(self.s.id, &project);
            self.tell_project(&project, State::MaintenanceComplete.name(), json!(path));
        }
    }

    /// About a host, for administrators.
    pub(super) fn tell_host(&mut self, host: HostId, name: &str, state: &str) {
        let data = json!({
            "service": "fenix",
            "session_id": self.s.id,
            "host": name,
            "state": state,
            "project_id": self.s.spec.admin_project,
        });
        self.out.events.push(Event { kind: HOST, subject: host.to_string(), data });
    }

    /// Where the session stands, for administrators.
    pub(super) fn tell_session(&mut self, kind: &'static str) {
        let session = &self.s;
        let mut data = json!({
            "service": "fenix",
            "session_id": session.id,
            "state": session.state.name(),
            "percent_done": session.percent,
            "project_id": session.spec.admin_project,
            "phase": session.phase,
            "paused": session.paused,
        });
        if let Some(reason) = &session.reason {
            data["reason"] = json!(reason);
        }
        if session.deleted.is_some() {
            data["deleted"] = true.into();
        }
        if kind == STALLED {
            data["severity"] = "warning".into();
        } else if session.state == State::MaintenanceFailed {
            data["severity"] = "alarm".into();
        }
        self.out.events.push(Event { kind, subject: session.id.to_string(), data });
    }
}

fn one((project, _): (&String, &super::Shown)) -> String {
    project.clone()
}
