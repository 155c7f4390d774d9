//! Which host comes next (spec/maintenance.md §3.4, §3.9).

use std::time::Duration;

use hostler_common::id::HostId;

use super::document::LaneStage;
use super::empty::LOOK;
use super::lane::SKIPPED;
use super::window::{Opening, opening};
use super::{Stage, Turn};
use crate::maintenance::host::{HostPhase, Role, SessionHost};
use crate::maintenance::plan;
use crate::maintenance::policy::{Approval, Gate, OnFail, Outside};
use crate::maintenance::spec::Workflow;
use crate::maintenance::state::{Reason, State};
use crate::maintenance::word::ToStay;

/// How long hosts may have no place for their instances before that counts as a failure: a landing host may be back soon.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many hosts with instances are tried in one look while others are at work.
const GLANCE: usize = 8;

/// What is to be done next.
enum Next {
    /// That host begins.
    Begin { host: HostId, ask: State, twice: bool },
    /// Something is waited for.
    Wait,
    /// No host can be emptied, and nothing is at work that could change that.
    Blocked(HostId, Reason),
    /// No host is left.
    Nothing,
}

impl Turn<'_> {
    pub(super) fn step_rolling(&mut self) -> bool {
        if self.close_window() {
            return true;
        }
        if self.s.outside {
            return false;
        }
        if self.too_many_failed() {
            return true;
        }
        self.fence();
        for host in self.lanes_in(&[LaneStage::Emptying]) {
            if self.empty_host(host) {
                return true;
            }
        }
        match self.next_host() {
            Next::Begin { host, ask, twice } => self.begin(host, ask, twice),
            Next::Wait => false,
            Next::Blocked(host, reason) => self.blocked(host, reason),
            Next::Nothing => {
                self.enter(Stage::Post);
                true
            }
        }
    }

    fn begin(&mut self, host: HostId, ask: State, twice: bool) -> bool {
        let Some(row) = self.row(host).cloned() else { return false };
        self.s.blocked = None;
        self.s.batch.1 += 1;
        self.begin_stay(&row, ask);
        if twice {
            self.warn(format!("instances of {} land on hosts whose turn comes later, and move twice", row.name));
        }
        if let Some(lane) = self.lane_mut(host) {
            lane.twice = twice;
        }
        true
    }

    /// Whether the window is open, if there is one.
    pub(super) fn in_window(&self) -> bool {
        let policy = &self.s.spec.policy;
        let open = |window| matches!(opening(window, &self.facts().zone, self.now()), Opening::Open(_));
        policy.window.as_ref().is_none_or(open)
    }

    /// Waits for the window; `None` means that it is open.
    pub(super) fn await_window(&mut self) -> Option<()> {
        let window = self.s.spec.policy.window.clone()?;
        match opening(&window, &self.facts().zone, self.now()) {
            Opening::Open(until) => {
                self.wake_at(until);
                return None;
            }
            // Zones are known for a while only: it is looked again before.
            Opening::Opens(at) => self.wake_at(at.min(self.now().after(Duration::from_secs(86_400)))),
            Opening::Never => self.fail(Reason::new("window.never", "the window does not open within a year")),
        }
        Some(())
    }

    /// Lets work in flight rest outside of the window, and go on in it, where the policy says so.
    fn close_window(&mut self) -> bool {
        let rests = self.s.spec.policy.window.as_ref().is_some_and(|window| window.outside == Outside::Pause);
        let open = !rests || self.in_window();
        if open == self.s.outside {
            self.s.outside = !open;
            self.tell_lanes(&ToStay::Pause(!open));
            if open {
                self.thaw();
            }
            return true;
        }
        if !open && self.await_window().is_some() {
            return self.s.stage != Stage::Rolling;
        }
        false
    }

    /// Whether somebody has to approve the session before anything else.
    pub(super) fn needs_session_approval(&self) -> bool {
        self.has_gate(Approval::Session) && !self.s.approved
    }

    /// Whether somebody has to approve before the first host.
    pub(super) fn needs_first_approval(&self) -> bool {
        self.has_gate(Approval::FirstHost) && !self.s.first_approved
    }

    fn has_gate(&self, wanted: Approval) -> bool {
        let is = |gate: &Gate| matches!(gate, Gate::ManualApproval { before } if *before == wanted);
        self.s.spec.policy.gates.iter().any(is)
    }

    /// Waits for an approval, for as long as a gate may stay closed.
    pub(super) fn await_approval(&mut self) -> bool {
        let limit = Duration::from_secs(u64::from(self.s.spec.policy.gate_timeout));
        let until = self.attended(self.s.since).after(limit);
        if self.now() < until {
            self.wake_at(until);
            return false;
        }
        self.fail(Reason::new("gate.timeout", "nobody approved in time"));
        true
    }

    /// Hosts that failed, and are not accepted as they are.
    pub(super) fn failures(&self) -> usize {
        let failed = |row: &&SessionHost| match row.phase {
            HostPhase::Failed => true,
            HostPhase::Skipped => {
                row.reason.as_ref().is_some_and(|reason| reason.code != SKIPPED && reason.code != "reply.nack")
            }
            _ => false,
        };
        self.rows.iter().filter(failed).count()
    }

    fn too_many_failed(&mut self) -> bool {
        let most = self.s.spec.policy.max_failed_hosts.of(self.rows.len());
        let failures = self.failures();
        if most == 0 || failures <= most {
            return false;
        }
        self.fail(Reason::new("hosts.failed", format!("{failures} hosts failed, of at most {most}")));
        true
    }

    /// Hosts of the session whose turn has not come, that are not at work, and this one.
    pub(super) fn later_hosts(&self, host: HostId) -> Vec<HostId> {
        let later = |row: &&SessionHost| row.host == host || row.phase == HostPhase::Pending;
        self.rows.iter().filter(later).map(|row| row.host).collect()
    }

    fn next_host(&mut self) -> Next {
        let idle = self.s.lanes.is_empty();
        let mut waiting = self.candidates();
        if waiting.is_empty() {
            return if idle && self.s.moves.is_empty() { Next::Nothing } else { Next::Wait };
        }
        if let Some(back) = self.awaits_agents() {
            self.wake_at(back.min(self.now().after(LOOK)));
            return Next::Wait;
        }
        if self.await_window().is_some() {
            return Next::Wait;
        }
        if self.needs_first_approval() {
            self.await_approval();
            return Next::Wait;
        }
        if !self.batch_allows(idle) || !self.lanes_allow() {
            return Next::Wait;
        }
        if !self.enough_available() {
            // One that is out of service already makes no difference.
            let first = waiting[0].host;
            waiting.retain(|row| self.s.resting.contains(&row.host));
            if waiting.is_empty() {
                let reason = Reason::new("hosts.unavailable", "as many hosts as may be out of service at once are so");
                return if idle { Next::Blocked(first, reason) } else { Next::Wait };
            }
        }
        self.choose_next(&waiting, idle)
    }

    /// Hosts whose turn has not come, in their order: the one that is to be the spare host, those that are out of service by a
    /// failure, then controllers, the one of the manager last among them.
    fn candidates(&self) -> Vec<SessionHost> {
        let mut waiting: Vec<_> = self.rows.iter().filter(|row| row.phase == HostPhase::Pending).cloned().collect();
        waiting.sort_by_cached_key(|row| {
            let controller = row.roles.contains(&Role::Controller);
            let manager = self.fleet(row.host).is_some_and(|host| host.manager);
            let deferred = self.s.deferred.contains(&row.host);
            let place = row.order_no.unwrap_or(u32::MAX);
            let rests = self.s.resting.contains(&row.host);
            (
                deferred,
                self.s.first != Some(row.host),
                !rests,
                !controller,
                controller && manager,
                place,
                row.name.clone(),
            )
        });
        waiting
    }

    fn lanes_allow(&self) -> bool {
        let most = self.s.spec.policy.max_parallel_hosts as usize;
        let lanes = &self.s.lanes;
        (most == 0 || lanes.len() < most)
            && !lanes.iter().any(|lane| lane.controller || lane.ask == State::PrepareMaintenance)
    }

    fn enough_available(&self) -> bool {
        let Some(most) = self.s.spec.policy.max_unavailable else { return true };
        let most = most.of(self.rows.len()).max(1);
        let rests = |row: &SessionHost| row.phase == HostPhase::Pending && self.s.resting.contains(&row.host);
        let out = |row: &&SessionHost| matches!(row.phase, HostPhase::Failed | HostPhase::Held) || rests(row);
        self.s.lanes.len() + self.rows.iter().filter(out).count() < most
    }

    /// Whether the batch has room, after its rest.
    fn batch_allows(&mut self, idle: bool) -> bool {
        let now = self.now();
        if let Some(until) = self.s.rest_until {
            if now < until {
                self.wake_at(until);
                return false;
            }
            self.s.rest_until = None;
        }
        let batches = &self.s.spec.policy.batch;
        let (number, begun) = self.s.batch;
        let Some(size) = batches.get(number as usize).or(batches.last()) else { return true };
        if (begun as usize) < size.of(self.rows.len()).max(1) {
            return true;
        }
        if !idle {
            return false;
        }
        self.s.batch = (number + 1, 0);
        let rest = self.s.spec.policy.pause_between;
        if rest > 0 {
            let until = now.after(Duration::from_secs(u64::from(rest)));
            self.s.rest_until = Some(until);
            self.wake_at(until);
        }
        rest == 0
    }

    fn choose_next(&mut self, waiting: &[SessionHost], idle: bool) -> Next {
        let mut blocker = None;
        let mut tried = 0;
        for row in waiting {
            if !self.goes_with_lanes(row) {
                if row.roles.contains(&Role::Controller) {
                    return Next::Wait;
                }
                continue;
            }
            let ask = match self.s.first == Some(row.host) {
                true => State::PrepareMaintenance,
                false => State::PlannedMaintenance,
            };
            tried += 1;
            if !idle && tried > GLANCE {
                break;
            }
            match self.can_be_emptied(row, ask) {
                Ok(()) => return Next::Begin { host: row.host, ask, twice: false },
                Err(reason) => blocker = blocker.or(Some((row.host, reason))),
            }
        }
        let Some((host, reason)) = blocker.filter(|_| idle && self.s.moves.is_empty()) else { return Next::Wait };
        // Where nothing else is left, instances move twice rather than not at all.
        let placed = |row: &&SessionHost| {
            let sight = self.sight(&self.later_hosts(row.host), Some(row.host));
            plan::place(&sight.world(), row.host).is_ok()
        };
        match waiting.iter().find(placed) {
            Some(row) => Next::Begin { host: row.host, ask: State::PlannedMaintenance, twice: true },
            None => Next::Blocked(host, reason),
        }
    }

    /// Whether a host may be at work together with those that are: within its failure domain, and never two domains of one
    /// storage cluster.
    fn goes_with_lanes(&self, row: &SessionHost) -> bool {
        let lanes = &self.s.lanes;
        if row.roles.contains(&Role::Controller) && !lanes.is_empty() {
            return false;
        }
        let most = self.s.spec.policy.max_parallel_per_domain.max(1) as usize;
        let within = lanes.iter().filter(|lane| lane.domain.is_some() && lane.domain == row.domain).count();
        let cluster = |host| self.fleet(host).and_then(|one| one.cluster.as_deref());
        let own = cluster(row.host);
        let apart = lanes.iter().any(|lane| own.is_some() && cluster(lane.host) == own && lane.domain != row.domain);
        (row.domain.is_none() || within < most) && !apart
    }

    fn can_be_emptied(&self, row: &SessionHost, ask: State) -> Result<(), Reason> {
        if self.on_host(row.host).next().is_none() || ask == State::PrepareMaintenance {
            return Ok(());
        }
        if self.s.spec.policy.compute_mode != crate::maintenance::policy::ComputeMode::Strict {
            return Ok(());
        }
        let sight = self.sight(&[row.host], Some(row.host));
        let Err(blockers) = plan::place(&sight.world(), row.host) else { return Ok(()) };
        let code = blockers.first().map_or("capacity.insufficient", |blocker| blocker.code);
        let texts: Vec<_> = blockers.iter().take(3).map(|blocker| blocker.text.clone()).collect();
        Err(Reason::new(code, texts.join("; ")).on(row.host, row.name.clone()))
    }

    /// No host can begin: after a while the session fails, or goes on without the host.
    fn blocked(&mut self, host: HostId, reason: Reason) -> bool {
        let now = self.now();
        let since = *self.s.blocked.get_or_insert(now);
        let until = since.after(PATIENCE);
        if now < until {
            self.wake_at(until.min(now.after(LOOK)));
            return false;
        }
        self.s.blocked = None;
        match self.s.spec.policy.on_fail {
            OnFail::Skip => self.settle_host(host, HostPhase::Skipped, Some(reason)),
            OnFail::Stop | OnFail::Force => self.fail(reason),
        }
        true
    }

    /// Whether owners are asked per instance.
    pub(super) fn per_instance(&self) -> bool {
        self.s.spec.workflow == Workflow::Vnf
    }
}
