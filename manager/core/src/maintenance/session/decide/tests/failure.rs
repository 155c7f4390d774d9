//! Failures, the end and what is given back (spec §1.7, §2.6, §3.9).

use super::world::*;
use crate::machine::TaskEnd;
use crate::maintenance::host::{HostPhase, Role};
use crate::maintenance::instance::MoveAction;
use crate::maintenance::policy::{Amount, ComputeMode};
use crate::maintenance::session::{Fetched, Stage};
use crate::maintenance::spec::{Action, ActionType, Leave, Spec, Update};
use crate::maintenance::state::{Reason, State};

/// One instance on each of three hosts, the fourth empty.
fn fleet() -> World {
    let mut world = World::new().computes(4, 4);
    for n in 1..=3_u128 {
        world.instance(&format!("i{n}"), "a", n, 2);
    }
    world
}

#[test]
fn a_deleted_session_gives_everything_back_from_wherever_it_is() {
    for (leave, limit) in [(Leave::Exit, 300), (Leave::Hold, 300)] {
        for after in 0..limit {
            let mut world = fleet();
            world.rng = after + 1;
            let spec = world.spec(&[]);
            world.create(spec).unwrap();
            let stop = world.now.after(seconds(after));
            world.until(|world| world.s.is_over() || world.now >= stop);
            let over = world.s.is_over();
            world.delete(leave);
            world.delete(leave);
            world.until(|world| world.s.stage == Stage::Gone);
            assert_eq!(world.s.stage, Stage::Gone, "after {after} s");
            if leave == Leave::Exit {
                assert!(world.fleet.iter().all(|host| host.disabled.is_none()), "after {after} s");
            }
            let end = if over { TaskEnd::Finished } else { TaskEnd::Cancelled };
            assert_eq!(world.closed, [end], "after {after} s");
        }
    }
}

#[test]
fn downloads_come_before_anybody_is_disturbed() {
    let mut world = fleet();
    world.facts.downloads = Fetched::Pending;
    let spec = world.spec(&[]);
    world.create(spec).unwrap();
    for _ in 0..5 {
        world.step();
    }
    assert_eq!((world.s.stage, world.asked("a", State::Maintenance)), (Stage::Fetching, 0));
    world.facts.downloads = Fetched::Failed(Reason::new("download.checksum", "wrong"));
    assert_eq!(world.run(), State::MaintenanceFailed);
    assert_eq!(world.asked("a", State::Maintenance), 0);
    // Nobody is disturbed either where it is let go on and the files still are not there.
    for state in [None, Some(State::StartMaintenance)] {
        world.facts.downloads = Fetched::Pending;
        world.update(Update { state, ..Update::default() }).unwrap();
        world.step();
        assert_eq!((world.s.stage, world.asked("a", State::Maintenance)), (Stage::Fetching, 0));
        world.facts.downloads = Fetched::Failed(Reason::new("download.checksum", "wrong"));
        assert_eq!(world.run(), State::MaintenanceFailed);
    }
    world.facts.downloads = Fetched::All;
    world.update(Update::default()).unwrap();
    assert_eq!(world.run(), State::MaintenanceDone);
}

#[test]
fn an_unknown_outcome_pauses_and_somebody_decides() {
    let prepared = || {
        let mut world = fleet();
        world.unknown.insert("h4".into(), 1);
        let spec = world.spec(&[]);
        world.create(spec).unwrap();
        world.until(|world| world.s.paused);
        assert_eq!(world.s.reason.as_ref().unwrap().code, "step.outcome_unknown");
        world
    };
    let mut again = prepared();
    again.update(Update { paused: Some(false), ..Update::default() }).unwrap();
    assert_eq!(again.run(), State::MaintenanceDone);
    assert_eq!(again.worked["h4"], 1);

    let mut skipped = prepared();
    skipped.update(Update { skip_hosts: vec!["h4".into()], paused: Some(false), ..Update::default() }).unwrap();
    assert_eq!(skipped.run(), State::MaintenanceDone, "{:#?}", skipped.s);
    assert_eq!(skipped.row("h4").phase, HostPhase::Skipped);

    let mut aborted = prepared();
    aborted.update(Update { state: Some(State::MaintenanceFailed), ..Update::default() }).unwrap();
    assert_eq!(aborted.run(), State::MaintenanceFailed);
    aborted.update(Update::default()).unwrap();
    assert_eq!(aborted.run(), State::MaintenanceDone);
}

#[test]
fn a_move_that_fails_is_tried_another_way() {
    let mut world = fleet();
    world.subscribed.clear();
    world.move_faults.insert(("i1".into(), MoveAction::LiveMigrate), (9, "move.failed"));
    let spec = world.spec(&[]);
    world.create(spec).unwrap();
    assert_eq!(world.run(), State::MaintenanceDone, "{:#?}", world.s);
    assert_eq!(world.instances["i1"].action, Some(MoveAction::Migrate));
}

#[test]
fn an_instance_that_cannot_move_is_the_policys() {
    for (mode, end, phase) in [
        (ComputeMode::Strict, State::MaintenanceFailed, HostPhase::Failed),
        (ComputeMode::IgnoreExt, State::MaintenanceDone, HostPhase::Done),
    ] {
        let mut world = fleet();
        for action in [MoveAction::LiveMigrate, MoveAction::Migrate] {
            world.move_faults.insert(("i1".into(), action), (9, "move.failed"));
        }
        let mut spec = world.spec(&[]);
        spec.policy.compute_mode = mode;
        world.create(spec).unwrap();
        assert_eq!(world.run(), end, "{mode:?} {:#?}", world.s);
        assert_eq!(world.row("h1").phase, phase, "{mode:?}");
    }
}

#[test]
fn plug_ins_before_and_after_run_once_on_the_management_node() {
    let action = |kind| Action { plugin: "dummy".into(), kind, metadata: Default::default(), order: None };
    let spec = |world: &World| Spec {
        actions: vec![action(ActionType::Pre), action(ActionType::Host), action(ActionType::Post)],
        ..world.spec(&[])
    };
    let mut world = fleet();
    // The management node is one of the session's hosts, too.
    world.facts.management = Some(host_id(4));
    world.create(spec(&world)).unwrap();
    assert_eq!(world.run(), State::MaintenanceDone);
    assert_eq!((world.worked["localhost"], world.worked["h4"]), (2, 1));

    let mut failing = fleet();
    failing.faults.insert("localhost".into(), 1);
    failing.create(spec(&failing)).unwrap();
    assert_eq!(failing.run(), State::MaintenanceFailed);
    assert!(failing.worked.is_empty(), "no host was touched");
    failing.update(Update::default()).unwrap();
    assert_eq!(failing.run(), State::MaintenanceDone);
    assert_eq!(failing.worked["localhost"], 2);
}

#[test]
fn controllers_come_first_one_at_a_time_and_the_managers_own_last() {
    let mut world = fleet();
    for n in 5..=7 {
        world.host(n, &[Role::Controller], 0);
    }
    world.fleet[4].manager = true;
    let mut spec = world.spec(&[]);
    spec.policy.max_parallel_hosts = 3;
    world.create(spec).unwrap();
    world.until(|world| {
        let lanes = &world.s.lanes;
        assert!(lanes.len() < 2 || lanes.iter().all(|lane| !lane.controller), "{lanes:?}");
        world.s.is_over()
    });
    let mut began: Vec<_> = world.rows.values().map(|row| (row.started_at, row.name.as_str())).collect();
    began.sort();
    let names: Vec<_> = began.iter().map(|(_, name)| *name).take(3).collect();
    assert_eq!(names, ["h6", "h7", "h5"]);
}

#[test]
fn no_more_hosts_are_out_at_once_than_may_be() {
    let most_out = |prepare: &dyn Fn(&mut World, &mut Spec)| {
        let mut world = World::new().computes(8, 4);
        let mut spec = world.spec(&[]);
        spec.policy.max_parallel_hosts = 0;
        prepare(&mut world, &mut spec);
        world.create(spec).unwrap();
        let most = std::cell::Cell::new(0);
        world.until(|world| {
            most.set(most.get().max(world.s.lanes.len()));
            world.s.is_over()
        });
        assert_eq!(world.s.state, State::MaintenanceDone);
        most.get()
    };
    assert_eq!(most_out(&|_, _| {}), 8);
    assert_eq!(most_out(&|_, spec| spec.policy.max_parallel_hosts = 3), 3);
    assert_eq!(most_out(&|_, spec| spec.policy.max_unavailable = Some(Amount::Percent(25))), 2);
    assert_eq!(most_out(&|_, spec| spec.policy.batch = vec![Amount::Number(1), Amount::Number(4)]), 4);
    let zones = |world: &mut World| {
        let number = world.fleet.len();
        (0..number).for_each(|n| world.fleet[n].zone = Some(format!("rack{}", n % 2)));
    };
    assert_eq!(most_out(&|world, _| zones(world)), 2);
    let storage = |world: &mut World, _: &mut Spec| {
        zones(world);
        world.fleet.iter_mut().for_each(|host| host.cluster = Some("ceph".into()));
    };
    assert_eq!(most_out(&storage), 1, "never two domains of one cluster");
}

#[test]
fn hosts_that_cannot_be_emptied_fail_by_name() {
    let mut world = World::new().computes(3, 8);
    for n in 1..=2_u128 {
        let id = format!("i{n}");
        world.instance(&id, "a", n, 2);
        world.computes.instances.last_mut().unwrap().needs = vec![format!("gpu{n}")];
    }
    world.computes.capacity.get_mut(&host_id(3)).unwrap().offers = vec!["gpu1".into()];
    let spec = world.spec(&[]);
    world.create(spec).unwrap();
    assert_eq!(world.run(), State::MaintenanceFailed);
    let reason = world.s.reason.as_ref().unwrap();
    assert_eq!((reason.code.as_str(), reason.host_name.as_deref()), ("needs", Some("h2")));
    assert_eq!(world.row("h1").phase, HostPhase::Done);
}
