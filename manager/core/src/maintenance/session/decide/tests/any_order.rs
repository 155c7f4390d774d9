//! Whatever comes in whatever order: the rules hold after every decision, and a session that nobody disturbs any more ends.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::world::*;
use crate::machine::Input;
use crate::maintenance::host::Role;
use crate::maintenance::instance::MoveAction;
use crate::maintenance::policy::{Amount, ComputeMode, OnFail, OnNack, OnNoReply, OnOwnActionTimeout, Policy};
use crate::maintenance::question::Reply;
use crate::maintenance::session::Stage;
use crate::maintenance::spec::{Action, ActionType, Leave, Spec, Update, Workflow};
use crate::maintenance::state::{Reason, State};
use crate::maintenance::word::{FromMove, FromStay, INTERRUPTION, StayReport, ToSession};

/// What disturbs a session.
#[derive(Clone, Debug)]
enum Disturbance {
    /// Nothing: so many things happen as they come.
    Steps(u8),
    Reply(u8, State, bool, bool),
    Report(u8, u8),
    StrayMove(bool),
    Timer,
    Pause(bool),
    Update(Option<State>),
    Retry(u8),
    SkipHost(u8),
    Add,
    Remove(u8),
    Approve,
    Away(u32),
    Build(u8),
    Delete(bool),
}

fn disturbance() -> impl Strategy<Value = Disturbance> {
    use Disturbance::*;
    let state = || proptest::sample::select(State::ALL.to_vec());
    prop_oneof![
        20 => (1..30_u8).prop_map(Steps),
        3 => (0..4_u8, state(), any::<bool>(), any::<bool>()).prop_map(|(a, b, c, d)| Reply(a, b, c, d)),
        3 => (0..9_u8, 0..7_u8).prop_map(|(host, report)| Report(host, report)),
        1 => any::<bool>().prop_map(StrayMove),
        2 => Just(Timer),
        2 => any::<bool>().prop_map(Pause),
        2 => proptest::option::of(state()).prop_map(Update),
        1 => (0..9_u8).prop_map(Retry),
        1 => (0..9_u8).prop_map(SkipHost),
        1 => Just(Add),
        1 => (0..9_u8).prop_map(Remove),
        1 => Just(Approve),
        1 => (1..4000_u32).prop_map(Away),
        1 => (0..9_u8).prop_map(Build),
        1 => any::<bool>().prop_map(Delete),
    ]
}

/// A fleet with groups, roles, zones and tenants of all kinds.
fn fleet(seed: u64, workflow: Workflow) -> World {
    let mut world = World::new();
    world.rng = seed | 1;
    world.beside = std::time::Duration::from_millis(500);
    let hosts = u128::from(2 + world.random(5));
    for n in 1..=hosts {
        let roles: &[Role] = match world.random(6) {
            0 => &[Role::Controller],
            1 => &[Role::Controller, Role::Compute],
            2 => &[Role::Compute, Role::Storage],
            _ => &[Role::Compute],
        };
        let zone = world.random(4);
        let disabled = world.random(12) == 0;
        let host = world.host(n, roles, 8);
        host.zone = (zone < 2).then(|| format!("z{zone}"));
        host.cluster = roles.contains(&Role::Storage).then(|| "ceph".into());
        host.disabled = disabled.then(|| "broken".into());
    }
    world.group("g0", 1, 20);
    world.group("g1", 2, 0);
    for n in 0..world.random(10) {
        let host = 1 + u128::from(world.random(u64::try_from(hosts).unwrap()));
        if !world.computes.capacity.contains_key(&host_id(host)) {
            continue;
        }
        let (id, project) = (format!("i{n}"), format!("p{}", world.random(3)));
        let size = 1 + u32::try_from(world.random(2)).unwrap();
        world.instance(&id, &project, host, size);
        world.computes.instances.last_mut().unwrap().can_live_migrate = world.random(3) > 0;
        let group = world.random(4);
        let lead_time = u32::try_from(world.random(30)).unwrap();
        if workflow == Workflow::Vnf || world.random(3) == 0 {
            world.constraint(&id, (group < 2).then(|| format!("g{group}")).as_deref(), lead_time);
        }
        if world.random(6) == 0 {
            let code = if world.random(2) == 0 { INTERRUPTION } else { "move.failed" };
            world.move_faults.insert((id, MoveAction::LiveMigrate), (1, code));
        }
    }
    for project in ["p0", "p1", "p2"] {
        let some = |world: &mut World| -> BTreeMap<State, u32> {
            State::ALL.iter().filter(|_| world.random(5) == 0).map(|state| (*state, 1)).collect()
        };
        let actions = [MoveAction::Migrate, MoveAction::LiveMigrate, MoveAction::OwnAction];
        let (refuses, silent) = (some(&mut world), some(&mut world));
        let action = actions[usize::try_from(world.random(3)).unwrap()];
        let tenant = Tenant { delay: world.random(60), refuses, silent, action, shrinks: 1 };
        world.tenants.insert(project.into(), tenant);
        if world.random(5) == 0 {
            world.subscribed.remove(project);
        }
    }
    for n in 1..=hosts {
        if world.random(8) == 0 {
            world.faults.insert(format!("h{n}"), 1);
        }
        if world.random(10) == 0 {
            world.unknown.insert(format!("h{n}"), 1);
        }
    }
    world.doubled = world.random(3) == 0;
    world
}

fn policy(world: &mut World) -> Policy {
    let mut pick = |n: u64| usize::try_from(world.random(n)).unwrap();
    Policy {
        on_fail: [OnFail::Stop, OnFail::Skip, OnFail::Force][pick(3)],
        compute_mode: [ComputeMode::Strict, ComputeMode::Strict, ComputeMode::Ignore, ComputeMode::IgnoreExt][pick(4)],
        max_failed_hosts: Amount::Number(u32::try_from(pick(3)).unwrap()),
        max_parallel_hosts: u32::try_from(pick(4)).unwrap(),
        max_parallel_moves: u32::try_from(pick(4)).unwrap(),
        max_unavailable: [None, Some(Amount::Percent(50))][pick(2)],
        on_nack: [
            vec![OnNack::Retry, OnNack::Fail],
            vec![OnNack::SkipHost],
            vec![OnNack::Defer, OnNack::Force],
            vec![OnNack::Retry, OnNack::Defer],
        ][pick(4)]
        .clone(),
        on_no_reply: [OnNoReply::Fail, OnNoReply::DefaultAction][pick(2)],
        on_own_action_timeout: [OnOwnActionTimeout::Fail, OnOwnActionTimeout::ForceMigrate][pick(2)],
        batch: [vec![], vec![Amount::Number(1), Amount::Percent(50)]][pick(2)].clone(),
        pause_between: [0, 30][pick(2)],
        ..Policy::default()
    }
}

fn begin(seed: u64) -> World {
    let workflow = if seed.is_multiple_of(2) { Workflow::Default } else { Workflow::Vnf };
    let mut world = fleet(seed, workflow);
    let action = |kind| Action { plugin: "dummy".into(), kind, metadata: Default::default(), order: None };
    let mut actions = vec![action(ActionType::Host)];
    if world.random(3) == 0 {
        actions.extend([action(ActionType::Pre), action(ActionType::Post)]);
    }
    let policy = policy(&mut world);
    let hosts = if world.random(2) == 0 { vec!["h1".into(), "h2".into()] } else { Vec::new() };
    let spec = Spec { workflow, actions, policy, hosts, ..world.spec(&[]) };
    world.create(spec).unwrap();
    world
}

fn disturb(world: &mut World, disturbance: Disturbance) {
    use Disturbance as D;
    let name = |n: u8| format!("h{n}");
    let order = |world: &mut World, update: Update| drop(world.update(update));
    match disturbance {
        D::Steps(steps) => (0..steps).for_each(|_| _ = world.step()),
        D::Reply(n, state, ack, full) => {
            let project = format!("p{n}");
            let mine = world.computes.instances.iter().filter(|one| one.project == project && full);
            let actions = mine.map(|one| (one.id.clone(), MoveAction::Migrate)).collect();
            drop(world.reply(Reply { project, instance: None, state, ack, actions }));
        }
        D::Report(n, report) => report_again(world, n, report),
        D::StrayMove(known) => {
            let going = world.s.moves.first().filter(|_| !known).cloned();
            let id = going.as_ref().map_or(Uuid::from_u128(5), |one| one.id);
            if going.is_none() {
                let instance = "i0".to_owned();
                world.message(&ToSession::Move(FromMove { id, instance, host: None, failure: None }));
            }
        }
        D::Timer => {
            // Whoever fires a timer takes it away.
            world.timer = None;
            world.input(Input::Timer("wake".into())).unwrap();
        }
        D::Pause(paused) => order(world, Update { paused: Some(paused), ..Update::default() }),
        D::Update(state) => order(world, Update { state, ..Update::default() }),
        D::Retry(n) => order(world, Update { retry_hosts: vec![name(n)], ..Update::default() }),
        D::SkipHost(n) => order(world, Update { skip_hosts: vec![name(n)], ..Update::default() }),
        D::Add => {
            let names = world.fleet.iter().map(|host| host.name.clone()).collect();
            order(world, Update { add_hosts: names, ..Update::default() });
        }
        D::Remove(n) => order(world, Update { remove_hosts: vec![name(n)], ..Update::default() }),
        D::Approve => order(world, Update { approve: true, ..Update::default() }),
        D::Away(time) => world.now = world.now.after(seconds(u64::from(time))),
        D::Build(n) => {
            let host = host_id(u128::from(n));
            let open = world.fleet.iter().any(|one| one.host == host && one.disabled.is_none());
            if open && world.computes.capacity.contains_key(&host) {
                let id = format!("new{}", world.computes.instances.len());
                world.instance(&id, "p1", u128::from(n), 1);
                world.constraint(&id, None, 5);
                if !super::rules::fits(world, &id, host) {
                    world.computes.instances.pop();
                }
            }
        }
        D::Delete(hold) => world.delete(if hold { Leave::Hold } else { Leave::Exit }),
    }
}

/// A report that is out of turn: of a host that is not at work, or that says again what its stay said.
fn report_again(world: &mut World, n: u8, report: u8) {
    let host = host_id(u128::from(n));
    if world.s.lane(host).is_some() || world.s.errand.is_some() {
        return;
    }
    let reason = Reason::new("stray", "stray");
    let report = match report {
        0 => StayReport::Empty,
        1 => StayReport::Approve,
        2 => StayReport::Done { warnings: Vec::new() },
        3 => StayReport::Failed(reason),
        4 => StayReport::Skipped(reason),
        5 => StayReport::Held,
        _ => StayReport::Unknown(reason),
    };
    // What is due by now has nothing to do with the report.
    for _ in 0..10 {
        world.timer = None;
        world.input(Input::Timer("wake".into())).unwrap();
    }
    if world.s.lane(host).is_some() || world.s.errand.is_some() {
        return;
    }
    let before = world.s.state;
    world.input(Input::Message(json!(ToSession::Stay(FromStay { host, report, number: 0, errand: false })))).unwrap();
    assert_eq!(world.s.lane(host), None);
    assert!(world.s.state == before || world.s.reason.is_none() || world.s.reason.as_ref().unwrap().code != "stray");
}

/// From wherever it is, the session comes to an end by itself or by order, and then nothing of it is left.
fn comes_to_an_end(world: &mut World) {
    world.until(|world| world.s.is_over() || world.s.paused);
    if world.s.paused {
        drop(world.update(Update { paused: Some(false), ..Update::default() }));
        world.until(|world| world.s.is_over() || world.s.paused);
    }
    assert!(world.worked.iter().all(|(name, times)| *times == 1 || name == "localhost"), "{:?}", world.worked);
    world.delete(Leave::Exit);
    world.until(|world| world.s.stage == Stage::Gone);
    assert_eq!(world.s.stage, Stage::Gone);
    assert!(world.locks.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_session_keeps_its_promises(
        seed in any::<u64>(),
        disturbances in proptest::collection::vec(disturbance(), 0..40),
    ) {
        let mut world = begin(seed);
        for disturbance in disturbances {
            disturb(&mut world, disturbance);
        }
        comes_to_an_end(&mut world);
    }

    #[test]
    fn an_undisturbed_session_keeps_its_promises(seed in any::<u64>()) {
        comes_to_an_end(&mut begin(seed));
    }

    #[test]
    fn messages_that_come_twice_change_nothing(seed in 1..u64::MAX) {
        // Without chance in delays, both worlds would be the same: compare what became of the hosts.
        let mut once = begin(seed);
        once.doubled = false;
        let mut twice = begin(seed);
        twice.doubled = true;
        let rests = |world: &World| world.s.is_over() || world.s.paused;
        once.until(rests);
        twice.until(rests);
        prop_assert_eq!(once.s.state, twice.s.state);
        let phases = |world: &World| world.rows.values().map(|row| (row.name.clone(), row.phase)).collect::<Vec<_>>();
        prop_assert_eq!(phases(&once), phases(&twice));
    }
}
