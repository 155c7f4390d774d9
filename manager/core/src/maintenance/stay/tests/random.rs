//! Inputs in any order, with repetitions and mishaps: whatever happens, what was taken is given back in the end, nothing that is
//! done is done again, and whoever waits has a timer. [`Sim`] checks the latter after every decision.

use hostler_common::job::{JobState, JobUpdate};
use proptest::prelude::*;
use serde_json::json;

use super::sim::{Fault, Sim};
use super::world::{host, said};
use crate::machine::{Input, WHEN_ONLINE};
use crate::maintenance::policy::{Policy, Storage};
use crate::maintenance::spec::Leave;
use crate::maintenance::state::Reason;
use crate::maintenance::stay::{LOOK, Stage};
use crate::maintenance::word::ToStay;

/// Something that happens.
#[derive(Clone, Debug)]
enum Op {
    /// What is due next, so often.
    Steps(u8),
    /// The session says something.
    Tell(u8),
    /// Somebody reports of a job that is over, or of one that nobody knows.
    Report(u8, u8),
    /// A timer comes due that should not, or not yet.
    Timer(u8),
    /// The next job of some kind goes wrong.
    Mishap(u8, u8),
    /// The agent of a host comes or goes.
    Link(u8, bool),
    /// An OSD of another host goes down or comes up.
    Osd(bool),
    /// An OSD of this host does not start any more, or does again.
    Broken(bool),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => (1..25_u8).prop_map(Op::Steps),
        3 => (0..9_u8).prop_map(Op::Tell),
        2 => (any::<u8>(), 0..5_u8).prop_map(|(job, state)| Op::Report(job, state)),
        2 => (0..7_u8).prop_map(Op::Timer),
        3 => (0..9_u8, 0..4_u8).prop_map(|(name, fault)| Op::Mishap(name, fault)),
        1 => (0..3_u8, any::<bool>()).prop_map(|(host, there)| Op::Link(host, there)),
        1 => any::<bool>().prop_map(Op::Osd),
        1 => any::<bool>().prop_map(Op::Broken),
    ];
    prop::collection::vec(op, 0..40)
}

const NAMES: [&str; 9] = [
    "precheck",
    "ceph_host",
    "ceph_sample",
    "ceph_stop_check",
    "ceph_noout",
    "ceph_daemons",
    "dummy",
    "script",
    "reboot",
];

fn policy() -> Policy {
    Policy { gate_timeout: 900, storage: Storage { stable_for: Some(20), ..Storage::default() }, ..Policy::default() }
}

fn begin(sim: &mut Sim, drains: bool) {
    let mut actions = vec![("dummy", json!({})), ("script", json!({"script": "tidy"})), ("reboot", json!({}))];
    if drains {
        actions.push(("drain", json!({})));
    }
    let order = sim.order(host(1), &actions, policy());
    sim.begin(order);
}

fn happen(sim: &mut Sim, op: &Op, drains: bool) {
    let at = host(1);
    match op {
        Op::Steps(times) => (0..*times).for_each(|_| {
            sim.step();
        }),
        Op::Tell(0 | 1) => begin(sim, drains),
        Op::Tell(2) => sim.tell(at, ToStay::Emptied),
        Op::Tell(3) => sim.tell(at, ToStay::Approved),
        Op::Tell(4) => sim.tell(at, ToStay::Pause(true)),
        Op::Tell(5) => sim.tell(at, ToStay::Pause(false)),
        Op::Tell(6) => sim.tell(at, ToStay::Skip),
        Op::Tell(7) => sim.tell(at, ToStay::End(Leave::Hold)),
        Op::Tell(_) => sim.tell(at, ToStay::CannotEmpty(Reason::new("move.failed", "no room"))),
        Op::Report(which, state) => {
            let jobs: Vec<_> = sim.jobs.keys().copied().filter(|job| sim.stay(at).job() != Some(*job)).collect();
            let Some(job) = jobs.get(usize::from(*which) % jobs.len().max(1)).copied() else { return };
            let state = [JobState::Running, JobState::Succeeded, JobState::Failed, JobState::Lost, JobState::Refused]
                [usize::from(*state)];
            let outcome = state.is_final().then(|| said(Some(0), "{}".into()));
            sim.input(at, Input::Job(JobUpdate { job, state, outcome }));
        }
        Op::Timer(which) => {
            let name = ["job", LOOK, "limit", "host", "stall", WHEN_ONLINE, "unheard_of"][usize::from(*which)];
            sim.fire((at, name));
        }
        Op::Mishap(name, fault) => {
            let fault = [Fault::Fails, Fault::LostAfter, Fault::LostBefore, Fault::Refused][usize::from(*fault)];
            sim.faults.push((NAMES[usize::from(*name)], fault));
        }
        Op::Link(n, there) => sim.connect(host(u128::from(*n) + 1), *there),
        Op::Osd(down) => {
            if *down {
                sim.world.down.insert(4)
            } else {
                sim.world.down.remove(&4)
            };
        }
        Op::Broken(broken) => {
            if *broken {
                sim.world.broken.insert(0)
            } else {
                sim.world.broken.remove(&0)
            };
        }
    }
}

/// All is well again, and somebody wants the host back.
fn come_home(sim: &mut Sim) {
    let at = host(1);
    sim.faults.clear();
    sim.world.broken.clear();
    sim.world.down.remove(&4);
    (1..=3).for_each(|n| sim.connect(host(n), true));
    sim.tell(at, ToStay::Pause(false));
    for _ in 0..4 {
        sim.run();
        match sim.stage(at) {
            Stage::Done | Stage::Skipped => return,
            _ => sim.tell(at, ToStay::End(Leave::Exit)),
        }
    }
}

fn is_as_before(sim: &Sim) {
    assert!(matches!(sim.stage(host(1)), Stage::Done | Stage::Skipped), "{:?}", sim.stay(host(1)));
    assert_eq!(sim.lock, None);
    assert!(sim.world.flags.is_empty(), "a flag is left");
    assert!(sim.world.down.is_empty() && sim.world.out.is_empty() && sim.world.mons_down.is_empty());
    assert_eq!(sim.service.get(&host(1)).cloned().flatten(), None);
    let told = sim.states_told(host(1));
    assert!(told.last().is_none_or(|last| last == "MAINTENANCE_COMPLETE"), "{told:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_happens_everything_is_given_back(list in ops(), drains in any::<bool>()) {
        let mut sim = Sim::new();
        begin(&mut sim, drains);
        for op in &list {
            happen(&mut sim, op, drains);
        }
        come_home(&mut sim);
        is_as_before(&sim);
    }

    #[test]
    fn spec_9_9_one_mishap_anywhere_ends_in_a_named_state(at in 0..80_u8, name in 0..9_u8, fault in 0..4_u8) {
        let mut sim = Sim::new();
        begin(&mut sim, false);
        happen(&mut sim, &Op::Steps(at), false);
        happen(&mut sim, &Op::Mishap(name, fault), false);
        sim.run();
        let stage = sim.stage(host(1));
        prop_assert!(matches!(stage, Stage::Done | Stage::Failed | Stage::Unknown), "{:?}", stage);
        // Once more, and no step of a plug-in that was done is done again.
        begin(&mut sim, false);
        come_home(&mut sim);
        is_as_before(&sim);
    }
}
