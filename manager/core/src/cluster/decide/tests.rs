use hostler_common::cluster::{Check, ConfigChange, Health};
use hostler_common::time::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use super::super::command::{Candidate, CrushMove};
use super::*;

const FSID: &str = "6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3";

fn host(number: u128) -> HostId {
    HostId(Uuid::from_u128(number))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

/// A manager in small: one machine, its timers, and what it wrote.
struct World {
    machine: Cluster,
    candidates: Vec<u128>,
    timers: std::collections::BTreeMap<&'static str, Timestamp>,
    occurrences: Vec<Occurrence>,
    watchers: Vec<Option<HostId>>,
}

impl World {
    fn new(candidates: &[u128]) -> Self {
        let mut world = Self {
            machine: Cluster::new(FSID),
            candidates: candidates.to_vec(),
            timers: Default::default(),
            occurrences: Vec::new(),
            watchers: Vec::new(),
        };
        world.give(0, Input::Command(Command::Hosts)).unwrap();
        world
    }

    fn give(&mut self, second: i64, input: Input<Command>) -> Result<(), Refusal> {
        let candidates =
            self.candidates.iter().map(|number| Candidate { number: *number as i64, host: host(*number) }).collect();
        let facts = Facts { candidates, ..Facts::default() };
        let cx = Context { now: at(second), since: crate::machine::LONG_AGO, actor: None, seed: second as u128, facts };
        let decision = self.machine.decide(input, &cx)?;
        for effect in decision.effects {
            match effect {
                Effect::SetTimer(name, due) => drop(self.timers.insert(name, due)),
                Effect::ClearTimer(name) => drop(self.timers.remove(name)),
                Effect::Tell(told) => match serde_json::from_value(told.body).unwrap() {
                    Word::Occur { occurrence, .. } => self.occurrences.push(*occurrence),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            }
        }
        for write in decision.writes {
            match write {
                Write::Watcher(watcher) => self.watchers.push(watcher),
            }
        }
        // What the machine remembers is what is stored: every step goes through the document.
        self.machine = serde_json::from_str(&serde_json::to_string(&decision.next).unwrap()).unwrap();
        Ok(())
    }

    /// Gives every timer that is due until `second`.
    fn run(&mut self, second: i64) {
        for _ in 0..1000 {
            let due = self.timers.iter().map(|(name, due)| (*due, *name)).min().filter(|(due, _)| *due <= at(second));
            let Some((due, name)) = due else { return };
            self.timers.remove(name);
            self.give(due.as_micros() / 1_000_000, Input::Timer(name.to_owned())).unwrap();
        }
        panic!("timers come due for ever");
    }

    fn report(&mut self, second: i64, from: u128, state: ClusterState) {
        self.run(second);
        self.give(second, Input::Command(Command::Report { host: host(from), state })).unwrap();
    }

    fn points(&self) -> Vec<&'static str> {
        self.occurrences.iter().map(|occurrence| occurrence.point.name()).collect()
    }
}

fn state(status: &str, codes: &[&str]) -> ClusterState {
    let check = |code: &&str| {
        let check = Check { severity: "HEALTH_WARN".into(), count: 1, message: "m".into(), muted: false };
        ((*code).to_owned(), check)
    };
    let health = Health { status: status.into(), checks: codes.iter().map(check).collect() };
    ClusterState { fsid: FSID.into(), health: Some(health), ..ClusterState::default() }
}

fn crush(version: u64, hash: &str) -> ClusterState {
    ClusterState { crush_version: Some(version), crush_hash: Some(hash.into()), ..state("HEALTH_OK", &[]) }
}

#[test]
fn a_degradation_is_written_when_its_timer_comes_due() {
    let mut world = World::new(&[1]);
    assert_eq!(world.watchers, [Some(host(1))]);
    world.report(1, 1, state("HEALTH_OK", &[]));
    world.report(5, 1, state("HEALTH_WARN", &["OSD_DOWN"]));
    world.run(14);
    assert_eq!(world.points(), [] as [&str; 0]);
    world.run(15);
    assert_eq!(world.points(), ["OnHealthDegrade"]);
    let occurrence = &world.occurrences[0];
    assert_eq!(occurrence.origin, Origin::External);
    assert_eq!(occurrence.values.len(), occurrence.point.parameters().len());
    assert_eq!(
        occurrence.values,
        ["HEALTH_OK", "HEALTH_WARN", "OSD_DOWN", "HEALTH_OK -> HEALTH_WARN: m (OSD_DOWN)"].map(str::to_owned)
    );
}

#[test]
fn what_is_not_confirmed_is_not_told() {
    let mut world = World::new(&[1]);
    world.report(1, 1, state("HEALTH_OK", &[]));
    world.report(5, 1, state("HEALTH_WARN", &["OSD_DOWN"]));
    // The manager was away for an hour; the host says then that all is well.
    let timers = std::mem::take(&mut world.timers);
    for name in timers.keys() {
        world.give(3600, Input::Timer((*name).to_owned())).unwrap();
    }
    world.report(3601, 1, state("HEALTH_OK", &[]));
    world.run(3700);
    assert_eq!(world.points(), [] as [&str; 0]);
}

#[test]
fn only_the_chosen_host_counts_and_it_is_replaced_when_it_is_silent() {
    let mut world = World::new(&[1, 2]);
    world.report(1, 1, state("HEALTH_OK", &[]));
    world.report(2, 2, state("HEALTH_ERR", &["X"]));
    world.run(25);
    assert_eq!(world.points(), [] as [&str; 0]);
    world.run(31);
    assert_eq!(world.watchers, [Some(host(1)), Some(host(2))]);
    world.report(32, 2, state("HEALTH_ERR", &["X"]));
    world.run(42);
    assert_eq!(world.points(), ["OnHealthDegrade"]);
    world.candidates = vec![];
    world.give(43, Input::Command(Command::Hosts)).unwrap();
    assert_eq!(world.watchers.last(), Some(&None));
    world.run(1_000_000);
    assert_eq!(world.points(), ["OnHealthDegrade"]);
}

#[test]
fn a_host_that_speaks_late_keeps_the_choice() {
    let mut world = World::new(&[1, 2]);
    world.give(500, Input::Command(Command::Report { host: host(1), state: state("HEALTH_OK", &[]) })).unwrap();
    assert_eq!(world.watchers, [Some(host(1))]);
}

#[test]
fn reports_of_other_clusters_are_refused() {
    let mut world = World::new(&[1]);
    let state = ClusterState { fsid: "other".into(), ..ClusterState::default() };
    let refusal = world.give(1, Input::Command(Command::Report { host: host(1), state })).unwrap_err();
    assert_eq!(refusal.class, Class::Invalid);
}

#[test]
fn a_crush_map_that_others_changed() {
    let mut world = World::new(&[1]);
    world.report(1, 1, crush(9, "a"));
    world.report(2, 1, crush(12, "b"));
    assert_eq!(world.points(), ["PostCrushMapChange"]);
    assert_eq!(world.occurrences[0].values, ["9", "12", "", OUTSIDE].map(str::to_owned));
    let operation = Uuid::from_u128(7);
    world.give(3, Input::Command(Command::CrushBegun { operation })).unwrap();
    world.report(4, 1, crush(13, "c"));
    let change = Some(CrushMove { from: 12, to: 13, hash: Some("c".into()) });
    world.give(5, Input::Command(Command::CrushEnded { operation, change })).unwrap();
    world.report(6, 1, crush(13, "c"));
    assert_eq!(world.points().len(), 1);
}

#[test]
fn options_that_others_changed_are_told_on_every_host_that_is_there() {
    let log = |versions: &[u64]| {
        let change =
            |version: &u64| ConfigChange { version: *version, options: vec![format!("osd.{version}/debug_osd")] };
        ClusterState { config_log: Some(versions.iter().map(change).collect()), ..state("HEALTH_OK", &[]) }
    };
    let mut world = World::new(&[1, 2]);
    world.report(1, 1, log(&[3]));
    world.report(2, 1, state("HEALTH_OK", &[]));
    world.report(3, 2, log(&[5, 4, 3]));
    assert!(world.occurrences.is_empty(), "the baseline, no answer, one that was not chosen");
    world.report(4, 1, log(&[5, 4, 3]));
    assert_eq!(world.points(), ["PostConfigChanged"; 2]);
    let [one, two] = &world.occurrences[..] else { panic!("{:?}", world.occurrences) };
    assert_eq!(one.values, ["", "", "osd.4/debug_osd,osd.5/debug_osd", "ok"].map(str::to_owned));
    assert!(one.id != two.id && one.origin == Origin::External);
    world.report(5, 1, log(&[5, 4, 3]));
    assert_eq!(world.points().len(), 2);
}

proptest! {
    /// In whatever order reports and silence come: timers do not come due for ever, and after two quiet minutes with
    /// reports what was told is what is.
    #[test]
    fn it_settles(moves in proptest::collection::vec((0_usize..5, 1_i64..40), 0..40)) {
        let states = [
            state("HEALTH_OK", &[]),
            state("HEALTH_WARN", &["A"]),
            state("HEALTH_WARN", &["A", "B"]),
            state("HEALTH_ERR", &["B"]),
            ClusterState { health: None, ..state("HEALTH_OK", &[]) },
        ];
        let mut world = World::new(&[1]);
        let mut now = 1;
        for (which, wait) in moves {
            world.report(now, 1, states[which].clone());
            now += wait;
        }
        for _ in 0..50 {
            world.report(now, 1, states[2].clone());
            now += 10;
        }
        let first = world.occurrences.len();
        world.report(now, 1, states[2].clone());
        world.run(now + 9);
        prop_assert_eq!(world.occurrences.len(), first);
        let mut last = "HEALTH_UNKNOWN".to_owned();
        for occurrence in &world.occurrences {
            last = occurrence.values[1].clone();
        }
        prop_assert!(world.occurrences.is_empty() || last == "HEALTH_WARN" || last == "HEALTH_UNKNOWN");
    }
}
