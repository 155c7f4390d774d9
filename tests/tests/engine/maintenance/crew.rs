//! A manager with hosts whose agents do whatever they are told, at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use hostler_common::id::{HostId, SessionId};
use hostler_common::job::{Captured, JobSpec, JobState, JobUpdate, Outcome, Work};
use hostler_common::step::maintenance::Boot;
use hostler_common::step::{Step, StepResult};
use hostler_common::time::{Clock as _, Timestamp};
use hostler_core::maintenance::host::SessionHost;
use hostler_core::maintenance::instance::{Instance, InstanceState, Size};
use hostler_core::maintenance::spec::{Action, ActionType, Spec};
use hostler_core::maintenance::state::State;
use hostler_manager::engine::compute::{ComputeSide, Memory};
use hostler_manager::engine::{Engine, EngineSettings, OsSeeds};
use hostler_manager::store::cluster::{Reach, reach_put};
use hostler_manager::store::host::{Greeting, host_describe, host_insert, host_online};
use hostler_manager::store::{Error, Gate, Store, host, job, maintenance};
use hostler_tests::both::Bed;
use hostler_tests::commit;
use hostler_tests::sim::{FSID, Site};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::Hands;

/// What an agent did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    pub host: HostId,
    pub step: String,
}

pub struct Crew {
    pub bed: Bed,
    pub clock: Arc<Hands>,
    pub engine: Engine,
    pub compute: Arc<Memory>,
    pub hosts: Vec<HostId>,
    pub done: Vec<Done>,
    /// How many of the next steps of that name fail, by host.
    pub failing: BTreeMap<(HostId, String), u32>,
    /// What is real of the Ceph cluster, if the hosts carry one.
    pub site: Site,
    boots: BTreeMap<HostId, u32>,
    answered: BTreeMap<Uuid, JobUpdate>,
}

impl Crew {
    pub async fn new(bed: Bed, hosts: u128) -> Self {
        let clock = Arc::new(Hands(AtomicI64::new(1_767_225_600_000_000)));
        let compute = Arc::new(Memory::default());
        let engine = start(bed.open().await.unwrap(), &clock, &compute);
        let mut crew = Self {
            bed,
            clock,
            engine,
            compute,
            hosts: Vec::new(),
            done: Vec::new(),
            failing: BTreeMap::new(),
            site: Site::default(),
            boots: BTreeMap::new(),
            answered: BTreeMap::new(),
        };
        for n in 1..=hosts {
            crew.add(n, &["compute"]).await;
        }
        crew
    }

    /// The same with hosts that carry a Ceph cluster, an OSD and a monitor on each.
    pub async fn with_ceph(bed: Bed, hosts: u128) -> Self {
        let mut crew = Self::new(bed, 0).await;
        crew.site = Site { ceph: true, ..Site::default() };
        for n in 1..=hosts {
            let host = crew.add(n, &["storage"]).await;
            crew.site.hosts += 1;
            let reach = Reach { fsid: Some(FSID.into()), degraded: false };
            commit!(crew.engine.store, tx => reach_put(tx, host, &reach).await).unwrap();
        }
        crew
    }

    pub async fn add(&mut self, n: u128, roles: &[&str]) -> HostId {
        let id = HostId(Uuid::from_u128(0x4000_8000_0000_0000_0000 + n));
        let (now, roles) = (self.clock.now(), roles.iter().map(|role| (*role).to_owned()).collect::<Vec<_>>());
        commit!(self.engine.store, tx => {
            host_insert(tx, id, &format!("host-{n:04}"), &roles, now).await?;
            let zone = host::Description { zone: Some(format!("z{n}")), ..Default::default() };
            host_describe(tx, id, &zone).await
        })
        .unwrap();
        self.hosts.push(id);
        self.connect(id).await;
        id
    }

    pub fn boot_of(&self, host: HostId) -> String {
        format!("boot-{}", self.boots.get(&host).copied().unwrap_or(0))
    }

    /// The agent of a host comes.
    pub async fn connect(&self, id: HostId) {
        let (now, boot_id) = (self.clock.now(), self.boot_of(id));
        let greeting = Greeting { version: "1".into(), boot_id, address: "192.0.2.1".into() };
        commit!(self.engine.store, tx => host_online(tx, id, &greeting, now).await).unwrap();
    }

    /// The manager starts anew.
    pub async fn restart(&mut self) {
        self.engine = start(self.bed.open().await.unwrap(), &self.clock, &self.compute);
    }

    /// A session over all hosts with these plug-ins.
    pub fn spec(&self, plugins: &[&str]) -> Spec {
        let action = |plugin: &&str| Action {
            plugin: (*plugin).into(),
            kind: ActionType::Host,
            metadata: serde_json::Map::new(),
            order: None,
        };
        Spec { actions: plugins.iter().map(action).collect(), ..Spec::empty(self.clock.now()) }
    }

    pub async fn state(&self, id: SessionId) -> State {
        let mut connection = self.engine.store.read().await.unwrap();
        maintenance::session_get(&mut connection, id).await.unwrap().unwrap().state
    }

    pub async fn rows(&self, id: SessionId) -> Vec<SessionHost> {
        maintenance::host_rows(&mut self.engine.store.read().await.unwrap(), id).await.unwrap()
    }

    /// An instance that takes one processor.
    pub fn instance(&self, n: u32, host: HostId) -> String {
        let id = format!("i-{n}");
        self.compute.put(Instance {
            id: id.clone(),
            name: format!("vm-{n}"),
            project: "tenant".into(),
            host,
            state: InstanceState::Active,
            size: Size { vcpus: 1, memory_mib: 512, disk_gib: 1 },
            can_live_migrate: true,
            needs: Vec::new(),
            group: None,
            busy: false,
        });
        id
    }

    /// Everybody does what there is to do, and time passes where nobody has anything; `false` when nothing will happen any
    /// more. An error is one of the store.
    pub async fn step(&mut self) -> Result<bool, Error> {
        // Moves first: a manager that dies soon would else never come to them.
        self.engine.perform_moves().await?;
        let next = self.engine.run_due().await?;
        let mut connection = self.engine.store.read().await?;
        let open = job::job_all_open(&mut connection).await?;
        drop(connection);
        let busy = !open.is_empty();
        let mut reports = Vec::new();
        for job in open {
            reports.push((job.spec.host, self.answer(&job.spec)));
        }
        let engine = &self.engine;
        let told = reports.into_iter().map(|(host, update)| engine.job_update(host, update));
        for done in futures::future::join_all(told).await {
            done?;
        }
        if busy {
            return Ok(true);
        }
        let Some(next) = next else { return Ok(false) };
        let wait = next.as_micros() - self.clock.now().as_micros();
        self.clock.0.fetch_add(wait.max(0), Ordering::SeqCst);
        Ok(true)
    }

    /// Goes on until the session is over.
    pub async fn finish(&mut self, id: SessionId) -> State {
        for _ in 0..100_000 {
            let more = self.step().await.unwrap();
            let state = self.state(id).await;
            if state.is_terminal() {
                return state;
            }
            assert!(more, "nothing happens any more: {:?}", self.rows(id).await);
        }
        panic!("it does not end: {:?}", self.rows(id).await);
    }

    /// What an agent says of a job: done before, it says the same again.
    pub fn answer(&mut self, spec: &JobSpec) -> JobUpdate {
        if let Some(said) = self.answered.get(&spec.id.0) {
            return said.clone();
        }
        let update = self.perform(spec);
        self.answered.insert(spec.id.0, update.clone());
        update
    }

    fn perform(&mut self, spec: &JobSpec) -> JobUpdate {
        let Work::Step(step) = &spec.work else { panic!("{spec:?}") };
        self.done.push(Done { host: spec.host, step: step.name().into() });
        if self.site.ceph && step.name().starts_with("ceph_") {
            let at = self.hosts.iter().position(|host| *host == spec.host).unwrap();
            let (state, outcome) = self.site.step(at, step);
            return JobUpdate { job: spec.id, state, outcome: Some(outcome) };
        }
        let fails = self.failing.get_mut(&(spec.host, step.name().to_owned())).filter(|left| **left > 0);
        let state = match fails {
            Some(left) => {
                *left -= 1;
                JobState::Failed
            }
            None => JobState::Succeeded,
        };
        let result = self.result(spec.host, step);
        let text = serde_json::to_vec(&result).unwrap();
        let outcome = Outcome {
            exit_code: Some(i32::from(state != JobState::Succeeded)),
            stdout: Captured { total: text.len() as u64, head: text, tail: Vec::new() },
            ..Outcome::default()
        };
        JobUpdate { job: spec.id, state, outcome: Some(outcome) }
    }

    fn result(&mut self, host: HostId, step: &Step) -> StepResult {
        let boot = |crew: &Self| json!(Boot { boot_id: crew.boot_of(host), kernel: "6.12".into() });
        let (changed, before, after) = match step {
            Step::Precheck(_) => (false, Value::Null, boot(self)),
            Step::Reboot(reboot) if reboot.always => {
                let before = boot(self);
                *self.boots.entry(host).or_default() += 1;
                (true, before, boot(self))
            }
            Step::Reboot(_) => (false, boot(self), boot(self)),
            _ => (false, Value::Null, Value::Null),
        };
        StepResult { changed, before, after, detail: String::new() }
    }

    /// How often each host did a step of that name.
    pub fn count(&self, step: &str) -> Vec<usize> {
        let of = |host: &HostId| self.done.iter().filter(|one| one.host == *host && one.step == step).count();
        self.hosts.iter().map(of).collect()
    }

    /// The moment so many seconds from now.
    pub fn clock_after(&self, seconds: u64) -> Timestamp {
        self.clock.now().after(std::time::Duration::from_secs(seconds))
    }

    /// That nothing is left behind by a session that is over.
    pub async fn nothing_left(&self) {
        let mut connection = self.engine.store.read().await.unwrap();
        assert!(maintenance::locks_of(&mut connection).await.unwrap().is_empty(), "hosts are locked");
        let out = maintenance::service_all(&mut connection).await.unwrap();
        assert!(out.is_empty(), "hosts are out of service: {out:?}");
        assert!(maintenance::order_open(&mut connection, 10).await.unwrap().is_empty(), "moves are open");
    }

    pub async fn events(&self) -> Vec<(String, Value)> {
        let mut connection = self.engine.store.read().await.unwrap();
        let all =
            hostler_manager::store::event::event_list(&mut connection, hostler_common::id::EventNumber(0), 100_000);
        all.await.unwrap().into_iter().map(|event| (event.kind, event.data)).collect()
    }
}

pub fn start(store: Store, clock: &Arc<Hands>, compute: &Arc<Memory>) -> Engine {
    let settings = EngineSettings { compute: ComputeSide(Arc::clone(compute) as _), ..EngineSettings::default() };
    Engine::new(store, Arc::clone(clock) as _, Arc::new(OsSeeds), settings)
}

/// A gate that lets so many transactions pass and then none.
#[derive(Debug)]
pub struct Fuse(pub AtomicI64);

impl Gate for Fuse {
    fn pass(&self) -> Result<(), Error> {
        match self.0.fetch_sub(1, Ordering::SeqCst) {
            left if left > 0 => Ok(()),
            _ => Err(Error::Unavailable("the manager is gone".into())),
        }
    }
}
