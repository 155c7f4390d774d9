//! Questions to projects and their answers (spec/maintenance.md §1.9, §2.4).

use std::collections::BTreeMap;

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::instance::MoveAction;
use super::state::State;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Whose.
    pub project: String,
    /// The one instance that it is about, where owners are asked per instance.
    pub instance: Option<String>,
    /// The state that is answered.
    pub state: State,
    /// Whether they agree.
    pub ack: bool,
    /// How the instances leave.
    pub actions: BTreeMap<String, MoveAction>,
}

/// Where a question stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Nobody answered.
    Waiting,
    /// They agree.
    Ack,
    /// They refuse.
    Nack,
    /// Nobody answered in time, and policy decided in their place.
    Presumed,
}

/// One question to one project, or to the owner of one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Which.
    pub id: Uuid,
    /// The state that is asked about.
    pub state: State,
    /// The host that is to be emptied.
    pub host: Option<HostId>,
    /// The project.
    pub project: String,
    /// The one instance, where owners are asked per instance.
    pub instance: Option<String>,
    /// The instances that it is about.
    pub instances: Vec<String>,
    /// The ways to leave that are offered.
    pub allowed: Vec<MoveAction>,
    /// When it was asked last.
    pub asked_at: Timestamp,
    /// Until when an answer counts.
    pub reply_at: Timestamp,
    /// How often it was asked.
    pub attempt: u32,
    /// Whether its window was granted once more, because nobody could have answered in it.
    #[serde(default)]
    pub granted: bool,
    /// Where it stands.
    pub answer: Answer,
    /// What was answered.
    pub actions: BTreeMap<String, MoveAction>,
}
