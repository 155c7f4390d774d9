//! Who hears what of maintenance.

use hostler_common::id::SessionId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{Form, is_notice};
use crate::event::{KindPattern, Recorded};
use crate::maintenance::session::event::SCHEDULED;

/// What somebody wants of what they may hear. What is empty does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Narrowing {
    /// Kinds; a pattern such as `maintenance.*` counts too.
    pub kinds: Vec<KindPattern>,
    /// One session.
    pub session: Option<SessionId>,
    /// Values of the field `state`.
    pub states: Vec<String>,
    /// Names of hosts.
    pub hosts: Vec<String>,
}

impl Narrowing {
    fn fits(&self, event: &Recorded) -> bool {
        let text = |name: &str| event.data[name].as_str();
        let among = |list: &[String], name: &str| {
            list.is_empty() || text(name).is_some_and(|value| list.iter().any(|one| one.eq_ignore_ascii_case(value)))
        };
        (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind.matches(&event.kind)))
            && self.session.is_none_or(|id| text("session_id") == Some(id.to_string().as_str()))
            && among(&self.states, "state")
            && among(&self.hosts, "host")
    }

    /// Whether no question to a project is kept from whoever wants this.
    fn hears_questions(&self) -> bool {
        let kinds = self.kinds.is_empty() || self.kinds.iter().any(|kind| kind.matches(SCHEDULED));
        kinds && self.states.is_empty() && self.hosts.is_empty()
    }
}

/// Somebody who is told of maintenance, and what of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    /// The id of the subscription; in alarms, that of the alarm.
    pub id: Uuid,
    /// The project that it speaks for; `None` hears of all projects, which only an administrator does.
    pub project: Option<String>,
    /// Whether it hears what is meant for administrators, too.
    pub admin: bool,
    /// What it wants of that.
    pub want: Narrowing,
    /// How it is written.
    pub form: Form,
    /// What links begin with, unless the settings say it: where the manager was when the subscription was made.
    pub base: String,
}

impl Audience {
    /// Whether it is told of an event.
    #[must_use]
    pub fn admits(&self, event: &Recorded) -> bool {
        let own = match &self.project {
            Some(project) => event.data["project_id"].as_str() == Some(project),
            None => self.admin,
        };
        let meant = event.kind == SCHEDULED || self.admin;
        // What storage alerts are about belongs to no project.
        let nobodys = self.admin && event.data["project_id"] == Value::Null;
        is_notice(&event.kind) && meant && (own || nobodys) && self.want.fits(event)
    }

    /// For which project it hears every question, and of which session alone, if it does not hear of all.
    #[must_use]
    pub fn listens(&self) -> Option<(&str, Option<SessionId>)> {
        let project = self.project.as_deref().filter(|_| self.want.hears_questions())?;
        Some((project, self.want.session))
    }
}
