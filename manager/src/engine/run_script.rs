//! What the engine must know of runs, and how runs begin and are answered (spec/hooks.md §9).

use futures::future::BoxFuture;
use hostler_common::error::Class;
use hostler_common::id::TaskId;
use hostler_core::machine::{Event, Input};
use hostler_core::run::command::Start;
use hostler_core::run::{Command, Facts, Run, Spec, Word, Write};
use serde_json::json;
use uuid::Uuid;

use super::run::{Domain, apply, own_id};
use super::{Engine, Turn};
use crate::store::target::{self, Ended};
use crate::store::{Connection, Error, Result, event, job, task};

/// How many scripts may be on their way or running in the whole fleet, besides those that something waits for.
const SCRIPTS_AT_ONCE: u32 = 500;

/// How often it is tried again after another manager was faster.
const TRIES: usize = 8;

/// A run; the subject is an id of its own.
#[derive(Clone, Copy, Debug)]
pub struct RunDomain;

impl Domain for RunDomain {
    type Machine = Run;

    fn fresh(subject: &str) -> Result<Run> {
        Ok(Run::new(own_id("run", subject)?))
    }

    fn facts<'t>(
        turn: &'t Turn,
        tx: &'t mut Connection,
        run: &'t Run,
        input: &'t Input<Command>,
    ) -> BoxFuture<'t, Result<Facts>> {
        Box::pin(async move {
            let mut facts = Facts { task: turn.task, ..Facts::default() };
            let Some(task) = turn.task else { return Ok(facts) };
            let wants = run.wants(input);
            next_targets(tx, task, run, wants, &mut facts).await?;
            match input {
                Input::Job(update) => {
                    facts.target = target::target_of_jobs(tx, &[update.job]).await?.remove(&update.job);
                }
                Input::Timer(_) | Input::Command(Command::Cancel) => {
                    facts.begun = target::target_begun(tx, task).await?;
                }
                Input::Message(body) => match serde_json::from_value(body.clone()) {
                    Ok(Word::Conclude) => facts.all = target::target_list(tx, task, None, u32::MAX).await?,
                    Ok(Word::Cancel) => facts.begun = target::target_begun(tx, task).await?,
                    Ok(Word::Start(_) | Word::Begin | Word::GoOn | Word::Drop { .. }) | Err(_) => {}
                },
                Input::Command(_) => {}
            }
            Ok(facts)
        })
    }

    fn write<'t>(
        turn: &'t Turn,
        tx: &'t mut Connection,
        next: &'t Run,
        writes: Vec<Write>,
    ) -> BoxFuture<'t, Result<()>> {
        Box::pin(async move {
            let Some(task) = turn.task else { return Ok(()) };
            // Reports that are taken together start many targets; each row is written once in a decision.
            let mut running = Vec::new();
            for write in writes {
                match write {
                    Write::Running(position) => running.push(position),
                    other => write_one(turn, tx, (task, next), other).await?,
                }
            }
            target::target_running(tx, task, &running, turn.now).await
        })
    }
}

/// Reads what a decision must know to begin the next `wants` targets.
pub(super) async fn next_targets(
    tx: &mut Connection,
    task: TaskId,
    run: &Run,
    wants: u32,
    facts: &mut Facts,
) -> Result<()> {
    if wants == 0 {
        return Ok(());
    }
    facts.spec = target::spec_find(tx, task).await?;
    facts.waiting = target::target_waiting(tx, task, run.next(), wants).await?;
    facts.room = match run.blocking {
        true => u32::MAX,
        false => SCRIPTS_AT_ONCE.saturating_sub(job::job_scripts(tx).await?),
    };
    Ok(())
}

async fn write_one(turn: &Turn, tx: &mut Connection, (task, run): (TaskId, &Run), write: Write) -> Result<()> {
    match write {
        Write::Begin(spec, targets) => target::run_insert(tx, task, &run.id.to_string(), &spec, &targets).await,
        Write::Adopt(spec) => match turn.machine {
            Some(machine) => job::job_adopt(tx, machine, &spec, turn.now).await,
            None => Err(Error::Broken("a run without a machine".into())),
        },
        Write::Launched(first, last) => target::target_launched(tx, task, (first, last), turn.now).await,
        Write::Running(position) => target::target_running(tx, task, &[position], turn.now).await,
        Write::Ended { position, state, outcome, error } => {
            let ended = Ended { state: Some(state), outcome: outcome.as_deref(), error: error.as_deref() };
            target::target_ended(tx, task, position, ended, turn.now).await
        }
        Write::Late(position, outcome) => {
            let ended = Ended { state: None, outcome: Some(&outcome), error: None };
            target::target_ended(tx, task, position, ended, turn.now).await
        }
        Write::Rest(first, state, error) => target::target_rest(tx, task, first, (state, &error), turn.now).await,
    }
}

impl Engine {
    /// Begins a run and returns its task, when both are durable.
    ///
    /// # Errors
    /// Class `Invalid` with what is wrong with the order; see [`Error`].
    pub async fn run_start(&self, spec: Spec, actor: Option<&str>) -> Result<TaskId> {
        let turn = self.turn(actor);
        let subject = Uuid::from_u128(turn.nth(1).seed).to_string();
        let done = self
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let start = Start { spec, parent: None, held: false };
                    let command = Input::Command(Command::Start(Box::new(start)));
                    apply::<RunDomain>(&turn, tx, &subject, command).await
                })
            })
            .await?;
        self.woken(&done);
        done.task.ok_or_else(|| Error::Broken("a run without a task".into()))
    }

    /// Answers the question of a task.
    ///
    /// # Errors
    /// Class `NotFound` if there is no such task; `Conflict` if it asks nothing, if the token is that of an older question,
    /// or if the answer is none of those that are offered; see [`Error`].
    pub async fn task_answer(&self, id: TaskId, token: Uuid, response: &str, actor: &str) -> Result<()> {
        let mut tries = 0;
        loop {
            let (turn, response) = (self.turn(Some(actor)), response.to_owned());
            let done =
                self.store.write(move |tx| Box::pin(async move { answer(&turn, tx, id, token, response).await })).await;
            tries += 1;
            match done {
                Err(Error::Moved) if tries < TRIES => {}
                Ok(done) => {
                    self.woken(&done);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

async fn answer(
    turn: &Turn,
    tx: &mut Connection,
    id: TaskId,
    token: Uuid,
    response: String,
) -> Result<super::Committed<Run>> {
    if task::task_find(tx, id).await?.is_none() {
        return Err(Error::Refused(Class::NotFound, format!("there is no task {id}")));
    }
    let Some(subject) = target::run_subject(tx, id).await? else {
        return Err(Error::Refused(Class::Conflict, format!("task {id} asks nothing")));
    };
    let answered = Event { kind: "task.answered", subject: id.to_string(), data: json!({ "response": response }) };
    event::event_insert(tx, turn.now, turn.actor.as_deref(), &answered).await?;
    apply::<RunDomain>(turn, tx, &subject, Input::Command(Command::Answer { token, response })).await
}
