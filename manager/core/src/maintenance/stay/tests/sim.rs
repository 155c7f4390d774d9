//! Stays on the hosts of a [`World`], with the engine, the agents and the session played by hand: time moves to what is due next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hostler_common::id::{HostId, JobId};
use hostler_common::job::{JobSpec, JobState, JobUpdate, Outcome};
use hostler_common::script::{Digest, ScriptRef};
use hostler_common::time::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::world::{World, host};
use crate::machine::{Context, Effect, Event, Input, Machine, Message, WHEN_ONLINE};
use crate::maintenance::host::Role;
use crate::maintenance::policy::Policy;
use crate::maintenance::row::{StepState, Write};
use crate::maintenance::spec::{Action, ActionType};
use crate::maintenance::stay::{Facts, Stage, Stay};
use crate::maintenance::word::{Order, StayReport, ToSession, ToStay};

/// Every moment begins here.
pub const START: i64 = 1_000_000_000_000_000;

/// A job and where it stands.
#[derive(Clone, Debug)]
pub struct Job {
    pub spec: JobSpec,
    pub stay: HostId,
    pub state: JobState,
    /// When its agent reports of it, as long as that is connected.
    pub at: Timestamp,
}

/// What the agents do with the next job of a name, instead of what they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails and nothing was done.
    Fails,
    /// It was done, and nobody knows.
    LostAfter,
    /// It was not done, and nobody knows.
    LostBefore,
    /// It is not allowed there.
    Refused,
}

pub struct Sim {
    pub now: Timestamp,
    /// Since when a manager is there.
    pub since: Timestamp,
    pub world: World,
    pub stays: BTreeMap<HostId, Stay>,
    pub jobs: BTreeMap<JobId, Job>,
    pub timers: BTreeMap<(HostId, &'static str), Timestamp>,
    pub reports: Vec<(HostId, StayReport)>,
    pub events: Vec<(HostId, Event)>,
    pub service: BTreeMap<HostId, Option<String>>,
    pub lock: Option<(String, Uuid, HostId)>,
    pub phases: Vec<(HostId, &'static str, Option<String>)>,
    pub faults: Vec<(&'static str, Fault)>,
    pub ended: Vec<(HostId, String, StepState)>,
    /// Whether the session answers by itself that a host is empty.
    pub empties: bool,
    pub facts: Facts,
    keys: BTreeMap<Uuid, String>,
    done: BTreeSet<(HostId, String)>,
    seed: u128,
}

impl Sim {
    pub fn new() -> Self {
        let script = |name: &str| ScriptRef {
            id: None,
            name: name.into(),
            revision: 1,
            digest: Digest([0; 32]),
            signature: String::new(),
        };
        let facts = Facts {
            scripts: [("tidy".to_owned(), script("tidy")), ("probe".to_owned(), script("probe"))].into(),
            management: Some(host(3)),
            ..Facts::default()
        };
        Self {
            now: Timestamp::from_micros(START),
            since: crate::machine::LONG_AGO,
            world: World::new(),
            stays: BTreeMap::new(),
            jobs: BTreeMap::new(),
            timers: BTreeMap::new(),
            reports: Vec::new(),
            events: Vec::new(),
            service: BTreeMap::new(),
            lock: None,
            phases: Vec::new(),
            faults: Vec::new(),
            ended: Vec::new(),
            empties: true,
            facts,
            keys: BTreeMap::new(),
            done: BTreeSet::new(),
            seed: 1,
        }
    }

    pub fn session() -> Uuid {
        Uuid::from_u128(77)
    }

    pub fn order(&self, at: HostId, actions: &[(&str, Value)], policy: Policy) -> Box<Order> {
        let action = |(plugin, metadata): &(&str, Value)| Action {
            plugin: (*plugin).to_owned(),
            kind: ActionType::Host,
            metadata: metadata.as_object().cloned().unwrap_or_default(),
            order: None,
        };
        Box::new(Order {
            session: Self::session(),
            admin_project: "admin".into(),
            host: at,
            name: self.world.hosts.iter().find(|one| one.id == at).unwrap().name.clone(),
            roles: [Role::Storage, Role::Compute].into(),
            actions: actions.iter().map(action).collect(),
            policy,
            force: Vec::new(),
            has_instances: true,
            cluster: Some("f".into()),
            session_started: Timestamp::from_micros(START),
            baseline: BTreeSet::new(),
            disabled_before: None,
            errand: false,
        })
    }

    pub fn begin(&mut self, order: Box<Order>) {
        self.tell(order.host, ToStay::Begin(order));
    }

    pub fn tell(&mut self, at: HostId, told: ToStay) {
        self.input(at, Input::Message(serde_json::to_value(told).unwrap()));
    }

    pub fn stay(&self, at: HostId) -> &Stay {
        &self.stays[&at]
    }

    pub fn stage(&self, at: HostId) -> Stage {
        self.stays[&at].stage
    }

    /// Whether the agents executed that, on that host.
    pub fn times(&self, at: HostId, name: &str) -> usize {
        self.world.executed.iter().filter(|(on, what)| *on == at && what == name).count()
    }

    /// Gives a stay an input, writes what it decided, and checks what must always be true.
    pub fn input(&mut self, at: HostId, input: Input<ToStay>) {
        self.seed =
            self.seed.wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645).wrapping_add(0x5851_F42D_4C95_7F2D);
        let stay = self.stays.remove(&at).unwrap_or_else(|| Stay::new(Self::session(), at));
        // As the engine does it: scripts are read for what the stay asked before this input.
        let scripts = stay.scripts();
        let connected: Vec<HostId> = self.world.hosts.iter().filter(|one| one.connected).map(|one| one.id).collect();
        let facts = Facts {
            connected: connected.contains(&at),
            boot_id: Some(self.world.boot_of(at)),
            job_state: stay.job().and_then(|job| self.jobs.get(&job)).map(|job| job.state),
            storage_lock: self.lock.clone(),
            ceph_hosts: connected,
            service: self.service.get(&at).cloned().flatten(),
            scripts: self.facts.scripts.clone().into_iter().filter(|(name, _)| scripts.contains(name)).collect(),
            ..self.facts.clone()
        };
        let cx = Context { now: self.now, since: self.since, actor: None, seed: self.seed, facts };
        let decision = stay.decide(input, &cx).unwrap();
        for write in decision.writes {
            self.written(at, &decision.next, write);
        }
        self.events.extend(decision.events.into_iter().map(|event| (at, event)));
        // Documents survive: what is decided next is decided from what was stored.
        let stored: Stay = serde_json::from_str(&serde_json::to_string(&decision.next).unwrap()).unwrap();
        assert_eq!(stored, decision.next);
        self.stays.insert(at, stored);
        let mut told = Vec::new();
        for effect in decision.effects {
            if let Some(report) = self.effect(at, effect) {
                told.push(report);
            }
        }
        self.check(at);
        for report in told {
            self.reports.push((at, report.clone()));
            if report == StayReport::Empty && self.empties {
                self.tell(at, ToStay::Emptied);
            }
        }
    }

    fn written(&mut self, at: HostId, next: &Stay, write: Write) {
        match write {
            Write::Begun(begun) => {
                let key = next.open.as_ref().filter(|open| open.step == begun.key).map(|open| open.key.clone());
                let key = key.unwrap_or_else(|| format!("{}:{}", begun.kind.name(), begun.name));
                assert!(!self.done.contains(&(at, key.clone())), "{key} is done again");
                self.keys.insert(begun.key, key);
            }
            Write::Ended(ended) => {
                let key = self.keys.remove(&ended.key).expect("a step ends that never began, or ends twice");
                if key.starts_with("plugin.") && ended.state == StepState::Done {
                    self.done.insert((at, key.clone()));
                }
                if key == "leave.drain_back" && ended.state == StepState::Done {
                    // What was given back has to be taken again.
                    self.done.retain(|(on, key)| *on != at || !key.contains(".drain."));
                }
                self.ended.push((at, key, ended.state));
            }
            Write::Service { host, disabled } => {
                self.service.insert(host, disabled);
            }
            Write::LockStorage { fsid, host } => {
                assert!(self.lock.is_none(), "two have the storage at once");
                self.lock = Some((fsid, Self::session(), host));
            }
            Write::UnlockStorage { fsid } => {
                assert_eq!(self.lock.take(), Some((fsid, Self::session(), at)), "somebody else's lock is given back");
            }
            Write::Stay { phase, reason, .. } => self.phases.push((at, phase.name(), reason.map(|reason| reason.text))),
            other => panic!("a stay does not write {other:?}"),
        }
    }

    fn effect(&mut self, at: HostId, effect: Effect) -> Option<StayReport> {
        match effect {
            Effect::RunJob(spec) => {
                let at_time = self.now.after(Duration::from_secs(1));
                self.jobs.insert(spec.id, Job { spec, stay: at, state: JobState::Queued, at: at_time });
                None
            }
            Effect::CancelJob(id) => {
                if let Some(job) = self.jobs.get_mut(&id).filter(|job| job.state == JobState::Queued) {
                    job.state = JobState::Cancelled;
                }
                None
            }
            Effect::SetTimer(name, due) => {
                self.timers.insert((at, name), due);
                None
            }
            Effect::ClearTimer(name) => {
                self.timers.remove(&(at, name));
                None
            }
            Effect::Tell(Message { kind, subject, body }) => {
                assert_eq!((kind.as_str(), subject), ("session", Self::session().to_string()));
                match serde_json::from_value(body).unwrap() {
                    ToSession::Stay(from) => Some(from.report),
                    ToSession::Move(_) => panic!("a stay moves nothing"),
                }
            }
            Effect::Task(_) => panic!("a stay has no task"),
        }
    }

    /// What must be true after every decision.
    fn check(&self, at: HostId) {
        let stay = &self.stays[&at];
        if stay.stage.is_active() {
            assert!(self.timers.keys().any(|(whose, _)| *whose == at), "{:?} waits for nothing", stay.open);
        }
        let open = self.stays.values().filter(|stay| stay.open.is_some()).count();
        assert_eq!(self.keys.len(), open, "steps of history that never end: {:?}", self.keys);
        let held = self.lock.as_ref().is_some_and(|(_, _, holder)| *holder == at);
        assert_eq!(stay.marks.lock, held, "what it believes of the lock is not so");
        match stay.stage {
            Stage::Done | Stage::Skipped => {
                assert!(!held, "the storage lock leaked");
                assert!(!stay.marks.storage(), "something of the storage was not given back: {:?}", stay.marks);
                assert!(!stay.marks.fenced && !stay.marks.announced);
            }
            Stage::Held => assert!(!held, "nobody can give the lock back"),
            Stage::Failed => assert!(!held || stay.marks.storage(), "a lock for nothing"),
            Stage::Fresh | Stage::Working | Stage::Leaving | Stage::Unknown => {}
        }
    }

    /// The agent of a job reports: it has taken it, and then what came of it.
    pub fn work(&mut self, id: JobId) {
        let job = self.jobs[&id].clone();
        let name = match &job.spec.work {
            hostler_common::job::Work::Step(step) => step.name(),
            _ => "script",
        };
        let fault = self.faults.iter().position(|(what, _)| *what == name).map(|found| self.faults.remove(found).1);
        let run = |sim: &mut Self| sim.world.run(job.spec.host, &job.spec.work);
        let nothing = |reason: &str| Outcome { reason: Some(reason.into()), ..Outcome::default() };
        let (state, outcome) = match fault {
            None => run(self),
            Some(Fault::Fails) => (JobState::Failed, nothing("it failed")),
            Some(Fault::Refused) => (JobState::Refused, nothing("not allowed")),
            Some(Fault::LostBefore) => (JobState::Lost, nothing("lost")),
            Some(Fault::LostAfter) => {
                run(self);
                (JobState::Lost, nothing("lost"))
            }
        };
        self.report(id, JobState::Running, None);
        self.report(id, state, Some(outcome));
    }

    pub fn report(&mut self, id: JobId, state: JobState, outcome: Option<Outcome>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.state = state;
        let at = job.stay;
        self.input(at, Input::Job(JobUpdate { job: id, state, outcome }));
    }

    /// Lets happen what comes next. `false` if nothing will, or only alerts.
    pub fn step(&mut self) -> bool {
        let open = |job: &&Job| {
            job.state == JobState::Queued && self.world.hosts.iter().any(|one| one.id == job.spec.host && one.connected)
        };
        let job = self.jobs.values().filter(open).min_by_key(|job| (job.at, job.spec.id)).cloned();
        let active: BTreeSet<HostId> =
            self.stays.iter().filter(|(_, stay)| stay.stage.is_active()).map(|(at, _)| *at).collect();
        let timers = self.timers.iter().filter(|((at, _), _)| active.contains(at));
        let timer = timers.min_by_key(|(name, due)| (**due, **name)).map(|(name, due)| (*name, *due));
        match (job, timer) {
            (Some(job), timer) if timer.is_none_or(|(_, due)| job.at.max(self.now) <= due) => {
                self.now = self.now.max(job.at);
                self.work(job.spec.id);
            }
            (_, Some((name, due))) => {
                self.now = self.now.max(due);
                self.fire(name);
            }
            (Some(_), None) | (None, None) => return false,
        }
        true
    }

    pub fn fire(&mut self, (at, name): (HostId, &'static str)) {
        self.timers.remove(&(at, name));
        self.input(at, Input::Timer(name.into()));
    }

    pub fn connect(&mut self, at: HostId, connected: bool) {
        self.world.at(at).connected = connected;
        if connected && self.timers.contains_key(&(at, WHEN_ONLINE)) {
            self.fire((at, WHEN_ONLINE));
        }
    }

    /// Lets everything happen until the stays rest, or for so many steps.
    pub fn run(&mut self) {
        for _ in 0..4000 {
            if self.stays.values().all(|stay| !stay.stage.is_active()) || !self.step() {
                return;
            }
        }
        panic!(
            "it does not come to rest: {:?}",
            self.stays.values().map(|stay| (&stay.open, stay.stage)).collect::<Vec<_>>()
        );
    }

    /// Lets things happen until something is so.
    pub fn until(&mut self, what: impl Fn(&Self) -> bool) {
        for _ in 0..4000 {
            if what(self) {
                return;
            }
            assert!(self.step(), "nothing happens any more");
        }
        panic!("it never came");
    }

    /// Whether an entry is open that begins so.
    pub fn at_entry(&self, at: HostId, key: &str) -> bool {
        self.stays[&at].open.as_ref().is_some_and(|open| open.key.starts_with(key))
    }

    pub fn states_told(&self, at: HostId) -> Vec<String> {
        let of = |event: &Event| event.data["state"].as_str().unwrap_or_default().to_owned();
        self.events
            .iter()
            .filter(|(on, event)| *on == at && event.kind == "maintenance.host")
            .map(|(_, event)| of(event))
            .collect()
    }
}
