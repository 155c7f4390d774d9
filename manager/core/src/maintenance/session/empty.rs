//! Emptying a host: its owners are asked, then its instances leave (spec/maintenance.md §3.5, §3.7 steps 5 to 7).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hostler_common::id::HostId;

use super::Turn;
use super::ask::Asking;
use super::converse::{Group, Talk};
use super::document::{Lane, LaneStage, Own, Then};
use crate::maintenance::instance::{Instance, InstanceState, MoveAction};
use crate::maintenance::plan::{self, Landing};
use crate::maintenance::policy::{ComputeMode, OnOwnActionTimeout};
use crate::maintenance::question::{Answer, Question};
use crate::maintenance::row::StepState;
use crate::maintenance::spec::{Leave, Workflow};
use crate::maintenance::state::{Reason, State};
use crate::maintenance::word::ToStay;

/// How often it is looked at what nobody tells: instances that their owners take away, budgets, room.
pub const LOOK: Duration = Duration::from_secs(5);

/// How long a host may be without progress although nothing more is to be waited for (§2.5).
const QUIET: Duration = Duration::from_secs(600);

/// How late the compute side may say that an instance has left.
const LAG: Duration = Duration::from_secs(60);

/// Whether an instance can be moved while it runs.
pub fn can_live(instance: &Instance) -> bool {
    instance.can_live_migrate && matches!(instance.state, InstanceState::Active | InstanceState::Paused)
}

/// An instance that may set out, as far as its owner is concerned.
struct Ready<'c> {
    one: &'c Instance,
    action: MoveAction,
    chosen: bool,
    reply_at: hostler_common::time::Timestamp,
}

impl<'c> Turn<'c> {
    /// One look at a host that is being emptied. Says whether anything changed.
    pub(super) fn empty_host(&mut self, host: HostId) -> bool {
        if self.own_actions(host) {
            return true;
        }
        let Some(lane) = self.s.lane(host).cloned() else { return false };
        let there: Vec<&'c Instance> = self.on_host(host).filter(|one| !lane.left.contains(&one.id)).collect();
        let going = self.s.moves.iter().filter(|one| one.from == host).count();
        if there.is_empty() && going == 0 {
            return self.emptied(host);
        }
        self.wake_at(self.now().after(LOOK));
        if self.leave_behind(&lane, &there) || self.ask_owners(&lane, &there) {
            return true;
        }
        match self.converse(Group::Lane(host)) {
            Talk::Failed(reason) => {
                self.fail(reason);
                return true;
            }
            Talk::Skip(reason) => {
                self.end_lane(host, Then::Skipped(reason), &ToStay::Skip);
                return true;
            }
            Talk::Defer(_) => {
                self.s.deferred.insert(host);
                self.end_lane(host, Then::Pending, &ToStay::End(Leave::Exit));
                return true;
            }
            Talk::Open if self.s.spec.workflow == Workflow::Default => return false,
            Talk::Open | Talk::Agreed => {}
        }
        self.set_out(&lane, &there) || self.too_quiet(&lane)
    }

    fn emptied(&mut self, host: HostId) -> bool {
        let now = self.now();
        self.retire(|question| question.host == Some(host));
        if self.s.first == Some(host) {
            self.s.first = None;
        }
        if let Some(lane) = self.lane_mut(host) {
            (lane.stage, lane.since) = (LaneStage::Working, now);
        }
        self.tell_stay(host, &ToStay::Emptied);
        true
    }

    /// The host cannot be emptied. The one that was to be the spare one is given back, and projects are asked to shrink; any
    /// other fails.
    pub(super) fn cannot_empty(&mut self, host: HostId, reason: Reason) {
        let Some(lane) = self.s.lane(host).filter(|lane| lane.stage == LaneStage::Emptying).cloned() else { return };
        self.retire(|question| question.host == Some(host));
        self.forget_own(host);
        let reason = reason.on(host, lane.name);
        if lane.ask == State::PrepareMaintenance {
            return self.end_lane(host, Then::ScaleIn(reason), &ToStay::End(Leave::Exit));
        }
        let now = self.now();
        if let Some(lane) = self.lane_mut(host) {
            (lane.stage, lane.since) = (LaneStage::Working, now);
        }
        self.tell_stay(host, &ToStay::CannotEmpty(reason));
    }

    /// Looks after instances that their owners take away.
    fn own_actions(&mut self, host: HostId) -> bool {
        let own: BTreeMap<String, Own> = self.s.lane(host).map(|lane| lane.own.clone()).unwrap_or_default();
        let grace = Duration::from_secs(u64::from(self.s.spec.policy.own_action_grace));
        for (id, Own { key, until }) in own {
            let there = self.on_host(host).find(|one| one.id == id);
            let until = until.max(self.cx.since.after(grace));
            let late = self.now() >= until;
            if there.is_some() && !late {
                self.wake_at(until);
                continue;
            }
            if let Some(lane) = self.lane_mut(host) {
                lane.own.remove(&id);
            }
            let Some(one) = there else {
                self.ended(key, StepState::Done, serde_json::Value::Null, None);
                let row = self.facts().instances.iter().find(|row| row.id == id);
                let project = row.map(|row| row.project.clone()).unwrap_or_default();
                self.left_host(host, &id, &project);
                return true;
            };
            let text = format!("the owner of {id} did not take it away in time");
            let reason = Reason::new("own_action.timeout", text);
            self.ended(key, StepState::Failed, serde_json::Value::Null, Some(reason.clone()));
            self.bar(host, &id, MoveAction::OwnAction, false);
            if self.s.spec.policy.on_own_action_timeout == OnOwnActionTimeout::Fail {
                self.cannot_empty(host, reason);
            } else {
                self.warn(format!("{} is moved: {}", one.id, reason.text));
            }
            return true;
        }
        false
    }

    /// Instances that stay, because the policy says so.
    fn leave_behind(&mut self, lane: &Lane, there: &[&Instance]) -> bool {
        if self.s.spec.policy.compute_mode == ComputeMode::Strict {
            return false;
        }
        let stays: Vec<String> = there.iter().filter(|one| !can_live(one)).map(|one| one.id.clone()).collect();
        for id in &stays {
            self.warn(format!("{id} stays on {}: it cannot be moved while it runs", lane.name));
        }
        if let Some(lane) = self.lane_mut(lane.host) {
            lane.left.extend(stays.iter().cloned());
        }
        !stays.is_empty()
    }

    /// Asks owners of instances about which nobody was asked yet.
    fn ask_owners(&mut self, lane: &Lane, there: &[&Instance]) -> bool {
        let asked: BTreeSet<&String> = self
            .s
            .questions
            .iter()
            .filter(|question| question.host == Some(lane.host))
            .flat_map(|question| &question.instances)
            .collect();
        let going = |id: &String| self.s.moves.iter().any(|one| one.instance == *id) || lane.own.contains_key(id);
        let fresh: Vec<&Instance> =
            there.iter().copied().filter(|one| !asked.contains(&one.id) && !going(&one.id)).collect();
        if fresh.is_empty() {
            return false;
        }
        let vnf = self.s.spec.workflow == Workflow::Vnf;
        let mut groups: BTreeMap<(String, Option<String>), Vec<&Instance>> = BTreeMap::new();
        for one in fresh {
            let instance = vnf.then(|| one.id.clone());
            groups.entry((one.project.clone(), instance)).or_default().push(one);
        }
        for ((project, instance), ones) in groups {
            let asking = Asking {
                state: lane.ask,
                host: Some(lane.host),
                allowed: allowed(lane, &ones),
                instances: ones.iter().map(|one| one.id.clone()).collect(),
                project,
                instance,
            };
            self.ask(asking);
        }
        self.clear_others();
        true
    }

    /// Instances whose owners agreed, or were overruled, the largest first.
    fn ready(&self, lane: &Lane, there: &[&'c Instance]) -> Vec<Ready<'c>> {
        let going = |id: &String| self.s.moves.iter().any(|one| one.instance == *id) || lane.own.contains_key(id);
        let about = |id: &String| {
            let mine = |question: &&Question| question.host == Some(lane.host) && question.instances.contains(id);
            self.s.questions.iter().find(mine)
        };
        let left = |id: &String| lane.moved.get(id).is_some_and(|at| self.now() < self.attended(*at).after(LAG));
        let mut ready: Vec<Ready<'c>> = there
            .iter()
            .filter(|one| !going(&one.id) && !left(&one.id))
            .filter_map(|one| {
                let question = about(&one.id)?;
                let agreed = matches!(question.answer, Answer::Ack | Answer::Presumed);
                let named = question.actions.get(&one.id).copied();
                let action = named.unwrap_or_else(|| self.default_action(lane, one));
                let chosen = named.is_some();
                agreed.then_some(Ready { one, action, chosen, reply_at: question.reply_at })
            })
            .collect();
        ready.sort_by(|a, b| (b.one.size.memory_mib, &a.one.id).cmp(&(a.one.size.memory_mib, &b.one.id)));
        ready
    }

    /// How an instance leaves if nobody says otherwise, or as its record says (§3.5 D), among the ways that are left.
    fn default_action(&self, lane: &Lane, one: &Instance) -> MoveAction {
        let record = self.facts().constraints.get(&one.id).map(|constraint| constraint.migration_type);
        let vnf = self.s.spec.workflow == Workflow::Vnf;
        let barred = |action: MoveAction| lane.barred.get(&one.id).is_some_and(|barred| barred.contains(&action));
        let preferred = record.filter(|_| vnf).unwrap_or(MoveAction::LiveMigrate);
        match preferred {
            MoveAction::LiveMigrate if !can_live(one) || barred(MoveAction::LiveMigrate) => MoveAction::Migrate,
            other if barred(other) => MoveAction::Migrate,
            other => other,
        }
    }

    /// Lets instances set out, as far as groups, room and the number of moves allow.
    fn set_out(&mut self, lane: &Lane, there: &[&'c Instance]) -> bool {
        let ready = self.ready(lane, there);
        let most = match self.s.spec.policy.max_parallel_moves {
            0 => usize::MAX,
            most => most as usize,
        };
        let mut going = self.s.moves.iter().filter(|one| one.from == lane.host).count();
        let mut changed = false;
        for Ready { one, action, chosen, reply_at } in ready {
            let own = action == MoveAction::OwnAction;
            if one.busy || (!own && going >= most) {
                continue;
            }
            // Each that sets out changes what the next one may do.
            let sight = self.sight(&self.landing_hosts(lane), Some(lane.host));
            if !plan::may_act(&sight.world(), &one.id) {
                continue;
            }
            if own {
                self.begin_own(one, reply_at);
                changed = true;
                continue;
            }
            let Some(landing) = landing(&sight, lane.host, &one.id) else { continue };
            self.begin_move(one, action, landing, chosen);
            going += 1;
            changed = true;
        }
        changed
    }

    /// Hosts of the session on which something may land although they are not done: none, except for the one that becomes the
    /// spare one, and where nothing else is left.
    fn landing_hosts(&self, lane: &Lane) -> Vec<HostId> {
        match lane.ask == State::PrepareMaintenance || lane.twice {
            true => self.later_hosts(lane.host),
            false => vec![lane.host],
        }
    }

    /// A host that stays occupied although there is nothing to wait for cannot be emptied.
    fn too_quiet(&mut self, lane: &Lane) -> bool {
        let host = lane.host;
        let waits = self.s.questions.iter().any(|one| one.host == Some(host) && one.answer == Answer::Waiting);
        let going = self.s.moves.iter().any(|one| one.from == host) || !lane.own.is_empty();
        if waits || going {
            return false;
        }
        let sight = self.sight(&self.landing_hosts(lane), Some(host));
        let (limit, code, text) = match plan::place(&sight.world(), host) {
            Err(blockers) => {
                let texts: Vec<_> = blockers.iter().take(3).map(|blocker| blocker.text.clone()).collect();
                (QUIET, blockers.first().map_or("host.not_empty", |blocker| blocker.code), texts.join("; "))
            }
            Ok(_) => {
                let limit = Duration::from_secs(u64::from(self.s.spec.policy.gate_timeout));
                (limit, "host.not_empty", "its instances may not be acted on, or are in use".to_owned())
            }
        };
        let until = self.attended(lane.since).after(limit);
        if self.now() < until {
            self.wake_at(until);
            return false;
        }
        self.cannot_empty(host, Reason::new(code, text));
        true
    }
}

/// Where an instance goes, if the whole rest of its host could go somewhere.
fn landing(sight: &super::room::Sight<'_>, host: HostId, id: &str) -> Option<Landing> {
    plan::place(&sight.world(), host).ok()?.into_iter().find(|landing| landing.instance == id)
}

/// The ways to leave that are offered: those that could work for some of the instances.
fn allowed(lane: &Lane, ones: &[&Instance]) -> Vec<MoveAction> {
    let barred = |one: &Instance, action| lane.barred.get(&one.id).is_some_and(|barred| barred.contains(&action));
    let works = |action: &MoveAction| {
        ones.iter().any(|one| !barred(one, *action) && (*action != MoveAction::LiveMigrate || can_live(one)))
    };
    [MoveAction::Migrate, MoveAction::LiveMigrate, MoveAction::OwnAction].into_iter().filter(works).collect()
}
