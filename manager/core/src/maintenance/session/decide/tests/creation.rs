//! What is refused at once, and what is taken.

use hostler_common::error::Class;
use uuid::Uuid;

use super::world::*;
use crate::maintenance::host::Role;
use crate::maintenance::session::Stage;
use crate::maintenance::spec::{Action, ActionType, Spec};
use crate::maintenance::state::State;

fn fleet() -> World {
    let mut world = World::new();
    for n in 1..=3 {
        world.host(n, &[Role::Compute], 8);
    }
    world.fleet[0].name = "kvm-1.example.org".into();
    world
}

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing_behind() {
    let action = |plugin: &str| Action {
        plugin: plugin.into(),
        kind: ActionType::Host,
        metadata: Default::default(),
        order: None,
    };
    type Case<'c> = (&'c str, Class, &'c dyn Fn(&mut World) -> Spec);
    let table: [Case<'_>; 8] = [
        ("unknown host", Class::Invalid, &|world| world.spec(&["nobody"])),
        ("twice", Class::Invalid, &|world| world.spec(&["h2", "H2"])),
        ("offline", Class::Invalid, &|world| {
            world.fleet[1].connected = false;
            world.spec(&["h2"])
        }),
        ("locked", Class::Conflict, &|world| {
            world.fleet[1].locked_by = Some(Uuid::from_u128(1));
            world.spec(&["h2", "h3"])
        }),
        ("locked, found", Class::Conflict, &|world| {
            world.fleet[1].locked_by = Some(Uuid::from_u128(1));
            world.spec(&[])
        }),
        ("unknown plug-in", Class::Invalid, &|world| Spec { actions: vec![action("nothing")], ..world.spec(&["h2"]) }),
        ("out of service", Class::Conflict, &|world| {
            world.fleet[1].disabled = Some("broken".into());
            let mut spec = world.spec(&["h2"]);
            spec.policy.require_enabled = true;
            spec
        }),
        ("too many", Class::Exhausted, &|world| {
            (world.facts.active_sessions, world.facts.max_sessions) = (3, 3);
            world.spec(&["h2"])
        }),
    ];
    for (name, class, prepare) in table {
        let mut world = fleet();
        let spec = prepare(&mut world);
        assert_eq!(world.create(spec).unwrap_err().class, class, "{name}");
        assert_eq!(world.s.stage, Stage::Fresh);
    }
}

#[test]
fn short_names_and_any_case_mean_the_same_host() {
    for name in ["kvm-1", "KVM-1.Example.org", "kvm-1.example.org"] {
        let mut world = fleet();
        let spec = world.spec(&[name]);
        world.create(spec).unwrap();
        assert_eq!(world.rows.len(), 1);
    }
    let mut world = fleet();
    world.fleet[1].name = "kvm-1.example.net".into();
    let spec = world.spec(&["kvm-1"]);
    assert_eq!(world.create(spec).unwrap_err().class, Class::Invalid, "two could be meant");
}

#[test]
fn hosts_that_are_found_are_left_out_if_they_are_away() {
    let mut world = fleet();
    world.fleet[2].connected = false;
    let spec = world.spec(&[]);
    world.create(spec).unwrap();
    assert_eq!(world.rows.len(), 2);
    assert!(world.s.warnings.iter().any(|text| text.contains("h3")), "{:?}", world.s.warnings);
}

/// §9.2, as far as the core decides it: nothing but the start has to be said.
#[test]
fn spec_9_02_only_the_start_is_needed() {
    let mut world = fleet();
    world.create(Spec::empty(start().after(seconds(60)))).unwrap();
    assert_eq!(world.run(), State::MaintenanceDone);
    assert_eq!(world.s.percent, 100);
}

#[test]
fn a_start_in_the_past_is_a_warning() {
    let mut world = fleet();
    world.create(Spec::empty(start().before(seconds(60)))).unwrap();
    assert_eq!(world.s.spec.maintenance_at, start().after(seconds(5)));
    assert_eq!(world.s.warnings.len(), 1);
}
