//! What sessions, stays and moves tell each other. All of it is JSON: it is written with the decision.

use std::collections::BTreeSet;

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::host::Role;
use super::instance::MoveAction;
use super::policy::Policy;
use super::spec::{Action, ActionType, Force, Leave};
use super::state::Reason;

/// The subject of the stay of a host in a session.
#[must_use]
pub fn stay_subject(session: Uuid, host: HostId) -> String {
    format!("{session}.{host}")
}

/// The subject of the stay that runs the plug-ins of one type on the management node: it is another one than the stay of that
/// node as a host of the session.
#[must_use]
pub fn errand_subject(session: Uuid, host: HostId, kind: ActionType) -> String {
    format!("{session}.{host}.{}", kind.name())
}

/// What a stay needs to know of its session and its host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The session.
    pub session: Uuid,
    /// The project of administrators, for events.
    pub admin_project: String,
    /// The host.
    pub host: HostId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub roles: BTreeSet<Role>,
    /// What runs on it, in its order: types `host`, then the types of its roles.
    pub actions: Vec<Action>,
    /// How it is decided.
    pub policy: Policy,
    /// What may be ignored.
    pub force: Vec<Force>,
    /// Whether it may have instances: then it waits to be emptied.
    pub has_instances: bool,
    /// The Ceph cluster whose daemons it has, or may have.
    pub cluster: Option<String>,
    /// When the session began: crashes from before do not count.
    pub session_started: Timestamp,
    /// Health checks that were there when the session began: they do not close a gate by themselves.
    pub baseline: BTreeSet<String>,
    /// Whether it was out of service before, and why.
    pub disabled_before: Option<String>,
    /// Whether it is an errand: only the plug-ins run, on a host that is not the session's to take out of service. Nothing is
    /// fenced, no storage is touched and nobody is told.
    #[serde(default)]
    pub errand: bool,
}

/// What a session tells a stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToStay {
    /// Begin, or begin again where a failure left it: steps that are done are not repeated.
    Begin(Box<Order>),
    /// The host is empty.
    Emptied,
    /// The host cannot be emptied.
    CannotEmpty(Reason),
    /// Somebody approved.
    Approved,
    /// Finish the step in flight, begin nothing new; or go on.
    Pause(bool),
    /// End: give everything back, or hold the host as it is.
    End(Leave),
    /// Accept the failure: give everything back, count the host as skipped.
    Skip,
    /// Another policy and other overrides from now on.
    Change {
        /// How it is decided.
        policy: Box<Policy>,
        /// What may be ignored.
        force: Vec<Force>,
    },
}

/// What a stay tells its session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FromStay {
    /// Which host.
    pub host: HostId,
    /// What.
    pub report: StayReport,
    /// Counts what this stay says, from 1: what comes twice is known by it. 0 says nothing of that.
    #[serde(default)]
    pub number: u32,
    /// Whether the stay is an errand: the management node may be a host of the session besides.
    #[serde(default)]
    pub errand: bool,
}

/// See [`FromStay`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StayReport {
    /// Everything that comes before is done and nothing new is scheduled on it: empty it now.
    Empty,
    /// It needs an approval.
    Approve,
    /// It is in service again, done.
    Done {
        /// What people should know.
        warnings: Vec<String>,
    },
    /// It failed and rests as the failure left it.
    Failed(Reason),
    /// It was given back before its end.
    Skipped(Reason),
    /// It is held out of service.
    Held,
    /// An outcome is unknown: the session pauses and somebody decides.
    Unknown(Reason),
}

/// The kind of the machines that move instances.
pub const MOVE: &str = "move";

/// An instance that is to leave its host. The subject of the machine is the id of the move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveOrder {
    /// The session.
    pub session: Uuid,
    /// Which instance.
    pub instance: String,
    /// From where.
    pub from: HostId,
    /// Where to; `None` leaves the choice to the compute side.
    pub to: Option<HostId>,
    /// Places to try where the first one refuses.
    pub others: Vec<HostId>,
    /// How.
    pub action: MoveAction,
    /// The longest interruption, in seconds, beyond which a live migration is given up.
    pub max_interruption: Option<u32>,
    /// How long it may take, in seconds.
    pub timeout: u32,
}

/// The code of the reason with which a move fails whose interruption would be, or was, longer than its instance bears (§3.5 E):
/// its owner is asked again without that way to leave.
pub const INTERRUPTION: &str = "move.interruption";

/// What a session is told of a move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FromMove {
    /// Which move.
    pub id: Uuid,
    /// Which instance.
    pub instance: String,
    /// Where it is now.
    pub host: Option<HostId>,
    /// Why it did not move.
    pub failure: Option<Reason>,
}

/// What a session is told by machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToSession {
    /// By a stay.
    Stay(FromStay),
    /// By a move.
    Move(FromMove),
}
