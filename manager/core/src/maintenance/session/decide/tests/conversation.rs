//! Questions and answers (spec §1.9, §2.3, §2.4, §2.6).

use std::collections::BTreeMap;

use hostler_common::error::Class;

use super::spec9::full_fleet;
use super::world::*;
use crate::maintenance::host::HostPhase;
use crate::maintenance::instance::MoveAction;
use crate::maintenance::policy::{OnNack, OnNoReply, OnOwnActionTimeout, UnmanagedProject};
use crate::maintenance::question::Reply;
use crate::maintenance::session::Stage;
use crate::maintenance::spec::{Spec, Workflow};
use crate::maintenance::state::State;

fn answer(project: &str, state: State, ack: bool) -> Reply {
    Reply { project: project.into(), instance: None, state, ack, actions: BTreeMap::new() }
}

/// A session over h1, which has an instance of each of `a` and `b`, and h2, which is empty; nobody answers by itself.
fn quiet() -> World {
    let mut world = World::new().computes(2, 8);
    world.instance("ia", "a", 1, 2);
    world.instance("ib", "b", 1, 2);
    world.tenants.clear();
    let spec = Spec { maintenance_at: start().after(seconds(3600)), ..world.spec(&["h1", "h2"]) };
    world.create(spec).unwrap();
    world
}

fn quiet_until_planned() -> World {
    let mut world = quiet();
    for project in ["a", "b"] {
        world.reply(answer(project, State::Maintenance, true)).unwrap();
    }
    world.until(|world| world.asked("a", State::PlannedMaintenance) > 0);
    world
}

#[test]
fn spec_9_08_answers_that_do_not_fit_change_nothing() {
    let mut world = quiet();
    let table = [
        ("foreign", answer("c", State::Maintenance, true), Class::NotFound),
        ("wrong state", answer("a", State::ScaleIn, true), Class::Conflict),
        ("not yet", answer("a", State::PlannedMaintenance, true), Class::Conflict),
    ];
    for (name, reply, class) in table {
        let before = world.s.clone();
        assert_eq!(world.reply(reply).unwrap_err().class, class, "{name}");
        assert_eq!(world.s, before, "{name}");
    }
    world.reply(answer("a", State::Maintenance, true)).unwrap();
    let before = (world.s.clone(), world.events.len());
    world.reply(answer("a", State::Maintenance, true)).unwrap();
    assert_eq!((world.s.clone(), world.events.len()), before, "the same again is harmless");
    world.reply(answer("b", State::Maintenance, true)).unwrap();
    assert_eq!(world.s.stage, Stage::Starting);
    world.reply(answer("b", State::Maintenance, true)).unwrap();
    assert_eq!(world.s.stage, Stage::Starting);
}

#[test]
fn spec_9_08_late_answers_are_refused() {
    let mut world = quiet();
    world.reply(answer("a", State::Maintenance, true)).unwrap();
    // The window of b passes three times.
    assert_eq!(world.run(), State::MaintenanceFailed);
    let before = world.s.clone();
    assert_eq!(world.reply(answer("b", State::Maintenance, true)).unwrap_err().class, Class::Conflict);
    assert_eq!(world.s, before);
    // Agreement was kept, and can be repeated.
    world.reply(answer("a", State::Maintenance, true)).unwrap();
}

#[test]
fn an_agreement_may_be_taken_back_while_its_window_is_open() {
    let mut world = quiet();
    let spec_nack = vec![OnNack::Fail];
    world.s.spec.policy.on_nack = spec_nack;
    for project in ["a", "b"] {
        world.reply(answer(project, State::Maintenance, true)).unwrap();
    }
    let mut late = quiet();
    for project in ["a", "b"] {
        late.reply(answer(project, State::Maintenance, true)).unwrap();
    }
    world.reply(answer("a", State::Maintenance, false)).unwrap();
    assert_eq!(world.s.stage, Stage::Failed);
    late.now = late.now.after(seconds(41));
    assert_eq!(late.reply(answer("a", State::Maintenance, false)).unwrap_err().class, Class::Conflict);
}

#[test]
fn every_instance_needs_an_action_that_is_offered() {
    let mut world = quiet_until_planned();
    let with = |actions: &[(&str, MoveAction)]| Reply {
        actions: actions.iter().map(|(id, action)| ((*id).to_owned(), *action)).collect(),
        ..answer("a", State::PlannedMaintenance, true)
    };
    let missing = world.reply(with(&[])).unwrap_err();
    assert_eq!(missing.class, Class::Invalid);
    assert!(missing.message.contains("ia"), "{}", missing.message);
    assert_eq!(world.reply(with(&[("ia", MoveAction::Stop)])).unwrap_err().class, Class::Invalid);
    world.computes.instances[0].can_live_migrate = false;
    assert_eq!(world.reply(with(&[("ia", MoveAction::LiveMigrate)])).unwrap_err().class, Class::Invalid);
    world.reply(with(&[("ia", MoveAction::Migrate), ("other", MoveAction::Migrate)])).unwrap();
}

#[test]
fn an_answer_to_an_earlier_host_is_none_to_the_next() {
    let mut world = World::new().computes(3, 8);
    world.instance("i1", "a", 1, 2);
    world.instance("i2", "a", 2, 2);
    let spec = world.spec(&[]);
    world.create(spec).unwrap();
    assert_eq!(world.run(), State::MaintenanceDone);
    assert_eq!(world.asked("a", State::PlannedMaintenance), 2);
}

#[test]
fn a_refusal_that_passes_is_asked_again() {
    let mut world = full_fleet(Workflow::Default);
    world.tenants.get_mut("a").unwrap().refuses = State::ALL.map(|state| (state, 1)).into();
    let spec = world.spec(&[]);
    world.create(spec).unwrap();
    assert_eq!(world.run(), State::MaintenanceDone, "{:#?}", world.s);
    assert_eq!(world.asked("a", State::Maintenance), 2);
    assert_eq!(world.asked("b", State::Maintenance), 1);
}

#[test]
fn what_a_refusal_leads_to_is_the_policys() {
    let table = [
        (vec![OnNack::Fail], State::MaintenanceFailed, HostPhase::Pending, 1),
        (vec![OnNack::Retry, OnNack::Fail], State::MaintenanceFailed, HostPhase::Pending, 3),
        (vec![OnNack::SkipHost], State::MaintenanceDone, HostPhase::Skipped, 1),
        (vec![OnNack::Defer, OnNack::Force], State::MaintenanceDone, HostPhase::Done, 2),
        (vec![OnNack::Force], State::MaintenanceDone, HostPhase::Done, 1),
        (vec![], State::MaintenanceFailed, HostPhase::Pending, 1),
    ];
    for (on_nack, end, phase, asked) in table {
        let mut world = World::new().computes(3, 8);
        world.instance("i1", "a", 1, 2);
        world.instance("i2", "b", 2, 4);
        world.tenants.get_mut("a").unwrap().refuses.insert(State::PlannedMaintenance, 99);
        let mut spec = world.spec(&[]);
        spec.policy.on_nack.clone_from(&on_nack);
        world.create(spec).unwrap();
        assert_eq!(world.run(), end, "{on_nack:?} {:#?}", world.s);
        assert_eq!(world.row("h1").phase, phase, "{on_nack:?}");
        assert_eq!(world.asked("a", State::PlannedMaintenance), asked, "{on_nack:?}");
    }
}

#[test]
fn silence_may_be_decided_by_policy() {
    let mut world = full_fleet(Workflow::Default);
    world.tenants.get_mut("a").unwrap().silent = State::ALL.map(|state| (state, 99)).into();
    let mut spec = world.spec(&[]);
    spec.policy.on_no_reply = OnNoReply::DefaultAction;
    world.create(spec).unwrap();
    assert_eq!(world.run(), State::MaintenanceDone, "{:#?}", world.s);
    assert!(world.impact.iter().any(|(id, ..)| id.ends_with('a')), "its instances moved all the same");
}

#[test]
fn the_end_is_the_end_whatever_projects_say() {
    for (fails, end) in [(false, State::MaintenanceDone), (true, State::MaintenanceFailed)] {
        let mut world = full_fleet(Workflow::Default);
        world.tenants.get_mut("a").unwrap().silent.insert(State::MaintenanceComplete, 99);
        world.tenants.get_mut("b").unwrap().refuses.insert(State::MaintenanceComplete, 99);
        let mut spec = world.spec(&[]);
        spec.policy.fail_on_incomplete = fails;
        world.create(spec).unwrap();
        assert_eq!(world.run(), end);
        assert_eq!(world.worked.len(), 3);
        assert!(fails || !world.s.warnings.is_empty());
    }
}

#[test]
fn projects_for_whom_nobody_listens_are_not_asked() {
    for (policy, end) in
        [(UnmanagedProject::DefaultAction, State::MaintenanceDone), (UnmanagedProject::Fail, State::MaintenanceFailed)]
    {
        let mut world = World::new().computes(3, 8);
        world.instance("i1", "a", 1, 2);
        world.subscribed.clear();
        world.tenants.clear();
        let mut spec = world.spec(&[]);
        spec.policy.unmanaged_project = policy;
        world.create(spec).unwrap();
        assert_eq!(world.run(), end);
        assert_eq!(world.asked("a", State::Maintenance), 0);
    }
}

#[test]
fn a_window_in_which_we_were_away_is_granted_once_more() {
    let mut world = quiet();
    world.now = world.now.after(seconds(300));
    world.input(crate::machine::Input::Timer("wake".into())).unwrap();
    assert_eq!(world.s.stage, Stage::Announcing);
    assert!(world.s.questions.iter().all(|one| one.attempt == 1 && one.granted && one.reply_at > world.now));
    // What comes late for the same reason counts, too.
    let mut late = quiet();
    late.now = late.now.after(seconds(300));
    late.reply(answer("a", State::Maintenance, true)).unwrap();
    assert_eq!(late.asked("a", State::Maintenance), 1);
}

#[test]
fn owners_take_their_instances_away_themselves() {
    let mut world = World::new().computes(2, 8);
    world.instance("i1", "a", 1, 2);
    world.tenants.get_mut("a").unwrap().action = MoveAction::OwnAction;
    let spec = world.spec(&[]);
    world.create(spec).unwrap();
    assert_eq!(world.run(), State::MaintenanceDone);
    assert!(world.impact.is_empty(), "nothing was moved by us");
    let done = world.payloads("maintenance.scheduled").filter(|data| data["state"] == "INSTANCE_ACTION_DONE").count();
    assert_eq!(done, 1);
}

#[test]
fn owners_who_do_not_are_dealt_with_by_policy() {
    for (policy, end) in [
        (OnOwnActionTimeout::Fail, State::MaintenanceFailed),
        (OnOwnActionTimeout::ForceMigrate, State::MaintenanceDone),
    ] {
        let mut world = World::new().computes(2, 8);
        world.instance("i1", "a", 1, 2);
        world.tenants.get_mut("a").unwrap().action = MoveAction::OwnAction;
        let mut spec = world.spec(&[]);
        spec.policy.on_own_action_timeout = policy;
        world.create(spec).unwrap();
        // The owner forgets.
        world.until(|world| world.s.is_over() || world.s.lanes.iter().any(|lane| !lane.own.is_empty()));
        world.queue.retain(|(.., happening)| !matches!(happening, Happening::Taken(_)));
        assert_eq!(world.run(), end, "{:#?}", world.s);
    }
}

#[test]
fn per_instance_sessions_need_constraints_of_all() {
    let mut world = full_fleet(Workflow::Vnf);
    world.constraints.remove("i2b");
    let spec = Spec { workflow: Workflow::Vnf, ..world.spec(&[]) };
    world.create(spec).unwrap();
    assert_eq!(world.run(), State::MaintenanceFailed);
    let reason = world.s.reason.as_ref().unwrap();
    assert_eq!(reason.code, "constraints.missing");
    assert!(reason.text.contains("i2b"), "{}", reason.text);
}

#[test]
fn projects_that_cannot_shrink_enough_are_asked_a_few_times() {
    let mut world = full_fleet(Workflow::Default);
    world.tenants.values_mut().for_each(|tenant| tenant.shrinks = 0);
    let spec = world.spec(&[]);
    world.create(spec).unwrap();
    assert_eq!(world.run(), State::MaintenanceFailed);
    assert_eq!(world.asked("a", State::ScaleIn), 3);
    assert_eq!(world.s.reason.as_ref().unwrap().code, "capacity.insufficient");
}
