//! No manager is there for hours, wherever a session stands: nobody's fault, so nothing fails of it (spec/maintenance.md §2.6).

use super::spec9::full_fleet;
use super::world::*;
use crate::maintenance::instance::MoveAction;
use crate::maintenance::policy::{Approval, Gate, OnOwnActionTimeout, Policy};
use crate::maintenance::spec::{Spec, Update, Workflow};
use crate::maintenance::state::State;

/// How long no manager is there: longer than anything that is waited for.
const AWAY: u64 = 7 * 3600;

/// A session over hosts of which one has room, so that the way to leave is what differs.
fn begun(workflow: Workflow, action: MoveAction) -> World {
    let mut world = full_fleet(workflow);
    world.host(4, &[crate::maintenance::host::Role::Compute], 16);
    world.tenants.values_mut().for_each(|tenant| tenant.action = action);
    let policy = Policy {
        gates: vec![Gate::ManualApproval { before: Approval::Session }],
        on_own_action_timeout: OnOwnActionTimeout::Fail,
        ..Policy::default()
    };
    let spec = Spec { workflow, policy, ..world.spec(&[]) };
    world.create(spec).unwrap();
    world
}

fn step(world: &mut World) -> bool {
    if world.s.is_over() {
        return false;
    }
    if !world.s.approved && world.queue.is_empty() {
        world.update(Update { approve: true, ..Update::default() }).unwrap();
        return true;
    }
    world.step()
}

/// What happens meanwhile is heard of later; another manager finds all overdue and nobody connected, and agents come back one
/// after the other.
fn outage(world: &mut World) {
    let begun = world.now;
    world.now = world.now.after(seconds(AWAY));
    world.since = world.now;
    for happening in &mut world.queue {
        happening.0 = happening.0.max(begun).after(seconds(AWAY + 45));
    }
    world.fleet.iter_mut().for_each(|one| one.connected = false);
    let till = |world: &mut World, end| {
        while world.timer.into_iter().chain(world.queue.iter().map(|(at, ..)| *at)).min().is_some_and(|at| at <= end) {
            world.step();
        }
        world.now = world.now.max(end);
    };
    for n in 0..world.fleet.len() {
        let end = world.now.after(seconds(10));
        till(world, end);
        world.fleet[n].connected = true;
    }
}

fn ends_well(mut world: World, what: &str) {
    for _ in 0..10_000 {
        if !step(&mut world) {
            break;
        }
    }
    assert_eq!(world.s.state, State::MaintenanceDone, "{what}: {:?}", world.s.reason);
    assert_eq!(world.s.warnings, [""; 0], "{what}");
    assert!(world.worked.len() == 4 && world.worked.values().all(|times| *times == 1), "{what}: {:?}", world.worked);
    assert!(world.rows.values().all(|row| row.attempts == 1), "{what}");
    assert_eq!(world.told_states().iter().filter(|state| **state == State::ScaleIn).count(), 0, "{what}");
}

#[test]
fn an_outage_at_any_step_changes_nothing_of_the_end() {
    for workflow in [Workflow::Default, Workflow::Vnf] {
        for action in [MoveAction::Migrate, MoveAction::OwnAction] {
            let mut world = begun(workflow, action);
            let steps = (0..10_000).take_while(|_| step(&mut world)).count();
            ends_well(world, &format!("{workflow:?} {action:?}, undisturbed"));
            for at in 0..steps {
                let mut world = begun(workflow, action);
                (0..at).for_each(|_| assert!(step(&mut world)));
                outage(&mut world);
                ends_well(world, &format!("{workflow:?} {action:?}, step {at}"));
            }
        }
    }
}
