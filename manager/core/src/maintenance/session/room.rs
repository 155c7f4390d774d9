//! Whether there is room, and what is done about it if there is not (spec/maintenance.md §2.3, §3.4).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;

use super::converse::{Group, Talk};
use super::{Stage, Turn};
use crate::maintenance::constraint::{GroupConstraint, InstanceConstraint};
use crate::maintenance::host::{FleetHost, HostPhase};
use crate::maintenance::instance::Computes;
use crate::maintenance::plan::{self, Room, World};
use crate::maintenance::policy::{ComputeMode, Policy};
use crate::maintenance::spec::Workflow;
use crate::maintenance::state::{Reason, State};

/// What a plan is made from, as it is in this turn.
pub struct Sight<'c> {
    todo: Vec<FleetHost>,
    done: BTreeSet<HostId>,
    others: Vec<FleetHost>,
    computes: Cow<'c, Computes>,
    constraints: Cow<'c, BTreeMap<String, InstanceConstraint>>,
    groups: Cow<'c, BTreeMap<String, GroupConstraint>>,
    impacted: BTreeMap<String, Option<Timestamp>>,
    workflow: Workflow,
    policy: Policy,
}

impl Sight<'_> {
    pub fn world(&self) -> World<'_> {
        World {
            todo: &self.todo,
            done: &self.done,
            others: &self.others,
            computes: &self.computes,
            constraints: &self.constraints,
            groups: &self.groups,
            impacted: &self.impacted,
            workflow: self.workflow,
            policy: &self.policy,
        }
    }
}

impl<'c> Turn<'c> {
    /// The world with these hosts of the session still to be done; overrides are those of the session, and of `host`.
    pub(super) fn sight(&self, todo: &[HostId], host: Option<HostId>) -> Sight<'c> {
        let facts = self.facts();
        let own = |id: HostId| self.row(id);
        let landing = |one: &&FleetHost| match own(one.host) {
            Some(row) => row.maintained || row.phase == HostPhase::Skipped,
            None => one.locked_by.is_none_or(|other| other == self.s.id.0),
        };
        let free = self.forced(host, |force| force.ignore_constraints);
        Sight {
            todo: facts.fleet.iter().filter(|one| todo.contains(&one.host)).cloned().collect(),
            done: self.rows.iter().filter(|row| row.maintained).map(|row| row.host).collect(),
            others: facts.fleet.iter().filter(landing).filter(|one| !todo.contains(&one.host)).cloned().collect(),
            computes: self.computes(host),
            constraints: if free { Cow::Owned(BTreeMap::new()) } else { Cow::Borrowed(&facts.constraints) },
            groups: if free { Cow::Owned(BTreeMap::new()) } else { Cow::Borrowed(&facts.groups) },
            impacted: self.impacted(),
            workflow: self.s.spec.workflow,
            policy: self.s.spec.policy.clone(),
        }
    }

    /// Instances as they are, except that those on their way count where they go: what they need there is taken. Those of
    /// `host` that stay there, or that their owners take away, need nothing anywhere else.
    fn computes(&self, host: Option<HostId>) -> Cow<'c, Computes> {
        let lane = host.and_then(|host| self.s.lane(host));
        let apart = |id: &String| lane.is_some_and(|lane| lane.left.contains(id) || lane.own.contains_key(id));
        if self.s.moves.is_empty() && lane.is_none_or(|lane| lane.left.is_empty() && lane.own.is_empty()) {
            return Cow::Borrowed(&self.facts().computes);
        }
        let mut computes = self.facts().computes.clone();
        computes.instances.retain(|one| Some(one.host) != host || !apart(&one.id));
        for going in &self.s.moves {
            let instance = computes.instances.iter_mut().find(|one| one.id == going.instance && one.host == going.from);
            if let (Some(instance), Some(to)) = (instance, going.to) {
                instance.host = to;
            }
        }
        Cow::Owned(computes)
    }

    /// Who is impacted now: what others say, and what this session knows better of its own.
    fn impacted(&self) -> BTreeMap<String, Option<Timestamp>> {
        let now = self.now();
        let facts = self.facts();
        let ours: BTreeSet<&str> =
            facts.instances.iter().filter(|row| row.impacted_from.is_some()).map(|row| row.id.as_str()).collect();
        let lasts = |until: &Option<Timestamp>| until.is_none_or(|until| until > now);
        let others = facts.impacted.iter().filter(|(id, until)| lasts(until) && !ours.contains(id.as_str()));
        let own = self.instances.values().filter(|row| row.impacted_from.is_some() && lasts(&row.recovered_at));
        let mut impacted: BTreeMap<_, _> = others.map(|(id, until)| (id.clone(), *until)).collect();
        impacted.extend(own.map(|row| (row.id.clone(), row.recovered_at)));
        impacted
    }

    /// Makes a plan, and goes where it leads.
    pub(super) fn evaluate(&mut self) -> bool {
        let todo: Vec<HostId> =
            self.rows.iter().filter(|row| row.phase == HostPhase::Pending).map(|row| row.host).collect();
        let plan = plan::plan(&self.sight(&todo, None).world());
        for planned in &plan.hosts {
            if let Some(row) = self.row_mut(planned.host) {
                row.order_no = Some(planned.order);
                row.domain.clone_from(&planned.domain);
            }
        }
        plan.warnings.into_iter().for_each(|warning| self.warn(warning));
        self.s.first = None;
        // Once a host is done, others are emptied onto it: whether that works is found out for each.
        let begun = self.rows.iter().any(|row| row.maintained);
        match plan.room {
            // One that was put off comes after all others: it cannot be what they wait for.
            Room::Scattered { first } if !begun && !self.s.deferred.contains(&first) => self.s.first = Some(first),
            Room::Missing { size, remove } if !begun && self.s.spec.policy.compute_mode == ComputeMode::Strict => {
                let text = format!(
                    "no host can be emptied: {} vCPUs, {} MiB of memory and {} GiB of disk are missing",
                    size.vcpus, size.memory_mib, size.disk_gib
                );
                self.scale_in(Reason::new("capacity.insufficient", text), &remove);
                return true;
            }
            Room::Spare { .. } | Room::Scattered { .. } | Room::Missing { .. } => {}
        }
        self.enter(Stage::Rolling);
        true
    }

    /// Projects are asked to shrink, unless they were often enough.
    fn scale_in(&mut self, reason: Reason, remove: &[String]) {
        self.s.scale_rounds += 1;
        if self.s.scale_rounds > self.s.spec.policy.scale_in_rounds {
            return self.fail(reason);
        }
        self.retire(|question| question.host.is_none());
        let named = (self.s.spec.workflow == Workflow::Vnf).then_some(remove);
        if !self.ask_session(State::ScaleIn, named) {
            return self.fail(reason);
        }
        self.enter(Stage::ScalingIn);
    }

    /// The host that was to be the spare one could not be emptied.
    pub(super) fn scale_in_again(&mut self, reason: Reason) {
        if !matches!(self.s.stage, Stage::Rolling | Stage::Evaluating) {
            return;
        }
        let todo: Vec<HostId> =
            self.rows.iter().filter(|row| row.phase == HostPhase::Pending).map(|row| row.host).collect();
        let remove = match plan::plan(&self.sight(&todo, None).world()).room {
            Room::Missing { remove, .. } => remove,
            Room::Scattered { first } => self.on_host(first).map(|one| one.id.clone()).take(1).collect(),
            Room::Spare { .. } => return self.enter(Stage::Evaluating),
        };
        self.s.first = None;
        self.scale_in(reason, &remove);
    }

    pub(super) fn step_scaling(&mut self) -> bool {
        match self.converse(Group::Session(State::ScaleIn)) {
            Talk::Open => false,
            Talk::Agreed => {
                self.retire(|question| question.state == State::ScaleIn);
                self.enter(Stage::Evaluating);
                true
            }
            Talk::Failed(reason) | Talk::Skip(reason) | Talk::Defer(reason) => {
                self.fail(reason);
                true
            }
        }
    }
}
