//! Orders in between (spec §1.6), windows and gates (§3.9).

use hostler_common::error::Class;

use super::world::*;
use crate::maintenance::host::HostPhase;
use crate::maintenance::policy::{Approval, Gate, Outside, Window};
use crate::maintenance::session::Stage;
use crate::maintenance::spec::{Force, Update};
use crate::maintenance::state::{Phase, State};

fn fleet() -> World {
    let mut world = World::new().computes(4, 4);
    for n in 1..=3_u128 {
        world.instance(&format!("i{n}"), "a", n, 2);
    }
    world
}

fn created() -> World {
    let mut world = fleet();
    let spec = world.spec(&["h1", "h2", "h4"]);
    world.create(spec).unwrap();
    world
}

fn paused(paused: bool) -> Update {
    Update { paused: Some(paused), ..Update::default() }
}

#[test]
fn a_pause_begins_nothing_new_and_can_be_ended() {
    for after in 0..120 {
        let mut world = created();
        let at = world.now.after(seconds(after));
        world.until(|world| world.s.is_over() || world.now >= at);
        if world.s.is_over() {
            break;
        }
        world.update(paused(true)).unwrap();
        world.update(paused(true)).unwrap();
        let lanes = world.s.lanes.len();
        let rest = world.now.after(seconds(1800));
        world.until(|world| world.now >= rest);
        assert!(world.s.paused && world.s.lanes.len() <= lanes, "after {after} s");
        assert_eq!(world.s.phase, Phase::Paused);
        world.update(paused(false)).unwrap();
        assert_eq!(world.run(), State::MaintenanceDone, "after {after} s {:#?}", world.s);
    }
}

#[test]
fn what_cannot_be_done_in_a_state_is_a_conflict() {
    let mut world = created();
    let wrong = Update { state: Some(State::MaintenanceComplete), ..Update::default() };
    assert_eq!(world.update(wrong).unwrap_err().class, Class::Conflict);
    world.update(Update { state: Some(State::Maintenance), ..Update::default() }).unwrap();
    world.run();
    for update in [
        paused(true),
        Update::default(),
        Update { maintenance_at: Some(start().after(seconds(9999))), ..Update::default() },
        Update { state: Some(State::MaintenanceFailed), ..Update::default() },
        Update { add_hosts: vec!["h3".into()], ..Update::default() },
        Update { approve: true, ..Update::default() },
    ] {
        assert_eq!(world.update(update.clone()).unwrap_err().class, Class::Conflict, "{update:?}");
    }
    let unknown = Update { retry_hosts: vec!["nobody".into()], ..Update::default() };
    assert_eq!(world.update(unknown).unwrap_err().class, Class::Invalid);
}

#[test]
fn hosts_come_and_go() {
    let mut world = created();
    let add = Update { add_hosts: vec!["h3".into()], remove_hosts: vec!["h2".into()], ..Update::default() };
    world.update(add.clone()).unwrap();
    world.update(add).unwrap();
    let told: Vec<_> = world.payloads("maintenance.host").map(|data| data["state"].as_str().unwrap()).collect();
    assert_eq!(told, ["HOST_ADDED", "HOST_REMOVED"]);
    assert_eq!(world.run(), State::MaintenanceDone);
    assert_eq!(world.worked.keys().collect::<Vec<_>>(), ["h1", "h3", "h4"]);
}

#[test]
fn the_start_can_be_moved_and_owners_hear_of_it() {
    let mut world = created();
    world.until(|world| world.s.stage == Stage::Starting);
    let at = start().after(seconds(7200));
    world.update(Update { maintenance_at: Some(at), ..Update::default() }).unwrap();
    assert_eq!(world.asked("a", State::Maintenance), 2);
    world.until(|world| world.s.stage == Stage::Rolling);
    assert!(world.now >= at);
    assert_eq!(world.run(), State::MaintenanceDone);
}

#[test]
fn gates_open_by_approval_only() {
    for before in [Approval::Session, Approval::FirstHost] {
        let mut world = fleet();
        let mut spec = world.spec(&[]);
        spec.policy.gates = vec![Gate::ManualApproval { before }];
        spec.policy.gate_timeout = 3600;
        world.create(spec.clone()).unwrap();
        let approve = Update { approve: true, ..Update::default() };
        world.until(|world| world.s.phase == Phase::WaitingApproval);
        assert!(world.worked.is_empty() && world.s.lanes.is_empty());
        world.update(approve).unwrap();
        assert_eq!(world.run(), State::MaintenanceDone, "{before:?}");

        let mut forgotten = fleet();
        forgotten.create(spec).unwrap();
        assert_eq!(forgotten.run(), State::MaintenanceFailed, "{before:?}");
        assert_eq!(forgotten.s.reason.as_ref().unwrap().code, "gate.timeout");
    }
}

#[test]
fn no_host_begins_outside_of_the_window() {
    for outside in [Outside::FinishHost, Outside::Pause] {
        let mut world = fleet();
        (5..30).for_each(|n| _ = world.host(n, &[crate::maintenance::host::Role::Compute], 4));
        let mut spec = world.spec(&[]);
        // One minute a day: too short for all.
        spec.policy.window = Some(Window {
            days: Vec::new(),
            start: "01:00".into(),
            end: Some("01:01".into()),
            duration: None,
            timezone: None,
            outside,
            blackout: Vec::new(),
        });
        world.create(spec).unwrap();
        let lanes = std::cell::Cell::new(0);
        world.until(|world| {
            let text = world.now.naive();
            let inside = &text[11..16] == "01:00";
            assert!(inside || world.s.lanes.len() <= lanes.get(), "{outside:?} {text} {:#?}", world.s.lanes);
            lanes.set(world.s.lanes.len());
            world.s.is_over()
        });
        assert_eq!(world.s.state, State::MaintenanceDone, "{outside:?}");
        assert!(world.now > start().after(seconds(86_400)), "{outside:?} {}", world.now);
    }
}

#[test]
fn overrides_need_a_reason_and_are_written_down() {
    let mut world = created();
    world.tenants.get_mut("a").unwrap().refuses.insert(State::PlannedMaintenance, 99);
    let force = Force { ignore_nack: true, ..Force::default() };
    let order = |force: &Force| Update { force: Some(force.clone()), ..Update::default() };
    assert_eq!(world.update(order(&force)).unwrap_err().class, Class::Invalid);
    world.update(order(&Force { reason: "agreed by phone".into(), ..force })).unwrap();
    assert!(world.names.values().any(|(name, ..)| name == "force"));
    assert_eq!(world.run(), State::MaintenanceDone);
}

#[test]
fn failed_hosts_are_accepted_or_tried_again() {
    let failed = || {
        let mut world = created();
        world.faults.insert("h1".into(), 1);
        assert_eq!(world.run(), State::MaintenanceFailed);
        world
    };
    let mut skipped = failed();
    skipped.update(Update { skip_hosts: vec!["h1".into()], ..Update::default() }).unwrap();
    skipped.until(|world| world.row("h1").phase == HostPhase::Skipped);
    assert_eq!(skipped.disabled("h1"), None);
    skipped.update(Update::default()).unwrap();
    assert_eq!(skipped.run(), State::MaintenanceDone, "{:#?}", skipped.s);
    assert!(!skipped.worked.contains_key("h1"));

    let mut again = failed();
    again.update(Update { retry_hosts: vec!["h1".into()], ..Update::default() }).unwrap();
    assert_eq!(again.run(), State::MaintenanceDone);
    assert_eq!(again.worked["h1"], 1);
}
