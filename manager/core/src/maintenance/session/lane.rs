//! Hosts at work: how their stays begin, and what they report (spec/maintenance.md §3.7, §3.9).

use hostler_common::id::HostId;
use serde_json::json;

use super::document::{Lane, LaneStage, Session, Then};
use super::{Stage, Turn};
use crate::maintenance::host::{HostPhase, Role, SessionHost};
use crate::maintenance::policy::OnFail;
use crate::maintenance::row::StepKind;
use crate::maintenance::spec::{Action, ActionType};
use crate::maintenance::state::{Phase, Reason, State};
use crate::maintenance::word::{FromStay, Order, StayReport, ToStay};

/// The reason of hosts that were left out because somebody said so.
pub const SKIPPED: &str = "host.skipped";

/// How many reports of hosts that are not at work any more are remembered.
const HEARD: usize = 64;

/// The state that is told of a session.
pub fn shown_state(session: &Session) -> State {
    match session.stage {
        Stage::Fresh | Stage::Fetching | Stage::Announcing | Stage::Starting | Stage::Pre => State::Maintenance,
        Stage::Evaluating | Stage::Unwinding | Stage::Failing | Stage::Gone => session.state,
        Stage::ScalingIn => State::ScaleIn,
        Stage::Post | Stage::Completing => State::MaintenanceComplete,
        Stage::Done => State::MaintenanceDone,
        Stage::Failed => State::MaintenanceFailed,
        Stage::Rolling if session.first.is_some() => State::PrepareMaintenance,
        Stage::Rolling => {
            let emptied = |lane: &&Lane| lane.full && matches!(lane.stage, LaneStage::Preparing | LaneStage::Emptying);
            session.lanes.iter().filter(emptied).map(|lane| lane.ask).max().unwrap_or(State::StartMaintenance)
        }
    }
}

/// The plug-ins of a host, in their order (§5.1).
pub fn actions(all: &[Action], wanted: impl Fn(ActionType) -> bool) -> Vec<Action> {
    let mut chosen: Vec<Action> = all.iter().filter(|action| wanted(action.kind)).cloned().collect();
    chosen.sort_by(|one, other| (one.kind, one.order, &one.plugin).cmp(&(other.kind, other.order, &other.plugin)));
    chosen
}

impl Turn<'_> {
    pub(super) fn lanes_in(&self, stages: &[LaneStage]) -> Vec<HostId> {
        self.s.lanes.iter().filter(|lane| stages.contains(&lane.stage)).map(|lane| lane.host).collect()
    }

    pub(super) fn lane_mut(&mut self, host: HostId) -> Option<&mut Lane> {
        self.s.lanes.iter_mut().find(|lane| lane.host == host)
    }

    fn stage_lane(&mut self, host: HostId, stage: LaneStage) {
        let now = self.now();
        if let Some(lane) = self.lane_mut(host) {
            (lane.stage, lane.since) = (stage, now);
        }
    }

    /// A lane for a host; nobody is told yet.
    pub(super) fn open_lane(&mut self, row: &SessionHost) {
        if self.s.lane(row.host).is_some() {
            return;
        }
        self.s.lanes.push(Lane {
            host: row.host,
            name: row.name.clone(),
            domain: row.domain.clone(),
            controller: row.roles.contains(&Role::Controller),
            full: false,
            stage: LaneStage::Preparing,
            since: self.now(),
            ask: State::PlannedMaintenance,
            approval: false,
            then: None,
            barred: Default::default(),
            left: Default::default(),
            own: Default::default(),
            moved: Default::default(),
            twice: false,
            ends: 0,
            heard: self.s.heard.iter().find(|(host, _)| *host == row.host).map_or(0, |(_, number)| *number),
        });
    }

    /// A stay begins, or begins again where a failure left it.
    pub(super) fn begin_stay(&mut self, row: &SessionHost, ask: State) {
        let host = row.host;
        let now = self.now();
        self.open_lane(row);
        let full = row.roles.contains(&Role::Compute) && self.on_host(host).next().is_some();
        if let Some(lane) = self.lane_mut(host) {
            (lane.ask, lane.full) = (ask, full);
        }
        self.stage_lane(host, LaneStage::Preparing);
        if let Some(row) = self.row_mut(host) {
            row.phase = HostPhase::Checking;
            row.attempts += 1;
            row.started_at = row.started_at.or(Some(now));
            row.finished_at = None;
            row.reason = None;
            row.disabled = true;
        }
        let order = self.order(row);
        self.tell_stay(host, &ToStay::Begin(Box::new(order)));
    }

    fn order(&self, row: &SessionHost) -> Order {
        let fleet = self.fleet(row.host);
        let cluster = fleet.and_then(|host| host.cluster.clone());
        let has = |role| row.roles.contains(&role);
        let none = !has(Role::Compute) && !has(Role::Controller);
        let wanted = |kind| match kind {
            ActionType::Pre | ActionType::Post => false,
            ActionType::Host => true,
            ActionType::Compute => has(Role::Compute),
            ActionType::Controller => has(Role::Controller),
            ActionType::Storage => has(Role::Storage) || cluster.is_some(),
            ActionType::Other => none && !has(Role::Storage),
        };
        Order {
            session: self.s.id.0,
            admin_project: self.s.spec.admin_project.clone(),
            host: row.host,
            name: row.name.clone(),
            roles: row.roles.clone(),
            actions: actions(&self.s.spec.actions, wanted),
            policy: self.s.spec.policy.clone(),
            force: self.s.force.clone(),
            has_instances: has(Role::Compute),
            cluster,
            session_started: self.s.created_at,
            baseline: self.s.baseline.clone(),
            disabled_before: row.disabled_before.clone(),
            errand: false,
        }
    }

    /// The stay gives everything back; `then` says what becomes of the host.
    pub(super) fn end_lane(&mut self, host: HostId, then: Then, word: &ToStay) {
        self.retire(|question| question.host == Some(host));
        self.forget_own(host);
        self.stage_lane(host, LaneStage::Ending);
        if let Some(lane) = self.lane_mut(host) {
            lane.then = Some(then);
            lane.ends += 1;
        }
        if let Some(row) = self.row_mut(host) {
            row.phase = HostPhase::Unwinding;
        }
        self.tell_stay(host, word);
    }

    /// A host has its end, for now.
    pub(super) fn settle_host(&mut self, host: HostId, phase: HostPhase, reason: Option<Reason>) {
        let now = self.now();
        self.retire(|question| question.host == Some(host));
        self.forget_own(host);
        self.close_lane(host);
        if self.s.first == Some(host) {
            self.s.first = None;
            if self.s.stage == Stage::Rolling && phase != HostPhase::Done {
                // Another one has to become the spare host, or it has to be tried again.
                self.enter(Stage::Evaluating);
            }
        }
        match phase {
            HostPhase::Failed | HostPhase::Held => self.s.resting.insert(host),
            _ => self.s.resting.remove(&host),
        };
        let in_service = matches!(phase, HostPhase::Done | HostPhase::Skipped | HostPhase::Pending);
        if let Some(row) = self.row_mut(host) {
            row.phase = phase;
            row.reason = reason;
            row.maintained = phase == HostPhase::Done || (row.maintained && phase != HostPhase::Pending);
            row.disabled = !in_service;
            row.finished_at = (phase != HostPhase::Pending).then_some(now);
            (row.plugin, row.plugin_state) = match phase {
                HostPhase::Failed => (row.plugin.take(), row.plugin_state.take()),
                _ => (None, None),
            };
        }
        if in_service {
            self.unfence(host);
        }
    }

    /// Nobody is at work on a host any more.
    pub(super) fn close_lane(&mut self, host: HostId) {
        let Some(place) = self.s.lanes.iter().position(|lane| lane.host == host) else { return };
        let lane = self.s.lanes.remove(place);
        self.s.heard.retain(|(other, _)| *other != host);
        if lane.heard > 0 {
            self.s.heard.push((host, lane.heard));
        }
        let excess = self.s.heard.len().saturating_sub(HEARD);
        self.s.heard.drain(..excess);
    }

    /// A stay reports. What it says out of turn, or twice, changes nothing.
    pub(super) fn stay_said(&mut self, word: FromStay) {
        let FromStay { host, report, number, errand } = word;
        if errand {
            return self.errand_said(host, report);
        }
        let Some(lane) = self.lane_mut(host) else { return };
        if number > 0 && number <= lane.heard {
            return;
        }
        lane.heard = lane.heard.max(number);
        let stage = lane.stage;
        match (report, stage) {
            (StayReport::Empty, LaneStage::Preparing) => self.stage_lane(host, LaneStage::Emptying),
            (StayReport::Approve, LaneStage::Preparing | LaneStage::Emptying | LaneStage::Working) => {
                if let Some(lane) = self.lane_mut(host) {
                    lane.approval = true;
                }
            }
            (StayReport::Done { warnings }, LaneStage::Preparing | LaneStage::Working | LaneStage::Ending) => {
                self.host_done(host, warnings);
            }
            (StayReport::Failed(reason), LaneStage::Ending) => self.end_failed(host, reason),
            (StayReport::Failed(reason), _) => self.host_failed(host, reason),
            (StayReport::Skipped(reason), LaneStage::Ending) => self.host_left(host, reason),
            (StayReport::Held, LaneStage::Ending) => {
                let text = "held out of service, as ordered";
                self.settle_host(host, HostPhase::Held, Some(Reason::new("host.held", text)));
            }
            (StayReport::Unknown(reason), LaneStage::Preparing | LaneStage::Emptying | LaneStage::Working) => {
                self.outcome_unknown(host, reason);
            }
            (
                StayReport::Empty
                | StayReport::Approve
                | StayReport::Done { .. }
                | StayReport::Skipped(_)
                | StayReport::Held
                | StayReport::Unknown(_),
                _,
            ) => {}
        }
    }

    fn host_done(&mut self, host: HostId, warnings: Vec<String>) {
        let name = self.row(host).map(|row| row.name.clone()).unwrap_or_default();
        for warning in warnings {
            self.warn(format!("{name}: {warning}"));
        }
        self.settle_host(host, HostPhase::Done, None);
    }

    fn host_failed(&mut self, host: HostId, reason: Reason) {
        let name = self.row(host).map(|row| row.name.clone()).unwrap_or_default();
        let reason = if reason.host.is_none() { reason.on(host, name) } else { reason };
        let goes_on = !matches!(self.s.stage, Stage::Failing | Stage::Unwinding);
        if goes_on && self.s.spec.policy.on_fail == OnFail::Skip {
            if let Some(row) = self.row_mut(host) {
                row.reason = Some(reason.clone());
            }
            return self.end_lane(host, Then::Skipped(reason), &ToStay::Skip);
        }
        self.settle_host(host, HostPhase::Failed, Some(reason.clone()));
        if goes_on {
            self.fail(reason);
        }
    }

    /// A host could not be given back.
    fn end_failed(&mut self, host: HostId, reason: Reason) {
        if self.s.stage == Stage::Unwinding {
            let now = self.now();
            if let Some(row) = self.row_mut(host) {
                (row.phase, row.reason) = (HostPhase::Failed, Some(reason));
            }
            if let Some(lane) = self.lane_mut(host) {
                lane.since = now;
            }
            return;
        }
        let first = match self.s.lane(host).and_then(|lane| lane.then.clone()) {
            Some(Then::Skipped(first)) => first,
            _ => reason.clone(),
        };
        self.warn(format!("{}: {}", self.row(host).map_or("", |row| &row.name), reason.text));
        self.settle_host(host, HostPhase::Failed, Some(first.clone()));
        if self.s.spec.policy.on_fail != OnFail::Skip {
            self.fail(first);
        }
    }

    /// A stay has given its host back before its end.
    fn host_left(&mut self, host: HostId, reason: Reason) {
        let then = self.s.lane(host).and_then(|lane| lane.then.clone());
        match then {
            Some(Then::Pending) if self.s.stage == Stage::Unwinding => {
                self.settle_host(host, HostPhase::Skipped, Some(Reason::new("session.deleted", "given back")));
            }
            Some(Then::Pending) => self.settle_host(host, HostPhase::Pending, None),
            Some(Then::ScaleIn(why)) => {
                self.settle_host(host, HostPhase::Pending, None);
                self.scale_in_again(why);
            }
            Some(Then::Skipped(why)) => self.settle_host(host, HostPhase::Skipped, Some(why)),
            None => self.settle_host(host, HostPhase::Skipped, Some(reason)),
        }
    }

    fn outcome_unknown(&mut self, host: HostId, reason: Reason) {
        self.stage_lane(host, LaneStage::Unknown);
        if let Some(row) = self.row_mut(host) {
            row.reason = Some(reason.clone());
        }
        self.retire(|question| question.host == Some(host));
        match self.s.stage {
            Stage::Failing => self.settle_host(host, HostPhase::Failed, Some(reason)),
            Stage::Unwinding => {
                let leave = self.s.deleted.unwrap_or_default();
                self.end_lane(host, Then::Pending, &ToStay::End(leave));
            }
            _ => self.pause(reason),
        }
    }

    /// Somebody, or a step whose outcome is unknown, pauses the session.
    pub(super) fn pause(&mut self, reason: Reason) {
        if !self.s.paused {
            self.s.paused = true;
            self.tell_lanes(&ToStay::Pause(true));
            self.noted(StepKind::Wait, "pause", reason.host, json!({ "reason": reason }));
        }
        self.s.reason = Some(reason);
    }

    /// What the session is doing, for people.
    pub(super) fn phase(&self) -> Phase {
        if self.s.paused {
            return if self.s.moves.is_empty() { Phase::Paused } else { Phase::Pausing };
        }
        match self.s.stage {
            Stage::Failed | Stage::Done | Stage::Gone => Phase::Over,
            Stage::Fetching if self.needs_session_approval() => Phase::WaitingApproval,
            Stage::Fetching => Phase::Fetching,
            Stage::Announcing | Stage::ScalingIn | Stage::Completing => Phase::WaitingReplies,
            Stage::Starting if self.now() < self.s.spec.maintenance_at => Phase::WaitingStart,
            Stage::Starting => Phase::WaitingWindow,
            Stage::Unwinding => Phase::Unwinding,
            Stage::Rolling => self.rolling_phase(),
            Stage::Fresh | Stage::Pre | Stage::Evaluating | Stage::Post | Stage::Failing => Phase::Working,
        }
    }

    fn rolling_phase(&self) -> Phase {
        let lanes = &self.s.lanes;
        let row_in = |lane: &Lane, phases: &[HostPhase]| self.row(lane.host).is_some_and(|r| phases.contains(&r.phase));
        let silent = |lane: &Lane| {
            let asked = self.s.questions.iter().any(|question| question.host == Some(lane.host));
            lane.stage == LaneStage::Emptying && asked && !self.s.moves.iter().any(|one| one.from == lane.host)
        };
        let waiting = [HostPhase::WaitingHealth, HostPhase::WaitingStorage];
        match () {
            () if self.s.outside => Phase::WaitingWindow,
            () if lanes.is_empty() && !self.in_window() => Phase::WaitingWindow,
            () if lanes.is_empty() && self.needs_first_approval() => Phase::WaitingApproval,
            () if lanes.is_empty() => Phase::Working,
            () if lanes.iter().all(|lane| lane.approval) => Phase::WaitingApproval,
            () if lanes.iter().all(|lane| row_in(lane, &waiting)) => Phase::WaitingHealth,
            () if lanes.iter().all(silent) => Phase::WaitingReplies,
            () => Phase::Working,
        }
    }
}
