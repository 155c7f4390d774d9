//! What must hold after every single decision.

use std::collections::BTreeMap;

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;

use super::world::{World, seconds};
use crate::maintenance::host::HostPhase;
use crate::maintenance::session::{LaneStage, Session, Stage};
use crate::maintenance::state::State;
use crate::outage::COMEBACK;

/// The states that may follow (spec §2.2), besides itself. A deleted session stays where it was.
fn may_become(from: State, to: State) -> bool {
    use State::*;
    match (from, to) {
        (MaintenanceDone, _) => false,
        (MaintenanceFailed, to) => !matches!(to, MaintenanceDone),
        (_, MaintenanceFailed) => true,
        (Maintenance, StartMaintenance | PrepareMaintenance | ScaleIn)
        | (ScaleIn, PrepareMaintenance | StartMaintenance)
        | (PrepareMaintenance, StartMaintenance | ScaleIn)
        | (StartMaintenance, PlannedMaintenance | MaintenanceComplete)
        | (PlannedMaintenance, StartMaintenance)
        | (MaintenanceComplete, MaintenanceDone | StartMaintenance) => true,
        _ => false,
    }
}

/// `ordered` says that somebody ordered another state.
pub fn hold(before: &Session, world: &World, ordered: bool) {
    let s = &world.s;
    waits_for_something(world);
    assert!(
        ordered || before.state == s.state || may_become(before.state, s.state),
        "{:?} -> {:?}",
        before.state,
        s.state
    );
    assert!(s.percent >= before.percent, "percent never goes back");
    assert!(s.percent < 100 || s.state == State::MaintenanceDone, "100 only at the end");
    for question in &s.questions {
        assert!(question.reply_at > question.asked_at, "{question:?}");
    }
    let mut domains = BTreeMap::<&str, u32>::new();
    for lane in &s.lanes {
        let row = &world.rows[&lane.host];
        assert!(row.phase.is_active() || row.phase == HostPhase::Failed, "{lane:?} {row:?}");
        if lane.stage != LaneStage::Ending {
            lane.domain.iter().for_each(|domain| *domains.entry(domain).or_default() += 1);
        }
    }
    assert!(domains.values().all(|lanes| *lanes <= s.spec.policy.max_parallel_per_domain.max(1)), "{domains:?}");
    for row in world.rows.values() {
        let laned = s.lane(row.host).is_some();
        assert!(laned || !row.phase.is_active(), "{} is {:?} without anybody at work on it", row.name, row.phase);
    }
    groups_hold(world);
    if matches!(s.stage, Stage::Done | Stage::Gone) {
        let kept = |host: &HostId| s.stage == Stage::Done && s.resting.contains(host);
        assert!(world.locks.iter().all(kept), "locks are given back");
        assert!(s.lanes.is_empty() && s.moves.is_empty());
        assert!(world.steps.values().all(Option::is_some), "every step has its end: {:?}", open_steps(world));
    }
    if matches!(s.stage, Stage::Done | Stage::Gone | Stage::Failed) && s.lanes.is_empty() {
        fences_given_back(world);
    }
}

fn open_steps(world: &World) -> Vec<&(String, Option<String>, Timestamp)> {
    world.steps.iter().filter(|(_, end)| end.is_none()).map(|(key, _)| &world.names[key]).collect()
}

/// A session is over, rests with a reason, or has a timer: it never stops silently.
pub fn waits_for_something(world: &World) {
    let s = &world.s;
    let waits = match s.stage {
        Stage::Fresh => true,
        Stage::Failed => s.reason.is_some() && world.timer.is_none(),
        Stage::Done | Stage::Gone => world.timer.is_none(),
        _ if s.paused => s.reason.is_some() && world.timer.is_some(),
        // Only between two decisions that tell of two states, and while agents come back.
        Stage::Evaluating => {
            let latest = world.now.after(seconds(1)).max(world.since.after(COMEBACK));
            world.timer.is_some_and(|at| at <= latest)
        }
        _ => world.timer.is_some_and(|at| at > world.now && at <= world.now.after(seconds(86_400))),
    };
    assert!(waits, "nothing is waited for at {}, timer {:?}: {s:#?}", world.now, world.timer);
}

/// What this session took out of service and does not hold for a reason is back as it was.
fn fences_given_back(world: &World) {
    for row in world.rows.values() {
        let out = matches!(row.phase, HostPhase::Failed | HostPhase::Held);
        let now = world.fleet.iter().find(|one| one.host == row.host).unwrap().disabled.clone();
        if !out {
            assert_eq!(now, row.disabled_before, "{} in {:?}", row.name, world.s.stage);
        }
        assert_eq!(row.disabled, out, "{}", row.name);
    }
}

/// Never more members of a group impacted at once than it bears; never two members on a host that must be apart.
fn groups_hold(world: &World) {
    let group_of = |id: &str| world.constraints.get(id).and_then(|one| one.group_id.clone());
    let mut impacted = BTreeMap::<String, u32>::new();
    let mut latest = BTreeMap::new();
    for (id, from, until) in &world.impact {
        latest.insert(id, (from, until));
    }
    // One that its owner took away meanwhile is no member any more.
    let exists = |id: &String| world.computes.instances.iter().any(|one| one.id == *id);
    for (id, (_, until)) in latest.into_iter().filter(|(id, _)| exists(id)) {
        let Some(group) = group_of(id).and_then(|group| world.groups.get(&group)) else { continue };
        let recovery = seconds(u64::from(group.recovery_time));
        if until.is_none_or(|until| until.after(recovery) > world.now) {
            *impacted.entry(group.group_id.clone()).or_default() += 1;
        }
    }
    for (group, members) in impacted {
        assert!(members <= world.groups[&group].max_impacted_members, "{group} has {members} impacted members");
    }
    let mut apart = BTreeMap::<(String, HostId), u32>::new();
    for one in &world.computes.instances {
        if let Some(group) = group_of(&one.id).filter(|group| world.groups[group].anti_affinity_group) {
            let members = apart.entry((group, one.host)).or_default();
            *members += 1;
            assert!(*members == 1, "{} is on a host with another of its group", one.id);
        }
    }
}

/// Whether an instance fits on a host, besides those that are there.
pub fn fits(world: &World, instance: &str, to: HostId) -> bool {
    let Some(one) = world.computes.instances.iter().find(|one| one.id == instance) else { return true };
    let used: u32 =
        world.computes.instances.iter().filter(|other| other.host == to).map(|other| other.size.vcpus).sum();
    world.computes.capacity.get(&to).is_some_and(|capacity| used + one.size.vcpus <= capacity.total.vcpus)
}
