//! The acceptance checks of spec/maintenance.md §9 that can be decided without a wire.

use std::collections::BTreeMap;

use serde_json::Value;

use super::world::*;
use crate::maintenance::host::{HostPhase, Role};
use crate::maintenance::instance::{InstanceState, MoveAction};
use crate::maintenance::policy::OnFail;
use crate::maintenance::spec::{Leave, Spec, Update, Workflow};
use crate::maintenance::state::State;
use crate::maintenance::word::INTERRUPTION;

/// Three hosts of four vCPUs, each full with two instances, of two projects.
pub fn full_fleet(workflow: Workflow) -> World {
    let mut world = World::new().computes(3, 4);
    for n in 1..=3_u128 {
        for (project, part) in [("a", 'a'), ("b", 'b')] {
            let id = format!("i{n}{part}");
            world.instance(&id, project, n, 2);
            if workflow == Workflow::Vnf {
                world.constraint(&id, None, 10);
            }
        }
    }
    world
}

fn spec_of(world: &World, workflow: Workflow) -> Spec {
    Spec { workflow, ..world.spec(&[]) }
}

#[test]
fn spec_9_04_a_session_over_all_hosts_completes() {
    let mut world = World::new().computes(4, 4);
    world.host(5, &[Role::Controller], 0);
    for n in 1..=3_u128 {
        world.instance(&format!("i{n}"), "a", n, 2);
    }
    world.create(spec_of(&world, Workflow::Default)).unwrap();
    assert_eq!(world.run(), State::MaintenanceDone);
    assert!(world.told_states().iter().all(|state| State::ALL.contains(state)));
    assert_eq!(world.worked.len(), 5);
    assert_eq!(world.closed.len(), 1);
    world.delete(Leave::Exit);
    assert!(world.s.deleted.is_some());
    assert_eq!(world.told_states().last(), Some(&State::MaintenanceDone));
}

#[test]
fn spec_9_05_full_hosts_are_emptied_after_projects_shrank() {
    for workflow in [Workflow::Default, Workflow::Vnf] {
        let mut world = full_fleet(workflow);
        world.create(spec_of(&world, workflow)).unwrap();
        assert_eq!(world.run(), State::MaintenanceDone, "{workflow:?} {:#?}", world.s);
        let states = world.told_states();
        assert_eq!(states[..2], [State::Maintenance, State::ScaleIn], "{workflow:?} {states:?}");
        assert!(states.contains(&State::PlannedMaintenance), "{workflow:?} {states:?}");
        assert!(states.contains(&State::StartMaintenance), "{workflow:?} {states:?}");
        assert!(world.worked.values().all(|times| *times == 1) && world.worked.len() == 3);
    }
}

#[test]
fn spec_9_07_a_refusal_counts_at_once_and_silence_is_asked_again() {
    let mut world = full_fleet(Workflow::Default);
    world.tenants.get_mut("a").unwrap().silent.insert(State::Maintenance, 99);
    world.tenants.get_mut("b").unwrap().refuses.insert(State::Maintenance, 99);
    let mut spec = spec_of(&world, Workflow::Default);
    spec.policy.on_nack = vec![crate::maintenance::policy::OnNack::Fail];
    world.create(spec).unwrap();
    assert_eq!(world.run(), State::MaintenanceFailed);
    assert_eq!(world.now, start().after(seconds(2)), "as soon as the answer was there");
    assert_eq!(world.s.reason.as_ref().unwrap().code, "reply.nack");

    let mut world = full_fleet(Workflow::Default);
    world.tenants.get_mut("a").unwrap().silent.insert(State::Maintenance, 99);
    let spec = Spec { maintenance_at: start().after(seconds(3600)), ..spec_of(&world, Workflow::Default) };
    world.create(spec).unwrap();
    assert_eq!(world.run(), State::MaintenanceFailed);
    assert_eq!(world.asked("a", State::Maintenance), 3, "exactly as often as the policy says");
    assert_eq!(world.asked("b", State::Maintenance), 1, "who answered is not asked again");
    assert_eq!(world.now, start().after(seconds(120)));
    assert_eq!(world.s.reason.as_ref().unwrap().code, "reply.timeout");
}

#[test]
fn spec_9_10_odd_fleets_are_done_all_the_same() {
    let empty = World::new();
    let mut controller = World::new();
    controller.host(1, &[Role::Controller], 0);
    let mut stopped = World::new().computes(2, 4);
    stopped.instance("i", "a", 1, 2);
    stopped.computes.instances[0].state = InstanceState::Stopped;
    let mut both = World::new().computes(1, 4);
    both.host(2, &[Role::Controller, Role::Compute], 4);
    both.instance("i", "a", 2, 2);
    let mut disabled = World::new().computes(3, 4);
    disabled.instance("i", "a", 1, 2);
    disabled.service(host_id(2), Some("broken fan".into()));
    for (name, mut world) in [("empty", empty), ("controller", controller), ("stopped", stopped), ("both", both)] {
        world.create(spec_of(&world, Workflow::Default)).unwrap();
        assert_eq!(world.run(), State::MaintenanceDone, "{name} {:#?}", world.s);
        assert_eq!(world.s.percent, 100, "{name}");
    }
    disabled.create(spec_of(&disabled, Workflow::Default)).unwrap();
    assert_eq!(disabled.run(), State::MaintenanceDone, "{:#?}", disabled.s);
    assert_eq!(disabled.disabled("h2"), Some("broken fan"), "as somebody else left it");
    assert_eq!(disabled.disabled("h1"), None);
}

/// Four hosts, the last one empty, one instance on each of the others; the work on the host that comes third fails once.
fn failing(on_fail: OnFail) -> (World, Spec) {
    let mut world = World::new().computes(4, 4);
    for n in 1..=3_u128 {
        world.instance(&format!("i{n}"), "a", n, 2);
    }
    world.faults.insert("h2".into(), 1);
    let mut spec = world.spec(&["h1", "h2", "h3"]);
    spec.policy.on_fail = on_fail;
    (world, spec)
}

#[test]
fn spec_9_11_a_failure_stops_the_session_and_it_goes_on_where_it_was() {
    let (mut world, spec) = failing(OnFail::Stop);
    world.create(spec).unwrap();
    assert_eq!(world.run(), State::MaintenanceFailed);
    assert_eq!(world.row("h1").phase, HostPhase::Done);
    assert_eq!(world.row("h2").phase, HostPhase::Failed);
    assert_eq!(world.row("h3").phase, HostPhase::Pending);
    assert!(world.disabled("h2").is_some(), "it stays as the failure left it");
    assert_eq!((world.disabled("h1"), world.disabled("h3")), (None, None));
    assert_eq!(world.s.prev_state, Some(State::StartMaintenance));
    assert_eq!(world.locks.len(), 3, "its hosts are still its own");
    let asked = world.asked("a", State::Maintenance);

    world.update(Update::default()).unwrap();
    assert_eq!(world.run(), State::MaintenanceDone, "{:#?}", world.s);
    assert_eq!(world.worked, BTreeMap::from([("h1".into(), 1), ("h2".into(), 1), ("h3".into(), 1)]));
    assert_eq!(world.asked("a", State::Maintenance), asked, "nobody is asked again what was answered");
    assert_eq!(world.closed.len(), 2);
}

#[test]
fn spec_9_11_a_failure_skips_the_host() {
    for (most, end) in [(0, State::MaintenanceFailed), (1, State::MaintenanceDone)] {
        let (mut world, mut spec) = failing(OnFail::Skip);
        spec.policy.max_failed_hosts = crate::maintenance::policy::Amount::Number(most);
        world.create(spec).unwrap();
        assert_eq!(world.run(), end);
        assert_eq!(world.row("h2").phase, HostPhase::Skipped);
        assert_eq!(world.row("h3").phase, HostPhase::Done, "the others go on");
        assert_eq!(world.disabled("h2"), None, "it is given back");
        assert_eq!(world.row("h2").reason.as_ref().unwrap().code, "plugin.failed");
    }
}

#[test]
fn spec_9_12_groups_bear_what_they_bear() {
    for seed in 1..40 {
        let mut world = World::new().computes(4, 8);
        world.rng = seed;
        for (n, host) in [(1, 1), (2, 1), (3, 2), (4, 2)] {
            let id = format!("i{n}");
            world.instance(&id, "p", host, 2);
            world.constraint(&id, Some("g"), 5);
        }
        world.group("g", 1, 20);
        let mut spec = Spec { workflow: Workflow::Vnf, ..world.spec(&["h1", "h2"]) };
        spec.policy.max_parallel_hosts = 2;
        world.create(spec).unwrap();
        assert_eq!(world.run(), State::MaintenanceDone, "seed {seed} {:#?}", world.s);
        assert_eq!(world.impact.len(), 4);
        let mut moves = world.impact.clone();
        moves.sort_by_key(|(_, from, _)| *from);
        for pair in moves.windows(2) {
            let gap = pair[1].1.since(pair[0].2.unwrap());
            assert!(gap >= seconds(20), "seed {seed}: {gap:?}");
        }
    }
}

#[test]
fn spec_9_12_members_that_must_be_apart_are_apart_at_any_time() {
    for seed in 1..40 {
        let mut world = World::new().computes(5, 8);
        world.rng = seed;
        for n in 1..=4_u128 {
            let id = format!("i{n}");
            world.instance(&id, "p", n, 2);
            world.constraint(&id, Some("g"), 5);
        }
        world.group("g", 4, 0);
        world.groups.get_mut("g").unwrap().anti_affinity_group = true;
        let mut spec = Spec { workflow: Workflow::Vnf, ..world.spec(&[]) };
        spec.policy.max_parallel_hosts = 3;
        world.create(spec).unwrap();
        assert_eq!(world.run(), State::MaintenanceDone, "seed {seed} {:#?}", world.s);
    }
}

#[test]
fn spec_9_13_notice_is_given() {
    for (delay, silent) in [(2, 0), (2, 99)] {
        let mut world = World::new().computes(2, 4);
        world.instance("i", "p", 1, 2);
        world.constraint("i", None, 60);
        let tenant = world.tenants.get_mut("p").unwrap();
        tenant.delay = delay;
        tenant.silent.insert(State::PrepareMaintenance, silent);
        let mut spec = Spec { workflow: Workflow::Vnf, ..world.spec(&["h1"]) };
        spec.policy.on_no_reply = crate::maintenance::policy::OnNoReply::DefaultAction;
        spec.policy.reply_attempts = 1;
        world.create(spec).unwrap();
        assert_eq!(world.run(), State::MaintenanceDone);
        let is = |data: &Value| data["state"] == "PREPARE_MAINTENANCE" && !data["reply_at"].is_null();
        let (asked, _) = world.events.iter().find(|(_, event)| is(&event.data)).unwrap();
        let waited = world.impact[0].1.since(*asked);
        if silent == 0 {
            assert_eq!(waited, seconds(delay), "who agrees early is moved early");
        } else {
            assert!(waited >= seconds(60), "{waited:?}");
        }
    }
}

#[test]
fn spec_9_14_a_move_that_interrupts_too_long_is_asked_about_again() {
    for workflow in [Workflow::Default, Workflow::Vnf] {
        let mut world = World::new().computes(2, 4);
        world.instance("i", "p", 1, 2);
        world.instance("j", "p", 1, 2);
        world.constraint("i", None, 10);
        world.constraint("j", None, 10);
        world.tenants.get_mut("p").unwrap().action = MoveAction::LiveMigrate;
        world.move_faults.insert(("i".into(), MoveAction::LiveMigrate), (1, INTERRUPTION));
        let spec = Spec { workflow, ..world.spec(&["h1"]) };
        world.create(spec).unwrap();
        assert_eq!(world.run(), State::MaintenanceDone, "{workflow:?} {:#?}", world.s);
        let asked: Vec<&Value> = world
            .payloads("maintenance.scheduled")
            .filter(|data| data["state"] == "PREPARE_MAINTENANCE")
            .map(|data| &data["allowed_actions"])
            .collect();
        let last = asked.last().unwrap().as_array().unwrap();
        assert!(!last.contains(&"LIVE_MIGRATE".into()), "{workflow:?} {asked:?}");
        assert_eq!(world.instances["i"].action, Some(MoveAction::Migrate));
        assert_eq!(world.instances["j"].action, Some(MoveAction::LiveMigrate));
    }
}

#[test]
fn spec_9_15_events_say_what_they_must() {
    for workflow in [Workflow::Default, Workflow::Vnf] {
        let mut world = full_fleet(workflow);
        world.create(spec_of(&world, workflow)).unwrap();
        assert_eq!(world.run(), State::MaintenanceDone);
        for (at, event) in world.events.iter().filter(|(_, event)| event.kind == "maintenance.scheduled") {
            let data = &event.data;
            assert_eq!(data["service"], "fenix");
            let Some(reply_at) = data["reply_at"].as_str() else {
                assert!(data["reply_at"].is_null() && data["instance_ids"].is_array(), "{data}");
                continue;
            };
            assert!(reply_at > crate::maintenance::session::event::blank(*at).as_str(), "{data}");
            assert_eq!((reply_at.len(), &reply_at[10..11]), (19, " "), "{data}");
            assert!(data["actions_at"].as_str().is_some_and(|text| text.len() == 19), "{data}");
            let lane = data["state"] == "PLANNED_MAINTENANCE" || data["state"] == "PREPARE_MAINTENANCE";
            assert_eq!(lane && workflow == Workflow::Vnf, data["instance_ids"].is_array(), "{data}");
            let path = format!("/v1/maintenance/{}/{}", world.s.id, event.subject);
            assert!(data["reply_url"].as_str().unwrap().starts_with(&path), "{data}");
        }
        let percents: Vec<u64> =
            world.payloads("maintenance.session").map(|data| data["percent_done"].as_u64().unwrap()).collect();
        assert!(percents.is_sorted(), "{percents:?}");
        assert_eq!(percents.iter().filter(|percent| **percent == 100).count(), 1, "{percents:?}");
        assert_eq!(percents.last(), Some(&100));
    }
}
