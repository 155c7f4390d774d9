//! Changes that somebody orders while a session is under way (spec/maintenance.md §1.6).

use hostler_common::error::Class;
use hostler_common::id::HostId;
use serde_json::json;

use super::document::{LaneStage, Then};
use super::facts::Fetched;
use super::lane::SKIPPED;
use super::{Stage, Turn, choose, window};
use crate::machine::Refusal;
use crate::maintenance::host::{HostPhase, SessionHost};
use crate::maintenance::question::Answer;
use crate::maintenance::row::{StepKind, Write};
use crate::maintenance::spec::{Force, Update};
use crate::maintenance::state::{Reason, State};
use crate::maintenance::word::ToStay;

/// What administrators are told of a host that comes in.
const ADDED: &str = "HOST_ADDED";

/// What they are told of one that is taken out.
const REMOVED: &str = "HOST_REMOVED";

/// The code of a pause that somebody ordered.
const PAUSED: &str = "session.paused";

impl Turn<'_> {
    /// Takes an order. All of it is checked before any of it counts: a refusal changes nothing, since the turn is dropped.
    pub(super) fn update(&mut self, update: Update) -> Result<(), Refusal> {
        if self.s.stage == Stage::Fresh || self.s.deleted.is_some() {
            return Err(Refusal::new(Class::NotFound, "there is no such session"));
        }
        let Update {
            state,
            paused,
            maintenance_at,
            add_hosts,
            remove_hosts,
            retry_hosts,
            skip_hosts,
            approve,
            force,
            policy,
        } = update;
        let nothing = state.is_none() && paused.is_none() && maintenance_at.is_none() && !approve;
        let no_hosts = [&add_hosts, &remove_hosts, &retry_hosts, &skip_hosts].iter().all(|names| names.is_empty());
        let go_on = nothing && no_hosts && force.is_none() && policy.is_none();
        if let Some(policy) = policy {
            self.change_policy(*policy)?;
        }
        if let Some(force) = force {
            self.change_force(force)?;
        }
        if let Some(at) = maintenance_at {
            self.change_start(at)?;
        }
        self.add_hosts(&add_hosts)?;
        self.remove_hosts(&remove_hosts)?;
        self.skip_hosts(&skip_hosts)?;
        let retried = self.retry_hosts(&retry_hosts)?;
        if approve {
            self.approve()?;
        }
        match state {
            Some(State::MaintenanceFailed) => self.abort()?,
            Some(state) => self.enter_again(Some(state))?,
            None if go_on || (retried && self.s.stage == Stage::Failed) => self.enter_again(None)?,
            None => {}
        }
        match paused {
            Some(true) => self.order_pause(),
            Some(false) => self.go_on(),
            None => Ok(()),
        }
    }

    fn conflict(&self, text: &str) -> Refusal {
        Refusal::new(Class::Conflict, format!("the session is in {}: {text}", self.s.state.name()))
    }

    fn not_over(&self, text: &str) -> Result<(), Refusal> {
        match self.s.is_over() {
            true => Err(self.conflict(text)),
            false => Ok(()),
        }
    }

    fn abort(&mut self) -> Result<(), Refusal> {
        if matches!(self.s.stage, Stage::Failed | Stage::Failing) {
            return Ok(());
        }
        self.not_over("MAINTENANCE_FAILED cannot be asked for")?;
        let actor = self.actor();
        self.fail(Reason::new("session.aborted", format!("ended by {actor}")));
        Ok(())
    }

    /// Lets a session that failed, or is paused, go on from a state; by default from where it failed.
    fn enter_again(&mut self, wanted: Option<State>) -> Result<(), Refusal> {
        let target = wanted.or(self.s.prev_state).unwrap_or(State::Maintenance);
        if self.s.stage != Stage::Failed {
            if wanted.is_none_or(|wanted| wanted == self.s.state) && !self.s.is_over() {
                return if self.s.paused { self.go_on() } else { Ok(()) };
            }
            if !self.s.paused || !self.s.lanes.is_empty() || !self.s.moves.is_empty() || self.s.errand.is_some() {
                return Err(self.conflict(&format!("{} cannot be entered now", target.name())));
            }
        }
        let stage = match target {
            State::Maintenance if self.rows.iter().any(|row| row.maintained) => Stage::Evaluating,
            State::Maintenance => Stage::Fetching,
            State::ScaleIn | State::PrepareMaintenance => Stage::Evaluating,
            State::StartMaintenance | State::PlannedMaintenance => Stage::Rolling,
            State::MaintenanceComplete => Stage::Post,
            State::MaintenanceDone | State::MaintenanceFailed => {
                return Err(Refusal::new(Class::Invalid, format!("{} cannot be entered", target.name())));
            }
        };
        let unplanned = self.rows.iter().all(|row| row.order_no.is_none());
        let stage = if stage == Stage::Rolling && unplanned { Stage::Evaluating } else { stage };
        // Nobody is disturbed for files that are still missing, wherever it is to go on.
        let stage = if self.facts().downloads == Fetched::All { stage } else { Stage::Fetching };
        let failed = self.s.stage == Stage::Failed;
        (self.s.reason, self.s.paused) = (None, false);
        if failed {
            self.retry_all(target);
            let total = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
            self.open_task(total);
        }
        self.s.prev_state = None;
        (self.s.scale_rounds, self.s.blocked, self.s.first) = (0, None, None);
        let actor = self.actor();
        self.said("session.continued", format!("in {} by {actor}", target.name()));
        // What was never planned is found out in the state in which sessions begin.
        self.s.state = match (stage, target) {
            (Stage::Evaluating, State::StartMaintenance | State::PlannedMaintenance) => State::Maintenance,
            _ => target,
        };
        self.enter(stage);
        Ok(())
    }

    /// Hosts that failed have their turn again, where the failure left them: what is done there is not repeated.
    fn retry_all(&mut self, target: State) {
        if target == State::MaintenanceComplete {
            return;
        }
        for row in self.rows.iter_mut().filter(|row| row.phase == HostPhase::Failed) {
            row.phase = HostPhase::Pending;
        }
    }

    fn order_pause(&mut self) -> Result<(), Refusal> {
        if self.s.paused {
            return Ok(());
        }
        self.not_over("it cannot be paused")?;
        if self.s.stage == Stage::Failing {
            return Err(self.conflict("it is failing, and cannot be paused"));
        }
        let actor = self.actor();
        self.pause(Reason::new(PAUSED, format!("paused by {actor}")));
        Ok(())
    }

    fn go_on(&mut self) -> Result<(), Refusal> {
        if !self.s.paused {
            return match self.s.stage {
                Stage::Failed => Err(self.conflict("a session that failed goes on by its state")),
                _ => Ok(()),
            };
        }
        self.s.paused = false;
        self.s.reason = None;
        self.tell_lanes(&ToStay::Pause(false));
        // Whoever lets the session go on has seen to what was unknown: the step is begun again.
        for host in self.lanes_in(&[LaneStage::Unknown]) {
            self.begin_again(host);
        }
        self.thaw();
        Ok(())
    }

    fn begin_again(&mut self, host: HostId) {
        let Some(row) = self.row(host).cloned() else { return };
        // One that was emptied already is the spare host no more.
        let ask = match self.s.first == Some(host) {
            true => State::PrepareMaintenance,
            false => State::PlannedMaintenance,
        };
        self.begin_stay(&row, ask);
    }

    fn change_policy(&mut self, policy: crate::maintenance::policy::Policy) -> Result<(), Refusal> {
        if self.s.stage == Stage::Done {
            return Err(self.conflict("its policy does not matter any more"));
        }
        if let Some(window) = &policy.window {
            window::check(window).map_err(|text| Refusal::new(Class::Invalid, text))?;
        }
        self.s.spec.policy = policy;
        self.tell_change();
        Ok(())
    }

    fn tell_change(&mut self) {
        let policy = Box::new(self.s.spec.policy.clone());
        let word = ToStay::Change { policy, force: self.s.force.clone() };
        self.tell_lanes(&word);
    }

    /// An override; it stays in force, and is written down with who ordered it and why.
    fn change_force(&mut self, mut force: Force) -> Result<(), Refusal> {
        if force.reason.trim().is_empty() {
            return Err(Refusal::new(Class::Invalid, "an override needs a reason"));
        }
        if let Some(name) = &force.host {
            let host = choose::among(&self.rows, std::slice::from_ref(name))?;
            force.host = host.first().and_then(|host| self.row(*host)).map(|row| row.name.clone());
        }
        let actor = self.actor();
        self.noted(StepKind::Gate, "force", None, json!({ "force": force, "by": actor }));
        if !self.s.force.contains(&force) {
            self.s.force.push(force);
        }
        self.tell_change();
        Ok(())
    }

    fn change_start(&mut self, at: hostler_common::time::Timestamp) -> Result<(), Refusal> {
        if at == self.s.spec.maintenance_at {
            return Ok(());
        }
        if !matches!(self.s.stage, Stage::Fetching | Stage::Announcing | Stage::Starting) {
            return Err(self.conflict("it has begun already"));
        }
        self.s.spec.maintenance_at = at.max(self.now().after(super::create::FLOOR));
        // Who agreed to another moment is asked anew.
        self.retire(|question| question.state == State::Maintenance);
        self.s.past.retain(|past| past.state != State::Maintenance);
        if self.s.stage == Stage::Starting {
            self.enter(Stage::Announcing);
        }
        Ok(())
    }

    fn add_hosts(&mut self, names: &[String]) -> Result<(), Refusal> {
        if names.is_empty() {
            return Ok(());
        }
        let closed = matches!(self.s.stage, Stage::Post | Stage::Completing | Stage::Done | Stage::Failing);
        if closed {
            return Err(self.conflict("no host can be added any more"));
        }
        let hosts = choose::named(&self.facts().fleet, names)?;
        choose::free(&hosts, self.s.id.0)?;
        for host in hosts {
            if self.row(host.host).is_none() {
                self.take_in(host);
                self.tell_host(host.host, &host.name, ADDED);
            }
        }
        Ok(())
    }

    fn remove_hosts(&mut self, names: &[String]) -> Result<(), Refusal> {
        // One that is not there any more was taken out before.
        let known: Vec<String> = names
            .iter()
            .filter(|name| choose::among(&self.rows, std::slice::from_ref(name)).is_ok())
            .cloned()
            .collect();
        for host in choose::among(&self.rows, &known)? {
            let Some(row) = self.row(host).cloned() else { continue };
            if row.phase != HostPhase::Pending || row.attempts > 0 {
                return Err(self.conflict(&format!("{} has begun already", row.name)));
            }
            if row.disabled {
                self.out.writes.push(Write::Service { host, disabled: row.disabled_before.clone() });
            }
            self.rows.retain(|row| row.host != host);
            if self.s.first == Some(host) {
                self.s.first = None;
            }
            self.out.writes.push(Write::Unlock(host));
            self.out.writes.push(Write::HostGone(host));
            self.tell_host(host, &row.name, REMOVED);
        }
        Ok(())
    }

    /// Failed hosts are accepted as they are: they are given back, and left out.
    fn skip_hosts(&mut self, names: &[String]) -> Result<(), Refusal> {
        let actor = self.actor();
        for host in choose::among(&self.rows, names)? {
            let Some(row) = self.row(host).cloned() else { continue };
            let accepted = Reason::new(SKIPPED, format!("left out by {actor}")).on(host, row.name.clone());
            let stage = self.s.lane(host).map(|lane| lane.stage);
            match (row.phase, stage) {
                (HostPhase::Skipped, _) => self.settle_host(host, HostPhase::Skipped, Some(accepted)),
                (_, Some(LaneStage::Ending)) => {
                    if let Some(lane) = self.lane_mut(host) {
                        lane.then = Some(Then::Skipped(accepted));
                    }
                }
                (HostPhase::Failed, None) | (_, Some(LaneStage::Unknown)) => {
                    self.open_lane(&row);
                    self.end_lane(host, Then::Skipped(accepted), &ToStay::Skip);
                }
                (HostPhase::Pending, None) if self.s.resting.contains(&host) => {
                    self.open_lane(&row);
                    self.end_lane(host, Then::Skipped(accepted), &ToStay::Skip);
                }
                (HostPhase::Pending, None) => self.settle_host(host, HostPhase::Skipped, Some(accepted)),
                _ => return Err(self.conflict(&format!("{} has not failed", row.name))),
            }
        }
        Ok(())
    }

    /// Failed hosts have their turn again. Says whether there are any.
    fn retry_hosts(&mut self, names: &[String]) -> Result<bool, Refusal> {
        let mut any = false;
        for host in choose::among(&self.rows, names)? {
            let Some(row) = self.row(host).cloned() else { continue };
            any = true;
            match (row.phase, self.s.lane(host).map(|lane| lane.stage)) {
                (_, Some(LaneStage::Unknown)) => self.begin_again(host),
                (HostPhase::Failed | HostPhase::Skipped | HostPhase::Held, None) if self.s.stage != Stage::Done => {
                    self.turn_again(&row);
                }
                (HostPhase::Pending, _) | (_, Some(_)) => {}
                _ => return Err(self.conflict(&format!("{} has not failed", row.name))),
            }
        }
        Ok(any)
    }

    fn turn_again(&mut self, old: &SessionHost) {
        let Some(row) = self.row_mut(old.host) else { return };
        (row.phase, row.finished_at) = (HostPhase::Pending, None);
        if matches!(self.s.stage, Stage::Post | Stage::Completing) && self.s.errand.is_none() {
            self.retire(|question| question.state == State::MaintenanceComplete);
            self.enter(Stage::Rolling);
        }
    }

    /// Opens whatever waits for an approval.
    fn approve(&mut self) -> Result<(), Refusal> {
        let waiting: Vec<HostId> = self.s.lanes.iter().filter(|lane| lane.approval).map(|lane| lane.host).collect();
        let actor = self.actor();
        let first = self.s.stage == Stage::Rolling && self.needs_first_approval();
        if self.s.stage == Stage::Fetching && self.needs_session_approval() {
            self.s.approved = true;
        } else if first {
            self.s.first_approved = true;
        } else if waiting.is_empty() && !self.s.approved && !self.s.first_approved {
            return Err(self.conflict("nothing waits for an approval"));
        }
        for host in &waiting {
            if let Some(lane) = self.lane_mut(*host) {
                lane.approval = false;
            }
            self.tell_stay(*host, &ToStay::Approved);
        }
        self.noted(StepKind::Gate, "approval", waiting.first().copied(), json!({ "by": actor }));
        debug_assert!(self.s.questions.iter().all(|question| question.answer != Answer::Waiting || !first));
        Ok(())
    }
}
