//! A small Ceph cluster of three hosts in pure code, and the agents of its hosts: what they answer follows from what was done.

use std::collections::{BTreeMap, BTreeSet};

use hostler_common::id::HostId;
use hostler_common::job::{Captured, JobState, Outcome, Work};
use hostler_common::step::maintenance::{
    Boot, CephCheck, CephDrained, CephHost, CephSample, CephStopAnswer, CephTurn, Daemons,
};
use hostler_common::step::{Step, StepResult};
use serde_json::{Value, json};

/// A host with two OSDs and a monitor.
#[derive(Clone, Debug)]
pub struct Machine {
    pub id: HostId,
    pub name: String,
    pub daemons: Daemons,
    pub boots: u32,
    pub connected: bool,
    /// Whether it wants a reboot by itself.
    pub wants_reboot: bool,
}

/// The cluster.
#[derive(Clone, Debug)]
pub struct World {
    pub hosts: Vec<Machine>,
    pub down: BTreeSet<i64>,
    pub out: BTreeSet<i64>,
    pub mons_down: BTreeSet<String>,
    pub mgr_active: String,
    pub mgrs_down: BTreeSet<String>,
    pub flags: BTreeMap<String, Vec<String>>,
    /// OSDs that never start again.
    pub broken: BTreeSet<i64>,
    /// More health checks.
    pub checks: Vec<CephCheck>,
    pub tight: Vec<String>,
    /// What scripts end with: exit status and output, by name.
    pub scripts: BTreeMap<String, (i32, String)>,
    /// Steps that were executed: the host and the name.
    pub executed: Vec<(HostId, String)>,
    /// How many hosts had OSDs down at once at most.
    pub worst: usize,
}

pub fn host(n: u128) -> HostId {
    HostId(uuid::Uuid::from_u128(n))
}

impl World {
    pub fn new() -> Self {
        let hosts = (1..=3_i64).map(|n| Machine {
            id: host(n as u128),
            name: format!("ceph{n}"),
            daemons: Daemons {
                osds: vec![2 * n - 2, 2 * n - 1],
                mons: vec![format!("m{n}")],
                mgrs: if n < 3 { vec![format!("g{n}")] } else { Vec::new() },
                ..Daemons::default()
            },
            boots: 1,
            connected: true,
            wants_reboot: false,
        });
        Self {
            hosts: hosts.collect(),
            down: BTreeSet::new(),
            out: BTreeSet::new(),
            mons_down: BTreeSet::new(),
            mgr_active: "g1".into(),
            mgrs_down: BTreeSet::new(),
            flags: BTreeMap::new(),
            broken: BTreeSet::new(),
            checks: Vec::new(),
            tight: Vec::new(),
            scripts: BTreeMap::new(),
            executed: Vec::new(),
            worst: 0,
        }
    }

    pub fn at(&mut self, id: HostId) -> &mut Machine {
        self.hosts.iter_mut().find(|one| one.id == id).unwrap()
    }

    pub fn boot_of(&self, id: HostId) -> String {
        let machine = self.hosts.iter().find(|one| one.id == id).unwrap();
        format!("boot-{}-{}", machine.name, machine.boots)
    }

    fn hosts_down(&self) -> usize {
        self.hosts.iter().filter(|one| one.daemons.osds.iter().any(|osd| self.down.contains(osd))).count()
    }

    pub fn sample(&self, asked: &[i64]) -> CephSample {
        let mut checks = self.checks.clone();
        let mut check = |code: &str, detail: Vec<String>| {
            checks.push(CephCheck {
                code: code.into(),
                severity: "HEALTH_WARN".into(),
                message: format!("{code} here"),
                detail,
                muted: false,
            });
        };
        let counted: BTreeSet<&i64> = self.down.difference(&self.out).collect();
        if !counted.is_empty() {
            check("OSD_DOWN", Vec::new());
            check("PG_DEGRADED", Vec::new());
        }
        if self.hosts_down() > 1 {
            check("PG_AVAILABILITY", Vec::new());
        }
        if !self.mons_down.is_empty() {
            check("MON_DOWN", Vec::new());
        }
        let flagged: Vec<String> = self.flags.keys().map(|name| format!("host {name} has flags noout")).collect();
        if !flagged.is_empty() {
            check("OSD_FLAGS", flagged);
        }
        let state = if counted.is_empty() { "active+clean" } else { "active+undersized+degraded" };
        let mons: Vec<String> = self.hosts.iter().flat_map(|one| one.daemons.mons.clone()).collect();
        let mgrs: Vec<String> = self.hosts.iter().flat_map(|one| one.daemons.mgrs.clone()).collect();
        let away: BTreeSet<i64> = self.down.union(&self.out).copied().collect();
        CephSample {
            health: if checks.is_empty() { "HEALTH_OK".into() } else { "HEALTH_WARN".into() },
            checks,
            pgs: BTreeMap::from([(state.to_owned(), 33)]),
            num_pgs: 33,
            degraded_ppm: if counted.is_empty() { 0 } else { 333_333 },
            num_osds: 6,
            num_up_osds: 6 - self.down.len() as u64,
            num_in_osds: 6 - self.out.len() as u64,
            down: asked.iter().filter(|osd| self.down.contains(osd)).copied().collect(),
            out: asked.iter().filter(|osd| self.out.contains(osd)).copied().collect(),
            all_down_or_out: away.into_iter().collect(),
            quorum: mons.iter().filter(|name| !self.mons_down.contains(*name)).cloned().collect(),
            mons,
            mgr_available: true,
            mgr_active: self.mgr_active.clone(),
            mgr_standbys: mgrs
                .into_iter()
                .filter(|name| *name != self.mgr_active && !self.mgrs_down.contains(name))
                .collect(),
            node_flags: self.flags.clone(),
            ..CephSample::default()
        }
    }

    /// Does what a job says.
    pub fn run(&mut self, at: HostId, work: &Work) -> (JobState, Outcome) {
        let step = match work {
            Work::Step(step) => step,
            Work::Script(run) => {
                self.executed.push((at, format!("script {}", run.script.name)));
                let (code, text) = self.scripts.get(&run.script.name).cloned().unwrap_or((0, String::new()));
                let good = code == 0 || run.success_codes.contains(&code);
                let state = if good { JobState::Succeeded } else { JobState::Failed };
                return (state, said(Some(code), text));
            }
            Work::Introspect { .. } => panic!("a stay does not introspect"),
        };
        self.executed.push((at, step.name().to_owned()));
        let (changed, before, after) = self.step(at, step);
        self.worst = self.worst.max(self.hosts_down());
        let result = StepResult { changed, before, after, detail: String::new() };
        (JobState::Succeeded, said(Some(0), serde_json::to_string(&result).unwrap()))
    }

    fn step(&mut self, at: HostId, step: &Step) -> (bool, Value, Value) {
        let boot = |world: &Self| json!(Boot { boot_id: world.boot_of(at), kernel: "6.12.1".into() });
        match step {
            Step::Precheck(_) => (false, Value::Null, boot(self)),
            Step::Reboot(reboot) => {
                let before = boot(self);
                let wanted = reboot.always || self.at(at).wants_reboot;
                if wanted {
                    let machine = self.at(at);
                    machine.boots += 1;
                    machine.wants_reboot = false;
                }
                (wanted, before, boot(self))
            }
            Step::CephHost => {
                let tight = self.tight.clone();
                let machine = self.at(at).clone();
                let found = CephHost {
                    fsid: "f".into(),
                    daemons: machine.daemons,
                    flags: self.flags.get(&machine.name).cloned().unwrap_or_default(),
                    bucket: Some(machine.name),
                    domain: Some("host".into()),
                    tight_pools: tight,
                    ..CephHost::default()
                };
                (false, Value::Null, json!(found))
            }
            Step::CephSample(request) => (false, Value::Null, json!(self.sample(&request.osds))),
            Step::CephStopCheck(daemons) => {
                let others = self.down.iter().any(|osd| !daemons.osds.contains(osd));
                let against =
                    if others { vec!["placement groups would become inactive".to_owned()] } else { Vec::new() };
                (false, Value::Null, json!(CephStopAnswer { ok: !others, against, with: Vec::new() }))
            }
            Step::CephDaemons(order) => {
                self.turn(order.turn, &order.daemons);
                (true, Value::Null, Value::Null)
            }
            Step::CephNoout(change) => {
                let had = self.flags.contains_key(&change.bucket);
                if change.set {
                    self.flags.insert(change.bucket.clone(), vec!["noout".into()]);
                } else {
                    self.flags.remove(&change.bucket);
                }
                (had != change.set, Value::Null, Value::Null)
            }
            Step::CephDrain(drain) => {
                for osd in &drain.osds {
                    if drain.out {
                        self.out.insert(*osd)
                    } else {
                        self.out.remove(osd)
                    };
                }
                (true, Value::Null, json!(CephDrained::default()))
            }
            _ => (true, Value::Null, Value::Null),
        }
    }

    fn turn(&mut self, turn: CephTurn, daemons: &Daemons) {
        match turn {
            CephTurn::Stop => {
                self.down.extend(&daemons.osds);
                self.mons_down.extend(daemons.mons.iter().cloned());
                self.mgrs_down.extend(daemons.mgrs.iter().cloned());
            }
            CephTurn::Start => {
                self.down.retain(|osd| !daemons.osds.contains(osd) || self.broken.contains(osd));
                self.mons_down.retain(|name| !daemons.mons.contains(name));
                self.mgrs_down.retain(|name| !daemons.mgrs.contains(name));
            }
            CephTurn::HandOver => {
                if daemons.mgrs.contains(&self.mgr_active) {
                    self.mgr_active = if self.mgr_active == "g1" { "g2".into() } else { "g1".into() };
                }
            }
        }
    }
}

pub fn said(exit_code: Option<i32>, text: String) -> Outcome {
    let bytes = text.into_bytes();
    let total = bytes.len() as u64;
    Outcome { exit_code, stdout: Captured { head: bytes, tail: Vec::new(), total }, ..Outcome::default() }
}
