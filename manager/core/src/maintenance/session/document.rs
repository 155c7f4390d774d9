//! What a session remembers. Its size follows the work at hand, not the fleet: hosts and instances are rows.

use std::collections::{BTreeMap, BTreeSet};

use hostler_common::id::{HostId, SessionId};
use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::maintenance::instance::MoveAction;
use crate::maintenance::question::{Question, Reply};
use crate::maintenance::spec::{ActionType, Force, Leave, Spec};
use crate::maintenance::state::{Phase, Reason, State};

/// The one timer of a session: the earliest moment at which anything could become due.
pub const WAKE: &str = "wake";

/// Where a session stands, finer than its [`State`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing was asked of it yet.
    Fresh,
    /// Downloads are on the way, or somebody has to approve the session before anybody is disturbed.
    Fetching,
    /// Projects are asked whether they agree with the session.
    Announcing,
    /// The start, the window and an approval are awaited.
    Starting,
    /// Plug-ins of type `pre` run on the management node.
    Pre,
    /// It is to be found out whether there is room: for one decision at most.
    Evaluating,
    /// Projects are asked to shrink.
    ScalingIn,
    /// Hosts are emptied and worked on.
    Rolling,
    /// Plug-ins of type `post` run on the management node.
    Post,
    /// Projects are told that all hosts are done.
    Completing,
    /// It fails: hosts at work finish, others are given back.
    Failing,
    /// It was deleted: everything that was changed is given back.
    Unwinding,
    /// It rests in `MAINTENANCE_FAILED` until somebody lets it go on or deletes it.
    Failed,
    /// It is done; it can only be deleted.
    Done,
    /// It was deleted, and nothing of it is left to give back.
    Gone,
}

/// A session. `Session::new` is one of which nothing was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Which; also its subject.
    pub id: SessionId,
    /// Where it stands.
    pub stage: Stage,
    /// What is told of that.
    pub state: State,
    /// The state in which it failed.
    pub prev_state: Option<State>,
    /// What it is doing, for people.
    pub phase: Phase,
    /// Whether somebody paused it.
    pub paused: bool,
    /// Whether it rests because the window closed, and the policy says that work in flight rests, too.
    pub outside: bool,
    /// Whether it was deleted, and how hosts are left.
    pub deleted: Option<Leave>,
    /// Why it failed, is paused or waits.
    pub reason: Option<Reason>,
    /// What people should know; the first few of them.
    pub warnings: Vec<String>,
    /// What was asked for.
    pub spec: Box<Spec>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it is in this stage.
    pub since: Timestamp,
    /// Health checks that were there when it was made.
    pub baseline: BTreeSet<String>,
    /// Overrides.
    pub force: Vec<Force>,
    /// Whether a gate before the session was opened.
    pub approved: bool,
    /// Whether the gate before the first host was opened.
    pub first_approved: bool,
    /// Open questions, and those answered that still matter.
    pub questions: Vec<Question>,
    /// The latest answers that led to something, to recognize one that is repeated.
    pub past: Vec<Reply>,
    /// What each project of the session was asked last, as shown.
    pub projects: BTreeMap<String, Shown>,
    /// Hosts at work.
    pub lanes: Vec<Lane>,
    /// Instances on their way.
    pub moves: Vec<OpenMove>,
    /// Plug-ins that run on the management node.
    pub errand: Option<Errand>,
    /// Types of plug-ins on the management node that are done: they are not repeated.
    pub errands_done: BTreeSet<ActionType>,
    /// The numbers of the last reports of stays whose hosts were at work until lately, to recognize one that is repeated.
    #[serde(default)]
    pub heard: Vec<(HostId, u32)>,
    /// Hosts that a failure, or an order, left as they were: whatever becomes of them, their stays have to give them back.
    #[serde(default)]
    pub resting: BTreeSet<HostId>,
    /// Hosts that come after all others, because their owners refused.
    pub deferred: BTreeSet<HostId>,
    /// How often projects were asked to shrink since somebody let the session go on.
    pub scale_rounds: u32,
    /// The host that has to be emptied before any is spare.
    pub first: Option<HostId>,
    /// The batch at work, counted from 0, and how many hosts of it began.
    pub batch: (u32, u32),
    /// Since when no host can begin, although nothing else is to be waited for.
    pub blocked: Option<Timestamp>,
    /// Until when it rests between two batches.
    pub rest_until: Option<Timestamp>,
    /// Percent of hosts that are done; never goes back.
    pub percent: u8,
    /// Whether its task says that work began.
    pub running: bool,
    /// Since when nothing of it changed.
    pub quiet_since: Timestamp,
    /// Whether people were told that nothing changes.
    pub stalled: bool,
    /// What [`WAKE`] is set to.
    pub wake_at: Option<Timestamp>,
}

/// What a project was asked last, as shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// `None`, `<S>`, `ACK_<S>`, `NACK_<S>`.
    pub state: Option<String>,
    /// Until when an answer counts, or counted.
    pub reply_at: Option<Timestamp>,
    /// Whether anybody listens for it.
    pub subscribed: bool,
}

/// Where the stay of a host stands, as its session sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneStage {
    /// The stay checks and fences its host.
    Preparing,
    /// Its instances leave.
    Emptying,
    /// The stay works on its host.
    Working,
    /// The outcome of a step is unknown: somebody decides.
    Unknown,
    /// The stay was told to give everything back.
    Ending,
}

/// What becomes of a host whose stay was ended before it was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Its turn comes again.
    Pending,
    /// Its turn comes again, after projects were asked to shrink.
    ScaleIn(Reason),
    /// It is left out.
    Skipped(Reason),
}

/// A host at work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    /// Which host.
    pub host: HostId,
    /// Its name.
    pub name: String,
    /// Its failure domain.
    pub domain: Option<String>,
    /// Whether it is a controller.
    pub controller: bool,
    /// Whether it had instances when its stay began.
    pub full: bool,
    /// Where it stands.
    pub stage: LaneStage,
    /// Since when.
    pub since: Timestamp,
    /// What owners of its instances are asked: `PREPARE_MAINTENANCE` or `PLANNED_MAINTENANCE`.
    pub ask: State,
    /// Whether it needs an approval.
    pub approval: bool,
    /// What becomes of it when it has ended.
    pub then: Option<Then>,
    /// Ways to leave that did not work, by instance.
    pub barred: BTreeMap<String, BTreeSet<MoveAction>>,
    /// Instances that stay on it, because the policy says so.
    pub left: BTreeSet<String>,
    /// Instances that their owners take away.
    pub own: BTreeMap<String, Own>,
    /// Instances that have left it, and when: the compute side may be late to say so.
    pub moved: BTreeMap<String, Timestamp>,
    /// Whether its instances may land on hosts whose turn comes later, because nothing else is left.
    pub twice: bool,
    /// How often its stay was told to end.
    pub ends: u32,
    /// The number of the last report of its stay.
    #[serde(default)]
    pub heard: u32,
}

/// An instance that its owner takes away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    /// The step of history.
    pub key: Uuid,
    /// Until when.
    pub until: Timestamp,
}

/// An instance on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenMove {
    /// Which move; also the step of history.
    pub id: Uuid,
    /// Which instance.
    pub instance: String,
    /// Whose.
    pub project: String,
    /// From where.
    pub from: HostId,
    /// Where to, as planned.
    pub to: Option<HostId>,
    /// How.
    pub action: MoveAction,
    /// Whether its owner chose that way.
    pub chosen: bool,
    /// When it is given up on.
    pub until: Timestamp,
}

/// Plug-ins that run on the management node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    /// Which: `pre` or `post`.
    pub kind: ActionType,
    /// Where.
    pub host: HostId,
    /// Whether it failed, and waits to be begun again.
    pub failed: bool,
}

impl Session {
    /// A session of which nothing was asked.
    #[must_use]
    pub fn new(id: SessionId) -> Self {
        let never = Timestamp::from_micros(0);
        Self {
            id,
            stage: Stage::Fresh,
            state: State::Maintenance,
            prev_state: None,
            phase: Phase::Working,
            paused: false,
            outside: false,
            deleted: None,
            reason: None,
            warnings: Vec::new(),
            spec: Box::new(Spec::empty(never)),
            created_at: never,
            since: never,
            baseline: BTreeSet::new(),
            force: Vec::new(),
            approved: false,
            first_approved: false,
            questions: Vec::new(),
            past: Vec::new(),
            projects: BTreeMap::new(),
            lanes: Vec::new(),
            moves: Vec::new(),
            errand: None,
            errands_done: BTreeSet::new(),
            heard: Vec::new(),
            resting: BTreeSet::new(),
            deferred: BTreeSet::new(),
            scale_rounds: 0,
            first: None,
            batch: (0, 0),
            blocked: None,
            rest_until: None,
            percent: 0,
            running: false,
            quiet_since: never,
            stalled: false,
            wake_at: None,
        }
    }

    /// Whether nothing happens to it until somebody asks for something.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Fresh | Stage::Failed | Stage::Done | Stage::Gone)
    }

    /// The lane of a host.
    #[must_use]
    pub fn lane(&self, host: HostId) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.host == host)
    }
}
