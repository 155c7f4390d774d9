//! What is real in a simulated fleet, whatever managers and agents believe: boots, daemons of Ceph, flags, what plug-ins did.

use std::collections::{BTreeMap, BTreeSet};

use hostler_common::id::{HostId, JobId};
use hostler_common::job::{Captured, JobState, Outcome};
use hostler_common::step::maintenance::{Boot, CephCheck, CephHost, CephSample, CephStopAnswer, CephTurn, Daemons};
use hostler_common::step::{Step, StepResult};
use serde_json::{Value, json};

/// The id of the cluster.
pub const FSID: &str = "11111111-2222-4333-8444-555555555555";

/// The machines and the cluster on them: each host has one OSD and one monitor.
#[derive(Debug, Default)]
pub struct Site {
    /// How many machines there are.
    pub hosts: usize,
    /// Whether they carry a cluster.
    pub ceph: bool,
    /// How often each was booted.
    pub boots: BTreeMap<usize, u32>,
    /// Machines without power.
    pub off: BTreeSet<usize>,
    /// OSDs, and with them monitors, that do not run.
    pub down: BTreeSet<usize>,
    /// OSDs that do not start any more.
    pub broken: BTreeSet<usize>,
    /// Hosts whose daemons were stopped by an order and not started since.
    pub stopped: BTreeSet<usize>,
    /// Buckets with `noout`.
    pub flags: BTreeSet<usize>,
    /// How many of the next plug-ins of a host fail.
    pub failing: BTreeMap<usize, u32>,
    /// Jobs of plug-ins that ended well.
    pub done: Vec<(HostId, JobId)>,
    /// What should never have happened.
    pub breaches: Vec<String>,
}

impl Site {
    /// The id of the boot that a machine is in.
    #[must_use]
    pub fn boot_of(&self, n: usize) -> String {
        format!("boot-{n}-{}", self.boots.get(&n).copied().unwrap_or(0))
    }

    /// Power fails, or is taken away.
    pub fn power_off(&mut self, n: usize) {
        self.off.insert(n);
        self.down.insert(n);
    }

    /// A machine boots; returns what tells of it.
    pub fn power_on(&mut self, n: usize) -> Outcome {
        let before = self.boot(n);
        self.off.remove(&n);
        *self.boots.entry(n).or_default() += 1;
        // What is installed starts with the machine.
        self.stopped.remove(&n);
        if !self.broken.contains(&n) {
            self.down.remove(&n);
        }
        told(&StepResult { changed: true, before, after: self.boot(n), detail: "booted".into() }, JobState::Succeeded)
    }

    fn boot(&self, n: usize) -> Value {
        json!(Boot { boot_id: self.boot_of(n), kernel: "6.12".into() })
    }

    fn daemons(n: usize) -> Daemons {
        Daemons { osds: vec![n as i64], mons: vec![format!("m{n}")], ..Daemons::default() }
    }

    fn sample(&self, asked: &[i64]) -> CephSample {
        let mut checks = Vec::new();
        let mut check = |code: &str, detail: Vec<String>| {
            let (code, severity, message) = (code.into(), "HEALTH_WARN".into(), format!("{code} here"));
            checks.push(CephCheck { code, severity, message, detail, muted: false });
        };
        if !self.down.is_empty() {
            check("OSD_DOWN", Vec::new());
            check("MON_DOWN", Vec::new());
        }
        if self.down.len() > 1 {
            check("PG_AVAILABILITY", Vec::new());
        }
        let buckets: Vec<String> = self.flags.iter().map(|n| format!("bucket{n}")).collect();
        if !buckets.is_empty() {
            check("OSD_FLAGS", buckets.iter().map(|name| format!("host {name} has flags noout")).collect());
        }
        let clean = self.down.is_empty();
        let (all, up) = (self.hosts as u64, (self.hosts - self.down.len()) as u64);
        let mons: Vec<String> = (0..self.hosts).map(|n| format!("m{n}")).collect();
        let is_down = |osd: &&i64| self.down.iter().any(|n| *n as i64 == **osd);
        CephSample {
            health: if checks.is_empty() { "HEALTH_OK".into() } else { "HEALTH_WARN".into() },
            checks,
            pgs: [(if clean { "active+clean" } else { "active+undersized+degraded" }.to_owned(), 33)].into(),
            num_pgs: 33,
            degraded_ppm: if clean { 0 } else { 333_333 },
            num_osds: all,
            num_up_osds: up,
            num_in_osds: all,
            down: asked.iter().filter(is_down).copied().collect(),
            all_down_or_out: self.down.iter().map(|n| *n as i64).collect(),
            quorum: (0..self.hosts).filter(|n| !self.down.contains(n)).map(|n| format!("m{n}")).collect(),
            mons,
            mgr_available: true,
            mgr_active: "x".into(),
            mgr_standbys: vec!["y".into()],
            node_flags: buckets.into_iter().map(|name| (name, vec!["noout".into()])).collect(),
            ..CephSample::default()
        }
    }

    /// A machine does a step; reboots are the world's.
    pub fn step(&mut self, n: usize, step: &Step) -> (JobState, Outcome) {
        let mut result = StepResult { changed: false, before: Value::Null, after: Value::Null, detail: String::new() };
        let mut state = JobState::Succeeded;
        match step {
            Step::Precheck(_) => result.after = self.boot(n),
            Step::Reboot(_) => (result.before, result.after) = (self.boot(n), self.boot(n)),
            Step::CephHost => {
                result.after = json!(CephHost {
                    fsid: FSID.into(),
                    daemons: Self::daemons(n),
                    bucket: Some(format!("bucket{n}")),
                    domain: Some("host".into()),
                    flags: if self.flags.contains(&n) { vec!["noout".into()] } else { Vec::new() },
                    ..CephHost::default()
                });
            }
            Step::CephSample(request) => result.after = json!(self.sample(&request.osds)),
            Step::CephStopCheck(daemons) => {
                let others = self.down.iter().any(|down| !daemons.osds.contains(&(*down as i64)));
                let against = if others { vec!["others are down".to_owned()] } else { Vec::new() };
                result.after = json!(CephStopAnswer { ok: !others, against, with: Vec::new() });
            }
            Step::CephNoout(change) => {
                let at = change.bucket.trim_start_matches("bucket").parse().unwrap_or(n);
                result.changed = if change.set { self.flags.insert(at) } else { self.flags.remove(&at) };
            }
            Step::CephDaemons(order) => {
                result.changed = true;
                let at = order.daemons.osds.first().and_then(|osd| usize::try_from(*osd).ok()).unwrap_or(n);
                self.turn(at, order.turn);
            }
            _ if self.failing.get(&n).is_some_and(|left| *left > 0) => {
                self.failing.entry(n).and_modify(|left| *left -= 1);
                state = JobState::Failed;
                result.detail = "it does not work".into();
            }
            _ => result.changed = true,
        }
        (state, told(&result, state))
    }

    fn turn(&mut self, n: usize, turn: CephTurn) {
        match turn {
            CephTurn::Stop => {
                if let Some(other) = self.stopped.iter().find(|other| **other != n) {
                    self.breaches.push(format!("invariant 5: host {n} is stopped while host {other} is"));
                }
                self.stopped.insert(n);
                self.down.insert(n);
            }
            CephTurn::Start => {
                self.stopped.remove(&n);
                if !self.broken.contains(&n) && !self.off.contains(&n) {
                    self.down.remove(&n);
                }
            }
            CephTurn::HandOver => {}
        }
    }

    /// Everything that is broken is mended; machines without power stay so.
    pub fn mend(&mut self) {
        self.failing.clear();
        for n in std::mem::take(&mut self.broken) {
            if !self.stopped.contains(&n) && !self.off.contains(&n) {
                self.down.remove(&n);
            }
        }
    }
}

/// What a step leaves.
fn told(result: &StepResult, state: JobState) -> Outcome {
    let text = serde_json::to_vec(result).unwrap_or_default();
    Outcome {
        exit_code: Some(i32::from(state != JobState::Succeeded)),
        stdout: Captured { total: text.len() as u64, head: text, tail: Vec::new() },
        ..Outcome::default()
    }
}
