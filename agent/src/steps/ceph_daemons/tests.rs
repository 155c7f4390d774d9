use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::*;
use crate::ceph::Reply;
use crate::steps::fixture::recorded;

const QUICK: Patience = Patience {
    again: Duration::from_millis(1),
    ask: Duration::from_millis(20),
    watch: Duration::from_millis(20),
    blink: Duration::from_millis(10),
    seen: Duration::from_millis(20),
    up: Duration::from_millis(20),
};

/// A host whose units are daemons of the cluster beside it.
#[derive(Default)]
struct State {
    running: BTreeSet<String>,
    /// What was done, in its order.
    done: Vec<String>,
    /// OSDs that must not stop.
    needed: BTreeSet<i64>,
    /// Whether stops put data out of reach.
    harm: bool,
    /// A unit that fails to stop, having stopped.
    stubborn: String,
    /// Whether the cluster takes no notice of stops.
    blind: bool,
}

#[derive(Clone, Default)]
struct World(Arc<Mutex<State>>);

impl World {
    fn with(units: &[&str]) -> Self {
        let world = Self::default();
        world.at().running = units.iter().map(|unit| (*unit).to_owned()).collect();
        world
    }

    fn at(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn done(&self) -> Vec<String> {
        std::mem::take(&mut self.at().done)
    }

    fn act(&self, daemons: &Daemons, turn: CephTurn) -> Result<StepResult, Failure> {
        let (mut client, mut units) = (self.clone(), self.clone());
        let members = members(daemons, Path::new("/nowhere")).unwrap();
        let mut under_way = Turn { client: &mut client, units: &mut units, members, patience: QUICK };
        if turn == CephTurn::Stop { under_way.stop() } else { under_way.start() }
    }
}

impl Units for World {
    fn active(&mut self, unit: &str) -> Result<bool, Failure> {
        Ok(self.at().running.contains(unit))
    }

    fn start(&mut self, unit: &str) -> Result<(), Failure> {
        self.at().done.push(format!("start {unit}"));
        self.at().running.insert(unit.to_owned());
        Ok(())
    }

    fn stop(&mut self, unit: &str) -> Result<(), Failure> {
        self.at().done.push(format!("stop {unit}"));
        self.at().running.remove(unit);
        if self.at().stubborn == unit { Err(Failure::Broken("it hangs".into())) } else { Ok(()) }
    }
}

impl CephClient for World {
    fn send(&mut self, command: &Value, _: &[u8]) -> Result<Reply, Error> {
        let mut state = self.at();
        let prefix = command["prefix"].as_str().unwrap();
        let up = |state: &State, osd: i64| {
            // OSD 9 is on another host.
            u8::from(state.blind || osd == 9 || state.running.contains(&format!("ceph-osd@{osd}.service")))
        };
        let answer = match prefix {
            "osd dump" => {
                let osds: Vec<Value> =
                    [0, 1, 9].map(|osd| json!({"osd": osd, "up": up(&state, osd), "in": 1})).into_iter().collect();
                json!({"osds": osds})
            }
            "health" if state.harm && up(&state, 0) == 0 => {
                json!({"status": "HEALTH_WARN", "checks": {"PG_AVAILABILITY": {"summary": {"message": "2 pgs inactive"}}}})
            }
            "health" => json!({"status": "HEALTH_OK", "checks": {}}),
            "osd ok-to-stop" => {
                let osd: i64 = command["ids"][0].as_str().unwrap().parse().unwrap();
                if command.get("max").is_none() {
                    state.done.push(format!("ask osd.{osd}"));
                }
                json!({"ok_to_stop": !state.needed.contains(&osd), "osds": [osd]})
            }
            "mon ok-to-stop" | "mds ok-to-stop" => {
                state.done.push(format!("ask {}.{}", &prefix[..3], command["ids"][0].as_str().unwrap()));
                Value::Null
            }
            "quorum_status" => recorded("quorum"),
            "mgr dump" => recorded("mgr_dump"),
            "fs dump" => recorded("fs_dump"),
            other => panic!("{other}"),
        };
        Ok(Reply { output: answer.to_string().into_bytes(), status: String::new() })
    }
}

fn daemons() -> Daemons {
    let one = |name: &str| vec![name.to_owned()];
    Daemons { osds: vec![0, 1], mons: one("a"), mgrs: one("x"), mdss: one("b"), rgws: one("g") }
}

const UNITS: [&str; 6] = [
    "ceph-osd@0.service",
    "ceph-osd@1.service",
    "ceph-radosgw@rgw.g.service",
    "ceph-mds@b.service",
    "ceph-mgr@x.service",
    "ceph-mon@a.service",
];

#[test]
fn osds_stop_first_and_monitors_last_each_asked_for_and_start_the_other_way_round() {
    let world = World::with(&UNITS);
    let result = world.act(&daemons(), CephTurn::Stop).unwrap();
    assert!(result.changed && result.after["stopped"].as_array().unwrap().len() == 6, "{result:?}");
    let expected = [
        "ask osd.0",
        "stop ceph-osd@0.service",
        "ask osd.1",
        "stop ceph-osd@1.service",
        "stop ceph-radosgw@rgw.g.service",
        "ask mds.b",
        "stop ceph-mds@b.service",
        "stop ceph-mgr@x.service",
        "ask mon.a",
        "stop ceph-mon@a.service",
    ];
    assert_eq!(world.done(), expected);
    assert!(!world.act(&daemons(), CephTurn::Stop).unwrap().changed);
    assert!(world.done().is_empty(), "what is stopped is not asked for");
    let result = world.act(&daemons(), CephTurn::Start).unwrap();
    assert_eq!(result.after["started"].as_array().unwrap().len(), 6);
    let expected: Vec<String> = UNITS.iter().rev().map(|unit| format!("start {unit}")).collect();
    assert_eq!(world.done(), expected);
    assert!(!world.act(&daemons(), CephTurn::Start).unwrap().changed);
}

#[test]
fn a_no_in_the_middle_starts_again_what_was_stopped() {
    let world = World::with(&UNITS);
    world.at().needed.insert(1);
    let Failure::Undone(result) = world.act(&daemons(), CephTurn::Stop).unwrap_err() else { panic!() };
    assert!(result.detail.contains("ceph-osd@1.service may not stop"), "{}", result.detail);
    assert_eq!(result.after["started_again"], json!(["ceph-osd@0.service"]));
    assert_eq!(world.at().running.len(), 6);
    // A no to the first: nothing was changed.
    world.at().needed.insert(0);
    assert!(matches!(world.act(&daemons(), CephTurn::Stop), Err(Failure::Refused(_))));
    assert_eq!(world.at().running.len(), 6);
}

#[test]
fn stops_that_put_data_out_of_reach_are_taken_back() {
    let world = World::with(&UNITS);
    world.at().harm = true;
    let Failure::Undone(result) = world.act(&daemons(), CephTurn::Stop).unwrap_err() else { panic!() };
    assert!(result.detail.contains("data are out of reach: 2 pgs inactive"), "{}", result.detail);
    assert_eq!(world.at().running.len(), 6);
    // They are already: then nothing is begun.
    world.at().running.remove("ceph-osd@0.service");
    assert!(matches!(world.act(&daemons(), CephTurn::Stop), Err(Failure::Refused(_))));
}

#[test]
fn a_unit_that_fails_to_stop_is_started_again_with_the_others() {
    let world = World::with(&UNITS);
    world.at().stubborn = "ceph-mds@b.service".into();
    let Failure::Undone(result) = world.act(&daemons(), CephTurn::Stop).unwrap_err() else { panic!() };
    assert!(result.detail.contains("it hangs"), "{}", result.detail);
    assert_eq!(world.at().running.len(), 6);
    assert_eq!(
        world.done().last().unwrap(),
        "start ceph-osd@0.service",
        "the first that stopped is the last that starts"
    );
}

#[test]
fn stops_that_the_cluster_does_not_see_are_taken_back() {
    let world = World::with(&UNITS);
    world.at().blind = true;
    let Failure::Undone(result) = world.act(&daemons(), CephTurn::Stop).unwrap_err() else { panic!() };
    assert!(result.detail.contains("are seen as up after their stop"), "{}", result.detail);
}
