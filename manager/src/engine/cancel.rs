//! Cancelling a task: its machine is asked to stop, if the task is still what the machine works on.

use hostler_common::error::Class;
use hostler_common::id::TaskId;
use hostler_core::introspection::Introspection;
use hostler_core::introspection::command::Command;
use hostler_core::introspection::state::State;
use hostler_core::machine::{Event, Input, Machine};
use hostler_core::operation::Operation;
use hostler_core::run::Run;
use serde_json::json;

use super::run::{Wakes, apply};
use super::{Engine, IntrospectionDomain, OperationDomain, RunDomain, Turn};
use crate::store::machine::machine_subject;
use crate::store::task::{TaskState, task_find};
use crate::store::{Connection, Error, Result, event};

/// How often it is tried again after another manager was faster.
const TRIES: usize = 8;

impl Engine {
    /// Asks the machine of a task to stop. When this returns, the request is durable; the task ends later.
    ///
    /// # Errors
    /// Class `NotFound` if there is no such task, `Conflict` if it has ended or is at a point where it cannot stop; see
    /// [`Error`].
    pub async fn task_cancel(&self, task: TaskId, actor: &str) -> Result<()> {
        let mut tries = 0;
        loop {
            let turn = self.turn(Some(actor));
            let done = self.store.write(move |tx| Box::pin(async move { cancel(&turn, tx, task).await })).await;
            tries += 1;
            match done {
                Err(Error::Moved) if tries < TRIES => {}
                Ok(wakes) => {
                    self.wake_all(&wakes);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

async fn cancel(turn: &Turn, tx: &mut Connection, id: TaskId) -> Result<Wakes> {
    let refuse = |class, text: String| Err(Error::Refused(class, text));
    let Some(task) = task_find(tx, id).await? else {
        return refuse(Class::NotFound, format!("there is no task {id}"));
    };
    if task.state.is_final() {
        let how = match task.state {
            TaskState::Finished => "has finished",
            TaskState::Failed => "has failed",
            TaskState::Canceled | TaskState::Waiting | TaskState::Running => "is cancelled",
        };
        return refuse(Class::Conflict, format!("task {id} {how} already"));
    }
    let machine = match task.machine {
        Some(machine) => machine_subject(tx, machine).await?,
        None => None,
    };
    let Some((kind, subject)) = machine else {
        return refuse(Class::Conflict, format!("nothing works on task {id} any more"));
    };
    let requested = Event { kind: "task.cancel_requested", subject: id.to_string(), data: json!({}) };
    event::event_insert(tx, turn.now, turn.actor.as_deref(), &requested).await?;
    match kind.as_str() {
        Introspection::KIND => {
            let done = apply::<IntrospectionDomain>(turn, tx, &subject, Input::Command(Command::Abort)).await?;
            if done.machine.state == State::Aborting && done.task == Some(id) {
                return Ok(done.wakes);
            }
            let state = done.machine.state;
            refuse(Class::Conflict, format!("task {id} cannot be cancelled while it is {state}; wait for its end"))
        }
        Operation::KIND => {
            let cancel = Input::Command(hostler_core::operation::Command::Cancel);
            Ok(apply::<OperationDomain>(turn, tx, &subject, cancel).await?.wakes)
        }
        Run::KIND => {
            let cancel = Input::Command(hostler_core::run::Command::Cancel);
            Ok(apply::<RunDomain>(turn, tx, &subject, cancel).await?.wakes)
        }
        other => Err(Error::Broken(format!("unknown kind of machine {other}"))),
    }
}
