//! One input of one machine: load, decide and commit in one transaction; wake others after it.

use std::collections::VecDeque;

use futures::future::BoxFuture;
use hostler_common::id::{HostId, MachineId, TaskId};
use hostler_common::job::JobUpdate;
use hostler_core::cluster::Cluster;
use hostler_core::hook::chain::Chain;
use hostler_core::introspection::Introspection;
use hostler_core::machine::{Context, Decision, Effect, Input, Machine, Message, TaskChange};
use hostler_core::maintenance::movement::Move;
use hostler_core::maintenance::session::Session;
use hostler_core::maintenance::stay::Stay;
use hostler_core::operation::Operation;
use hostler_core::refresh::Refresh;
use hostler_core::run::Run;
use hostler_core::webhook::Webhook;
use serde_json::Value;
use uuid::Uuid;

use super::{
    ChainDomain, ClusterDomain, Engine, IntrospectionDomain, MoveDomain, OperationDomain, RefreshDomain, RunDomain,
    SessionDomain, StayDomain, Turn, WebhookDomain,
};
use crate::store::machine::Record;
use crate::store::task::NewTask;
use crate::store::{Connection, Error, Result, event, job, machine, task};

/// How often an input is tried again after another manager was faster.
pub(super) const TRIES: usize = 8;

/// How long a chain of machines may be of which each tells the next something because it was told something.
const CHAIN: u32 = 256;

/// What the engine must know of a kind of machine besides its decisions.
pub trait Domain: Send + Sync + 'static {
    /// The machine.
    type Machine: Machine<Command: Clone + Sync>;

    /// The machine of a subject that never had one.
    ///
    /// # Errors
    /// The subject is none of this kind.
    fn fresh(subject: &str) -> Result<Self::Machine>;

    /// Reads what the decision may know.
    fn facts<'t>(
        turn: &'t Turn,
        tx: &'t mut Connection,
        machine: &'t Self::Machine,
        input: &'t Input<<Self::Machine as Machine>::Command>,
    ) -> BoxFuture<'t, Result<<Self::Machine as Machine>::Facts>>;

    /// Writes the domain's rows of a decision.
    fn write<'t>(
        turn: &'t Turn,
        tx: &'t mut Connection,
        next: &'t Self::Machine,
        writes: Vec<<Self::Machine as Machine>::Write>,
    ) -> BoxFuture<'t, Result<()>>;

    /// Brings what was read for one decision up to what that decision writes, so that the next one can be made from it;
    /// `false` if that cannot be done.
    fn absorb(_facts: &mut <Self::Machine as Machine>::Facts, _writes: &[<Self::Machine as Machine>::Write]) -> bool {
        false
    }

    /// Whether agents are to do something else by themselves after a decision ([`hostler_common::hook::Assignment`]).
    fn reassigns(_before: &Self::Machine, _after: &Self::Machine) -> bool {
        false
    }

    /// Whether the compute side has something to do after a decision.
    fn orders(_before: &Self::Machine, _after: &Self::Machine) -> bool {
        false
    }
}

/// What a committed decision is, for those who asked and for those who are woken.
#[derive(Clone, Debug)]
pub struct Committed<M> {
    /// The machine's state now.
    pub machine: M,
    /// The task by which people follow it now.
    pub task: Option<TaskId>,
    /// Who is to be woken.
    pub wakes: Wakes,
}

/// Who is to be woken after a commit.
#[derive(Clone, Debug, Default)]
pub struct Wakes {
    /// Hosts whose links have something to say.
    pub hosts: Vec<HostId>,
    /// Whether timers moved.
    pub timers: bool,
    /// Whether agents are to do something else by themselves.
    pub assignments: bool,
    /// Whether instances are to be moved.
    pub orders: bool,
}

impl Wakes {
    /// These and others.
    pub fn add(&mut self, others: Self) {
        self.hosts.extend(others.hosts);
        self.timers |= others.timers;
        self.assignments |= others.assignments;
        self.orders |= others.orders;
    }
}

type CommandOf<D> = <<D as Domain>::Machine as Machine>::Command;

impl Engine {
    /// Gives the machine of `subject` an input and returns when its decision is durable.
    ///
    /// # Errors
    /// The machine's refusal, as [`Error::Refused`]; see [`Error`].
    pub async fn input<D: Domain>(
        &self,
        subject: &str,
        input: Input<CommandOf<D>>,
        actor: Option<&str>,
    ) -> Result<Committed<D::Machine>> {
        let mut tries = 0;
        loop {
            let turn = self.turn(actor);
            let (subject, input) = (subject.to_owned(), input.clone());
            let done =
                self.store.write(move |tx| Box::pin(async move { apply::<D>(&turn, tx, &subject, input).await })).await;
            tries += 1;
            match done {
                Err(Error::Moved) if tries < TRIES => {}
                Ok(committed) => {
                    self.woken(&committed);
                    return Ok(committed);
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn woken<M>(&self, committed: &Committed<M>) {
        self.wake_all(&committed.wakes);
    }

    pub(super) fn wake_all(&self, wakes: &Wakes) {
        for host in &wakes.hosts {
            self.wake.host(*host);
        }
        if wakes.timers {
            self.wake.timers();
        }
        if wakes.assignments {
            self.wake.assignments();
        }
        if wakes.orders {
            self.wake.orders();
        }
        self.wake.changed();
    }
}

/// What happens to machines of any kind.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    /// An agent reports of a job.
    Job(Box<JobUpdate>),
    /// A timer came due.
    Timer(String),
    /// Another machine tells it something.
    Message(Value),
}

impl Happening {
    fn into_input<C>(self) -> Input<C> {
        match self {
            Self::Job(update) => Input::Job(*update),
            Self::Timer(name) => Input::Timer(name),
            Self::Message(body) => Input::Message(body),
        }
    }
}

/// The id of a machine whose subject is an id of its own.
pub(super) fn own_id(kind: &str, subject: &str) -> Result<Uuid> {
    subject.parse().map_err(|_| Error::Broken(format!("not the id of a {kind}: {subject}")))
}

/// Gives the machine of that kind what happened, and all machines what follows from it.
pub(super) async fn apply_kind(
    turn: &Turn,
    tx: &mut Connection,
    kind: &str,
    subject: &str,
    happening: Happening,
) -> Result<Wakes> {
    let (mut wakes, told) = step_kind(turn, tx, kind, subject, happening).await?;
    deliver(turn, tx, told, &mut wakes).await?;
    Ok(wakes)
}

/// Gives the machine of that kind what happened. A new kind of machine is one line here.
pub(super) async fn step_kind(
    turn: &Turn,
    tx: &mut Connection,
    kind: &str,
    subject: &str,
    happening: Happening,
) -> Result<(Wakes, Vec<Message>)> {
    match kind {
        Introspection::KIND => step_of::<IntrospectionDomain>(turn, tx, subject, happening).await,
        Refresh::KIND => step_of::<RefreshDomain>(turn, tx, subject, happening).await,
        Run::KIND => step_of::<RunDomain>(turn, tx, subject, happening).await,
        Operation::KIND => step_of::<OperationDomain>(turn, tx, subject, happening).await,
        Chain::KIND => step_of::<ChainDomain>(turn, tx, subject, happening).await,
        Cluster::KIND => step_of::<ClusterDomain>(turn, tx, subject, happening).await,
        Webhook::KIND => step_of::<WebhookDomain>(turn, tx, subject, happening).await,
        Session::KIND => step_of::<SessionDomain>(turn, tx, subject, happening).await,
        Stay::KIND => step_of::<StayDomain>(turn, tx, subject, happening).await,
        Move::KIND => step_of::<MoveDomain>(turn, tx, subject, happening).await,
        other => Err(Error::Broken(format!("unknown kind of machine {other}"))),
    }
}

async fn step_of<D: Domain>(
    turn: &Turn,
    tx: &mut Connection,
    subject: &str,
    happening: Happening,
) -> Result<(Wakes, Vec<Message>)> {
    let (done, told) = step::<D>(turn, tx, subject, happening.into_input()).await?;
    Ok((done.wakes, told))
}

/// Hands on what machines tell each other, until none has anything to say. What several tell one session at once, as the stays
/// of many hosts do, it is given together.
pub(super) async fn deliver(turn: &Turn, tx: &mut Connection, told: Vec<Message>, wakes: &mut Wakes) -> Result<()> {
    let mut queue: VecDeque<(u32, Message)> = told.into_iter().map(|message| (1, message)).collect();
    let mut number = 0;
    while let Some((depth, message)) = queue.pop_front() {
        number += 1;
        if depth > CHAIN {
            return Err(Error::Broken(format!("machines talk without end, lastly to {}", message.kind)));
        }
        let turn = turn.nth(number);
        let (more, told) = if message.kind == Session::KIND {
            let bodies = with_alike(&mut queue, message.body, &message.subject);
            step_all::<SessionDomain>(&turn, tx, &message.subject, bodies).await?
        } else {
            let happening = Happening::Message(message.body);
            step_kind(&turn, tx, &message.kind, &message.subject, happening).await?
        };
        wakes.add(more);
        queue.extend(told.into_iter().map(|message| (depth + 1, message)));
    }
    Ok(())
}

/// What a session is told, with all else that waits for it.
fn with_alike(queue: &mut VecDeque<(u32, Message)>, first: Value, subject: &str) -> Vec<Value> {
    let mut bodies = vec![first];
    queue.retain_mut(|(_, message)| {
        let alike = message.kind == Session::KIND && message.subject == subject;
        if alike {
            bodies.push(message.body.take());
        }
        !alike
    });
    bodies
}

/// One input in one transaction, with all that machines tell each other because of it. What is returned of the machine is
/// how it was before those.
pub(super) async fn apply<D: Domain>(
    turn: &Turn,
    tx: &mut Connection,
    subject: &str,
    input: Input<CommandOf<D>>,
) -> Result<Committed<D::Machine>> {
    let (mut done, told) = step::<D>(turn, tx, subject, input).await?;
    deliver(turn, tx, told, &mut done.wakes).await?;
    Ok(done)
}

/// One input of one machine.
async fn step<D: Domain>(
    turn: &Turn,
    tx: &mut Connection,
    subject: &str,
    input: Input<CommandOf<D>>,
) -> Result<(Committed<D::Machine>, Vec<Message>)> {
    let mut record = take::<D>(turn, tx, subject).await?;
    let turn = turn.about(record.id, record.task);
    let facts = D::facts(&turn, tx, &record.machine, &input).await?;
    let decision = decide::<D>(&turn, &record.machine, input, facts)?.0;
    commit::<D>(&turn, tx, &mut record, decision).await
}

/// Several messages for one machine: what it may know is read once, as long as it follows from what it decides
/// ([`Domain::absorb`]), and what follows is written once.
async fn step_all<D: Domain>(
    turn: &Turn,
    tx: &mut Connection,
    subject: &str,
    bodies: Vec<Value>,
) -> Result<(Wakes, Vec<Message>)> {
    let mut record = take::<D>(turn, tx, subject).await?;
    let turn = turn.about(record.id, record.task);
    let mut all = Decision::<D::Machine>::to(record.machine.clone());
    let mut known = None;
    for (n, body) in (1..).zip(bodies) {
        let input = Input::Message(body);
        let facts = match known.take() {
            Some(facts) => facts,
            None => D::facts(&turn, tx, &all.next, &input).await?,
        };
        let own = Turn { machine: turn.machine, task: turn.task, ..turn.nth(n) };
        let (decision, mut facts) = decide::<D>(&own, &all.next, input, facts)?;
        if D::absorb(&mut facts, &decision.writes) {
            known = Some(facts);
        } else if !decision.writes.is_empty() {
            return Err(Error::Broken("what a machine knows does not follow from what it wrote".into()));
        }
        all.next = decision.next;
        all.effects.extend(decision.effects);
        all.writes.extend(decision.writes);
        all.steps.extend(decision.steps);
        all.events.extend(decision.events);
    }
    let (done, told) = commit::<D>(&turn, tx, &mut record, all).await?;
    Ok((done.wakes, told))
}

/// The machine of that subject, made if there never was one.
async fn take<D: Domain>(turn: &Turn, tx: &mut Connection, subject: &str) -> Result<Record<D::Machine>> {
    let kind = D::Machine::KIND;
    if let Some(record) = machine::machine_take::<D::Machine>(tx, kind, subject).await? {
        return Ok(record);
    }
    let fresh = D::fresh(subject)?;
    let id = MachineId(Uuid::from_u128(turn.seed ^ 0x006d_6163_6869_6e65));
    machine::machine_insert(tx, id, kind, subject, &fresh, turn.now).await?;
    Ok(Record { id, version: 1, task: None, machine: fresh })
}

type FactsOf<D> = <<D as Domain>::Machine as Machine>::Facts;

/// Asks a machine for its decision; gives back what it knew for that.
fn decide<D: Domain>(
    turn: &Turn,
    machine: &D::Machine,
    input: Input<CommandOf<D>>,
    facts: FactsOf<D>,
) -> Result<(Decision<D::Machine>, FactsOf<D>)> {
    let cx = Context { now: turn.now, since: turn.since, actor: turn.actor.clone(), seed: turn.seed, facts };
    let decision = machine.decide(input, &cx).map_err(|refusal| Error::Refused(refusal.class, refusal.message))?;
    Ok((decision, cx.facts))
}

/// Writes all of a decision.
pub(super) async fn commit<D: Domain>(
    turn: &Turn,
    tx: &mut Connection,
    record: &mut Record<D::Machine>,
    decision: Decision<D::Machine>,
) -> Result<(Committed<D::Machine>, Vec<Message>)> {
    let Decision { next, effects, writes, steps, events } = decision;
    let (mut wakes, mut told, mut jobs) = (Wakes::default(), Vec::new(), Vec::new());
    for effect in effects {
        match effect {
            Effect::RunJob(spec) => jobs.push(spec),
            Effect::Tell(message) => told.push(message),
            other => perform(turn, tx, record.id, &mut record.task, other, &mut wakes).await?,
        }
    }
    job::job_insert_all(tx, record.id, &jobs, turn.now).await?;
    wakes.hosts.extend(jobs.iter().map(|spec| spec.host));
    if let Some(task) = record.task {
        for step in &steps {
            task::step_insert(tx, task, step, turn.now).await?;
        }
    }
    for event in &events {
        event::event_insert(tx, turn.now, turn.actor.as_deref(), event).await?;
    }
    D::write(&turn.about(record.id, record.task), tx, &next, writes).await?;
    wakes.assignments = D::reassigns(&record.machine, &next);
    wakes.orders = D::orders(&record.machine, &next);
    record.machine = next.clone();
    machine::machine_update(tx, record, turn.now).await?;
    Ok((Committed { machine: next, task: record.task, wakes }, told))
}

/// Writes the rows of an effect; what follows from them happens after the commit.
async fn perform(
    turn: &Turn,
    tx: &mut Connection,
    id: MachineId,
    current: &mut Option<TaskId>,
    effect: Effect,
    wakes: &mut Wakes,
) -> Result<()> {
    match effect {
        // Taken together by the caller.
        Effect::RunJob(_) | Effect::Tell(_) => {}
        Effect::CancelJob(job) => wakes.hosts.extend(job::job_cancel(tx, job).await?),
        Effect::SetTimer(name, due_at) => {
            machine::timer_set(tx, id, name, due_at).await?;
            wakes.timers = true;
        }
        Effect::ClearTimer(name) => {
            machine::timer_clear(tx, id, name, None).await?;
        }
        Effect::Task(change) => change_task(turn, tx, id, current, change).await?,
    }
    Ok(())
}

async fn change_task(
    turn: &Turn,
    tx: &mut Connection,
    id: MachineId,
    current: &mut Option<TaskId>,
    change: TaskChange,
) -> Result<()> {
    match (change, *current) {
        (TaskChange::Open { kind, name, host, total }, _) => {
            let started_by = turn.actor.as_deref().unwrap_or("hostler");
            let new = NewTask { kind, name: &name, host, machine: id, started_by, total };
            *current = Some(task::task_insert(tx, &new, turn.now).await?);
            Ok(())
        }
        (TaskChange::Running, Some(task)) => task::task_running(tx, task).await,
        (TaskChange::About(object), Some(task)) => task::task_about(tx, task, &object).await,
        (TaskChange::Progress(complete), Some(task)) => task::task_progress(tx, task, complete).await,
        (TaskChange::Ask(question), Some(task)) => task::task_ask(tx, task, &question).await,
        (TaskChange::Answered, Some(task)) => task::task_answered(tx, task).await,
        (TaskChange::Result { status_code, result }, Some(task)) => {
            task::task_result(tx, task, status_code, result.as_ref()).await
        }
        (TaskChange::Cancelling, Some(task)) => task::task_cancelling(tx, task).await,
        (TaskChange::Close { end, output }, Some(task)) => task::task_close(tx, task, end, &output, turn.now).await,
        (_, None) => Err(Error::Broken("a machine without a task changes its task".into())),
    }
}
