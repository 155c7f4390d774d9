//! What the engine must know of operations, and how they begin (spec/hooks.md §7, §8).

use futures::future::BoxFuture;
use hostler_common::id::{HostId, TaskId};
use hostler_common::step::Step;
use hostler_core::machine::Input;
use hostler_core::operation::{Command, Facts, Operation, OperationOptions, Start};
use hostler_core::run::target::Seat;
use uuid::Uuid;

use super::run::{Domain, apply, own_id};
use super::{Engine, Turn};
use crate::store::cluster::reach_find;
use crate::store::host::{AgentState, host_find};
use crate::store::{Connection, Error, Result, job};

/// An operation; the subject is an id of its own.
#[derive(Clone, Copy, Debug)]
pub struct OperationDomain;

impl Domain for OperationDomain {
    type Machine = Operation;

    fn fresh(subject: &str) -> Result<Operation> {
        Ok(Operation::new(own_id("operation", subject)?))
    }

    fn facts<'t>(
        turn: &'t Turn,
        tx: &'t mut Connection,
        operation: &'t Operation,
        input: &'t Input<Command>,
    ) -> BoxFuture<'t, Result<Facts>> {
        Box::pin(async move {
            let host = match input {
                Input::Command(Command::Start(start)) => Some(start.host),
                _ => operation.host,
            };
            let found = match host {
                Some(host) => host_find(tx, host).await?,
                None => None,
            };
            let job = match operation.job {
                Some(id) => job::job_find(tx, id).await?,
                None => None,
            };
            let seat = found.map(|host| Seat {
                number: host.number,
                name: host.name,
                connected: host.agent_state == AgentState::Online,
                seen_at: host.last_seen_at,
                revoked: host.agent_state == AgentState::Revoked,
            });
            let cluster = match host {
                Some(host) => reach_find(tx, host).await?.fsid,
                None => None,
            };
            Ok(Facts { seat, job_state: job.map(|job| job.state), task: turn.task, cluster })
        })
    }

    fn write<'t>(_: &'t Turn, _: &'t mut Connection, _: &'t Operation, _: Vec<()>) -> BoxFuture<'t, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

impl Engine {
    /// Begins an operation and returns its task, when both are durable.
    ///
    /// # Errors
    /// Class `NotFound` if there is no such host, `Conflict` if hooks have begun too many operations within each other; see
    /// [`Error`].
    pub async fn operation_start(
        &self,
        step: Step,
        host: HostId,
        options: OperationOptions,
        actor: Option<&str>,
    ) -> Result<TaskId> {
        let turn = self.turn(actor);
        let subject = Uuid::from_u128(turn.nth(1).seed).to_string();
        let done = self
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let start = Command::Start(Box::new(Start { step, host, options }));
                    apply::<OperationDomain>(&turn, tx, &subject, Input::Command(start)).await
                })
            })
            .await?;
        self.woken(&done);
        done.task.ok_or_else(|| Error::Broken("an operation without a task".into()))
    }
}
