//! A fleet in pure code: stays, moves and projects that do what they do after a while, and the engine's part of a session.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hostler_common::id::{HostId, SessionId};
use hostler_common::time::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::rules;
use crate::machine::{Context, Effect, Event, Input, LONG_AGO, Machine, Refusal, TaskChange, TaskEnd};
use crate::maintenance::constraint::{GroupConstraint, InstanceConstraint};
use crate::maintenance::host::{FleetHost, Role, SessionHost};
use crate::maintenance::instance::{Capacity, Computes, Instance, InstanceState, MoveAction, SessionInstance, Size};
use crate::maintenance::plugin::Manifest;
use crate::maintenance::question::Reply;
use crate::maintenance::row::{StepState, Write};
use crate::maintenance::session::{Command, Create, Facts, Session, WAKE};
use crate::maintenance::spec::{Action, ActionType, Leave, Spec, Update};
use crate::maintenance::state::{Reason, State};
use crate::maintenance::word::{FromMove, FromStay, MOVE, MoveOrder, Order, StayReport, ToSession, ToStay};

/// How a project behaves.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// How long it takes to answer, in seconds.
    pub delay: u64,
    /// How often it refuses each state before it agrees.
    pub refuses: BTreeMap<State, u32>,
    /// How often it is silent before it answers.
    pub silent: BTreeMap<State, u32>,
    /// The way to leave that it chooses; where it is not offered, the first that is.
    pub action: MoveAction,
    /// How many instances it removes when it is asked to shrink.
    pub shrinks: usize,
}

impl Default for Tenant {
    fn default() -> Self {
        let (refuses, silent) = (BTreeMap::new(), BTreeMap::new());
        Self { delay: 2, refuses, silent, action: MoveAction::Migrate, shrinks: 1 }
    }
}

/// What a stay has behind it.
#[derive(Clone, Debug, Default)]
pub struct SimStay {
    pub order: Option<Order>,
    epoch: u32,
    /// Whether it is told to rest; what comes due meanwhile comes after it.
    resting: bool,
    worked: bool,
    entered: bool,
    said: u32,
}

#[derive(Clone, Debug)]
pub enum Happening {
    Stay(String, u32, StayReport),
    Moved(MoveOrder, Uuid),
    Reply(Reply),
    Taken(String),
}

pub struct World {
    pub s: Session,
    pub now: Timestamp,
    /// Since when a manager is there.
    pub since: Timestamp,
    pub rng: u64,
    pub fleet: Vec<FleetHost>,
    pub computes: Computes,
    pub rows: BTreeMap<HostId, SessionHost>,
    pub instances: BTreeMap<String, SessionInstance>,
    pub constraints: BTreeMap<String, InstanceConstraint>,
    pub groups: BTreeMap<String, GroupConstraint>,
    pub subscribed: BTreeSet<String>,
    pub tenants: BTreeMap<String, Tenant>,
    pub projects: BTreeMap<String, Option<String>>,
    pub locks: BTreeSet<HostId>,
    pub facts: Facts,
    pub timer: Option<Timestamp>,
    pub queue: Vec<(Timestamp, u64, Happening)>,
    seq: u64,
    pub stays: BTreeMap<String, SimStay>,
    pub events: Vec<(Timestamp, Event)>,
    pub steps: BTreeMap<Uuid, Option<StepState>>,
    pub names: BTreeMap<Uuid, (String, Option<String>, Timestamp)>,
    pub states: Vec<State>,
    pub closed: Vec<TaskEnd>,
    /// How often the plug-ins of a host ran, by name of the host.
    pub worked: BTreeMap<String, u32>,
    /// How often the work on a host fails before it does not.
    pub faults: BTreeMap<String, u32>,
    /// How often its outcome is unknown before it is not.
    pub unknown: BTreeMap<String, u32>,
    /// How often the move of an instance fails in that way, and with which code.
    pub move_faults: BTreeMap<(String, MoveAction), (u32, &'static str)>,
    /// Instances that were under way at any time: from, until they recovered.
    pub impact: Vec<(String, Timestamp, Option<Timestamp>)>,
    /// Whether every message comes twice.
    pub doubled: bool,
    /// How much later than at full seconds things happen: beside every deadline, where a millisecond must not decide.
    pub beside: Duration,
    pub replies: Vec<(Reply, Result<(), Refusal>)>,
}

/// A number that follows from what takes so long, not from chance: how often it was drawn before must not matter.
fn delay_of(what: &str) -> u64 {
    what.bytes().fold(7, |sum, byte| sum * 31 % 1009 + u64::from(byte))
}

pub fn host_id(n: u128) -> HostId {
    HostId(Uuid::from_u128(n))
}

pub fn start() -> Timestamp {
    "2031-04-12T22:00:00Z".parse().unwrap()
}

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

impl World {
    pub fn new() -> Self {
        Self {
            s: Session::new(SessionId(Uuid::from_u128(77))),
            now: start(),
            since: LONG_AGO,
            rng: 1,
            fleet: Vec::new(),
            computes: Computes::default(),
            rows: BTreeMap::new(),
            instances: BTreeMap::new(),
            constraints: BTreeMap::new(),
            groups: BTreeMap::new(),
            subscribed: BTreeSet::new(),
            tenants: BTreeMap::new(),
            projects: BTreeMap::new(),
            locks: BTreeSet::new(),
            facts: Facts { management: Some(host_id(999)), ..Facts::default() },
            timer: None,
            queue: Vec::new(),
            seq: 0,
            stays: BTreeMap::new(),
            events: Vec::new(),
            steps: BTreeMap::new(),
            names: BTreeMap::new(),
            states: Vec::new(),
            closed: Vec::new(),
            worked: BTreeMap::new(),
            faults: BTreeMap::new(),
            unknown: BTreeMap::new(),
            move_faults: BTreeMap::new(),
            impact: Vec::new(),
            doubled: false,
            beside: Duration::ZERO,
            replies: Vec::new(),
        }
    }

    /// A host with so many vCPUs for instances, 4 GiB each.
    pub fn host(&mut self, n: u128, roles: &[Role], vcpus: u32) -> &mut FleetHost {
        let capacity = Capacity { total: size(vcpus), offers: Vec::new() };
        if roles.contains(&Role::Compute) {
            self.computes.capacity.insert(host_id(n), capacity);
        }
        self.fleet.push(FleetHost {
            host: host_id(n),
            number: i64::try_from(n).unwrap(),
            name: format!("h{n}"),
            roles: roles.iter().copied().collect(),
            zone: None,
            labels: BTreeMap::new(),
            connected: true,
            disabled: None,
            locked_by: None,
            cluster: None,
            manager: false,
        });
        self.fleet.last_mut().unwrap()
    }

    pub fn computes(mut self, hosts: u128, vcpus: u32) -> Self {
        for n in 1..=hosts {
            self.host(n, &[Role::Compute], vcpus);
        }
        self
    }

    pub fn instance(&mut self, id: &str, project: &str, host: u128, vcpus: u32) {
        self.computes.instances.push(Instance {
            id: id.into(),
            name: format!("name-{id}"),
            project: project.into(),
            host: host_id(host),
            state: InstanceState::Active,
            size: size(vcpus),
            can_live_migrate: true,
            needs: Vec::new(),
            group: None,
            busy: false,
        });
        self.subscribed.insert(project.into());
        self.tenants.entry(project.into()).or_default();
    }

    pub fn constraint(&mut self, id: &str, group: Option<&str>, lead_time: u32) {
        let project = self.computes.instances.iter().find(|one| one.id == id).unwrap().project.clone();
        self.constraints.insert(
            id.into(),
            InstanceConstraint {
                instance_id: id.into(),
                project_id: project,
                group_id: group.map(Into::into),
                instance_name: None,
                max_interruption_time: 120,
                migration_type: MoveAction::Migrate,
                resource_mitigation: true,
                lead_time,
            },
        );
    }

    pub fn group(&mut self, id: &str, max_impacted: u32, recovery: u32) {
        self.groups.insert(
            id.into(),
            GroupConstraint {
                group_id: id.into(),
                project_id: "p".into(),
                group_name: None,
                anti_affinity_group: false,
                max_instances_per_host: 0,
                max_impacted_members: max_impacted,
                recovery_time: recovery,
                resource_mitigation: true,
            },
        );
    }

    /// A request over the named hosts with one plug-in for each.
    pub fn spec(&self, hosts: &[&str]) -> Spec {
        let actions =
            vec![Action { plugin: "dummy".into(), kind: ActionType::Host, metadata: Default::default(), order: None }];
        let hosts = hosts.iter().map(|name| (*name).to_owned()).collect();
        Spec { hosts, actions, admin_project: "admin".into(), ..Spec::empty(start().after(seconds(30))) }
    }

    pub fn create(&mut self, spec: Spec) -> Result<(), Refusal> {
        self.input(Input::Command(Command::Create(Box::new(Create { spec, id: SessionId(Uuid::from_u128(77)) }))))
    }

    pub fn update(&mut self, update: Update) -> Result<(), Refusal> {
        self.input(Input::Command(Command::Update(update)))
    }

    pub fn delete(&mut self, leave: Leave) {
        self.input(Input::Command(Command::Delete(leave))).unwrap();
    }

    pub fn reply(&mut self, reply: Reply) -> Result<(), Refusal> {
        let came = self.input(Input::Command(Command::Reply(reply.clone())));
        self.replies.push((reply, came.clone()));
        came
    }

    pub fn random(&mut self, below: u64) -> u64 {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        self.rng % below.max(1)
    }

    fn context(&mut self) -> Context<Facts> {
        // Apart from chance: an input that changes nothing must not change what comes later.
        let seed = (u128::from(self.seq) + 1).wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645);
        let mut facts = self.facts.clone();
        facts.rows = self.rows.values().cloned().collect();
        facts.fleet.clone_from(&self.fleet);
        facts.computes.clone_from(&self.computes);
        facts.instances = self.instances.values().cloned().collect();
        facts.constraints.clone_from(&self.constraints);
        facts.groups.clone_from(&self.groups);
        facts.subscribed.clone_from(&self.subscribed);
        facts.plugins =
            ["dummy"].map(|name| (name.to_owned(), Manifest { name: name.into(), ..Manifest::default() })).into();
        let lasting =
            |row: &&SessionInstance| row.impacted_from.is_some() && row.recovered_at.is_none_or(|at| at > self.now);
        facts.impacted =
            self.instances.values().filter(lasting).map(|row| (row.id.clone(), row.recovered_at)).collect();
        Context { now: self.now, since: self.since, actor: Some("tester".into()), seed, facts }
    }

    /// Decides, writes, performs; and looks whether all rules held.
    pub fn input(&mut self, input: Input<Command>) -> Result<(), Refusal> {
        let cx = self.context();
        let before = self.s.clone();
        let ordered = matches!(&input, Input::Command(Command::Update(update)) if update.state.is_some());
        let decision = before.decide(input, &cx)?;
        self.seq += 1;
        let document = serde_json::to_string(&decision.next).unwrap();
        assert_eq!(serde_json::from_str::<Session>(&document).unwrap(), decision.next, "it is read as it was written");
        self.s = decision.next;
        for write in decision.writes {
            self.write(write);
        }
        for event in decision.events {
            self.hear(event);
        }
        for effect in decision.effects {
            self.perform(effect);
        }
        rules::hold(&before, self, ordered);
        Ok(())
    }

    fn write(&mut self, write: Write) {
        match write {
            Write::Session { state, .. } => self.states.push(state),
            Write::Host(row) => drop(self.rows.insert(row.host, *row)),
            Write::HostGone(host) => drop(self.rows.remove(&host)),
            Write::Lock(host) => assert!(self.locks.insert(host), "a lock is taken once"),
            Write::Unlock(host) => drop(self.locks.remove(&host)),
            Write::Service { host, disabled } => self.service(host, disabled),
            Write::Instance(row) => drop(self.instances.insert(row.id.clone(), *row)),
            Write::InstanceGone(id) => drop(self.instances.remove(&id)),
            Write::Project { project, state, .. } => drop(self.projects.insert(project, state)),
            Write::Begun(step) => {
                assert!(self.steps.insert(step.key, None).is_none(), "{} begins twice", step.name);
                self.names.insert(step.key, (step.name, step.instance, self.now));
            }
            Write::Ended(step) => {
                let known = self.steps.get_mut(&step.key).expect("a step begins before it ends");
                assert!(known.is_none(), "{:?} ends twice: {step:?}", self.names.get(&step.key));
                *known = Some(step.state);
            }
            Write::Stay { .. } | Write::LockStorage { .. } | Write::UnlockStorage { .. } => panic!("a stay's write"),
        }
    }

    pub fn service(&mut self, host: HostId, disabled: Option<String>) {
        if let Some(one) = self.fleet.iter_mut().find(|one| one.host == host) {
            one.disabled = disabled;
        }
    }

    pub fn after(&mut self, delay: u64, happening: Happening) {
        self.seq += 1;
        self.queue.push((self.now.after(seconds(delay) + self.beside), self.seq, happening));
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::SetTimer(WAKE, at) => self.timer = Some(at),
            Effect::ClearTimer(WAKE) => self.timer = None,
            Effect::Task(TaskChange::Close { end, .. }) => self.closed.push(end),
            Effect::Task(_) => {}
            Effect::Tell(message) if message.kind == MOVE => {
                let order: MoveOrder = serde_json::from_value(message.body).unwrap();
                let delay = 1 + delay_of(&order.instance) % 20;
                self.impact.push((order.instance.clone(), self.now, None));
                self.after(delay, Happening::Moved(order, message.subject.parse().unwrap()));
            }
            Effect::Tell(message) => self.stay_told(&message.subject, serde_json::from_value(message.body).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    fn stay_told(&mut self, subject: &str, word: ToStay) {
        let mut stay = self.stays.remove(subject).unwrap_or_default();
        let later = |report, stay: &SimStay| Happening::Stay(subject.into(), stay.epoch, report);
        let delay = 1 + delay_of(subject) % 5;
        match word {
            ToStay::Begin(order) => {
                stay.epoch += 1;
                let next = if order.has_instances && !stay.entered {
                    StayReport::Empty
                } else {
                    StayReport::Done { warnings: Vec::new() }
                };
                let reason = format!("maintenance session={}", order.session);
                if !order.errand {
                    self.service(order.host, Some(reason));
                }
                stay.order = Some(*order);
                self.after(delay, later(next, &stay));
            }
            ToStay::Emptied => {
                stay.entered = true;
                let order = stay.order.as_ref().unwrap();
                let left = self.s.lane(order.host).map(|lane| lane.left.clone()).unwrap_or_default();
                let guests = self.computes.instances.iter().filter(|one| one.host == order.host);
                assert!(guests.filter(|one| !left.contains(&one.id)).count() == 0, "plug-ins only where no guest is");
                self.after(delay, later(StayReport::Done { warnings: Vec::new() }, &stay));
            }
            ToStay::CannotEmpty(reason) => {
                stay.epoch += 1;
                self.after(delay, later(StayReport::Failed(reason), &stay));
            }
            ToStay::End(Leave::Hold) => {
                stay.epoch += 1;
                self.after(delay, later(StayReport::Held, &stay));
            }
            ToStay::End(Leave::Exit) | ToStay::Skip => {
                stay.epoch += 1;
                (stay.entered, stay.resting) = (false, false);
                self.after(delay, later(StayReport::Skipped(Reason::new("given.back", "given back")), &stay));
            }
            ToStay::Pause(rest) => stay.resting = rest,
            ToStay::Approved | ToStay::Change { .. } => {}
        }
        self.stays.insert(subject.into(), stay);
    }

    /// A stay comes to the end of what it does.
    fn stay_acts(&mut self, subject: &str, epoch: u32, report: StayReport) {
        let mut stay = self.stays.remove(subject).unwrap();
        if stay.epoch == epoch && stay.resting {
            self.after(5, Happening::Stay(subject.into(), epoch, report));
        } else if stay.epoch == epoch {
            let order = stay.order.clone().unwrap();
            let report = match report {
                StayReport::Done { .. } => self.work(&mut stay, &order),
                other => other,
            };
            if matches!(report, StayReport::Done { .. } | StayReport::Skipped(_)) && !order.errand {
                self.service(order.host, order.disabled_before.clone());
            }
            stay.said += 1;
            let word = FromStay { host: order.host, report, number: stay.said, errand: order.errand };
            self.stays.insert(subject.into(), stay);
            return self.message(&ToSession::Stay(word));
        }
        self.stays.insert(subject.into(), stay);
    }

    fn work(&mut self, stay: &mut SimStay, order: &Order) -> StayReport {
        let once = |left: &mut BTreeMap<String, u32>| {
            left.get_mut(&order.name).filter(|left| **left > 0).map(|left| *left -= 1).is_some()
        };
        if once(&mut self.unknown) {
            return StayReport::Unknown(Reason::new("step.outcome_unknown", "power was lost"));
        }
        if once(&mut self.faults) {
            return StayReport::Failed(Reason::new("plugin.failed", "exit status 1"));
        }
        if !stay.worked {
            stay.worked = true;
            *self.worked.entry(order.name.clone()).or_default() += 1;
        }
        stay.entered = false;
        StayReport::Done { warnings: Vec::new() }
    }

    pub fn message(&mut self, word: &ToSession) {
        for _ in 0..1 + u32::from(self.doubled) {
            self.input(Input::Message(json!(word))).unwrap();
        }
    }

    fn moved(&mut self, order: MoveOrder, id: Uuid) {
        let fault = self.move_faults.get_mut(&(order.instance.clone(), order.action));
        let fault = fault.filter(|(left, _)| *left > 0).map(|(left, code)| {
            *left -= 1;
            *code
        });
        let to = order.to.unwrap();
        let fits = rules::fits(self, &order.instance, to);
        let failure = match fault {
            Some(code) => Some(Reason::new(code, "it did not work")),
            None if !fits => Some(Reason::new("move.refused", "there is no room")),
            None => None,
        };
        let there = self.computes.instances.iter_mut().find(|one| one.id == order.instance);
        let gone = there.is_none();
        if let (Some(one), None) = (there, &failure) {
            one.host = to;
        }
        if let Some(impact) = self.impact.iter_mut().rev().find(|(one, ..)| *one == order.instance) {
            impact.2 = Some(self.now);
        }
        let host = failure.is_none().then_some(to).filter(|_| !gone);
        self.message(&ToSession::Move(FromMove { id, instance: order.instance, host, failure }));
    }

    /// A project hears of something, and answers after a while.
    fn hear(&mut self, event: Event) {
        self.events.push((self.now, event.clone()));
        if event.kind != "maintenance.scheduled" || event.data["reply_at"].is_null() {
            return;
        }
        let project = event.subject.clone();
        let Some(state) = event.data["state"].as_str().and_then(State::from_name) else { return };
        let Some(tenant) = self.tenants.get_mut(&project) else { return };
        if let Some(left) = tenant.silent.get_mut(&state).filter(|left| **left > 0) {
            *left -= 1;
            return;
        }
        let refuses = tenant.refuses.get_mut(&state).filter(|left| **left > 0).map(|left| *left -= 1).is_some();
        let tenant = tenant.clone();
        let instance = event.data["instance_ids"].as_array().map(|ids| ids[0].as_str().unwrap().to_owned());
        let offered: Vec<MoveAction> = serde_json::from_value(event.data["allowed_actions"].clone()).unwrap();
        let action = if offered.contains(&tenant.action) { Some(tenant.action) } else { offered.first().copied() };
        let mine =
            |row: &&SessionInstance| row.project == project && row.project_state.as_deref() == Some(state.name());
        let listed: Vec<String> = match &instance {
            Some(one) => vec![one.clone()],
            None => self.instances.values().filter(mine).map(|row| row.id.clone()).collect(),
        };
        let actions = action.map(|action| listed.iter().map(|id| (id.clone(), action)).collect()).unwrap_or_default();
        if state == State::ScaleIn && !refuses {
            self.shrink(&project, &listed, tenant.shrinks);
        }
        if action == Some(MoveAction::OwnAction) && !refuses {
            for id in &listed {
                self.after(tenant.delay + 20, Happening::Taken(id.clone()));
            }
        }
        let reply = Reply { project, instance, state, ack: !refuses, actions };
        self.after(tenant.delay, Happening::Reply(reply));
    }

    fn shrink(&mut self, project: &str, listed: &[String], shrinks: usize) {
        let mut left = shrinks;
        self.computes.instances.retain(|one| {
            let goes = one.project == project && left > 0 && (listed.is_empty() || listed.contains(&one.id));
            left -= usize::from(goes);
            !goes
        });
    }

    /// The next thing happens. `false` if nothing is to come.
    pub fn step(&mut self) -> bool {
        let next =
            self.queue.iter().enumerate().min_by_key(|(_, (at, seq, _))| (*at, *seq)).map(|(n, (at, ..))| (n, *at));
        match (next, self.timer) {
            (Some((n, at)), timer) if timer.is_none_or(|timer| at <= timer) => {
                self.now = self.now.max(at);
                let (.., happening) = self.queue.remove(n);
                self.happen(happening);
            }
            (_, Some(at)) => {
                self.now = self.now.max(at);
                self.timer = None;
                self.input(Input::Timer(WAKE.into())).unwrap();
            }
            (None, None) | (Some(_), None) => return false,
        }
        true
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Stay(subject, epoch, report) => self.stay_acts(&subject, epoch, report),
            Happening::Moved(order, id) => self.moved(order, id),
            Happening::Taken(id) => self.computes.instances.retain(|one| one.id != id),
            Happening::Reply(reply) => {
                for _ in 0..1 + u32::from(self.doubled) {
                    let _ = self.reply(reply.clone());
                }
            }
        }
    }

    /// Goes on until the session rests, or a day has passed.
    pub fn run(&mut self) -> State {
        self.until(|world| world.s.is_over());
        self.s.state
    }

    pub fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let deadline = self.now.after(seconds(5 * 86_400));
        for _ in 0..100_000 {
            if done(self) || !self.step() {
                return;
            }
            assert!(self.now < deadline, "it takes for ever: {:#?}", self.s);
        }
        panic!("it goes round in circles: {:#?}", self.s);
    }

    pub fn row(&self, name: &str) -> &SessionHost {
        self.rows.values().find(|row| row.name == name).unwrap()
    }

    pub fn disabled(&self, name: &str) -> Option<&str> {
        self.fleet.iter().find(|one| one.name == name).unwrap().disabled.as_deref()
    }

    /// The states that were told, each once as long as it lasted.
    pub fn told_states(&self) -> Vec<State> {
        let mut states = self.states.clone();
        states.dedup();
        states
    }

    /// How often a project was asked about a state.
    pub fn asked(&self, project: &str, state: State) -> usize {
        let is = |event: &Event| {
            event.subject == project && event.data["state"] == state.name() && !event.data["reply_at"].is_null()
        };
        self.events.iter().filter(|(_, event)| is(event)).count()
    }

    pub fn payloads<'w>(&'w self, kind: &'w str) -> impl Iterator<Item = &'w Value> {
        self.events.iter().filter(move |(_, event)| event.kind == kind).map(|(_, event)| &event.data)
    }
}

pub fn size(vcpus: u32) -> Size {
    Size { vcpus, memory_mib: u64::from(vcpus) * 4096, disk_gib: 0 }
}
