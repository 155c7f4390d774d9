//! Plans for people: of a session that is not made, and of what is left of one (spec/maintenance.md §1.2, §3.4).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use hostler_common::error::Class;
use hostler_common::id::{HostId, SessionId};
use hostler_core::machine::{Input, Machine as _};
use hostler_core::maintenance::host::{FleetHost, HostPhase};
use hostler_core::maintenance::plan::{Plan, World, plan};
use hostler_core::maintenance::session::{Command, Create, Session};
use hostler_core::maintenance::spec::Spec;
use uuid::Builder;

use super::super::run::apply;
use super::super::{Engine, Turn};
use super::{SessionDomain, zone};
use crate::store::machine::machine_find;
use crate::store::maintenance::{
    NewSession, constraint_all, fleet_all, group_all, host_rows, impacted, session_insert, session_number,
};
use crate::store::{Connection, Error, Result};

/// What the transaction of a rehearsal ends with, so that all of it is taken back.
const REHEARSED: &str = "only a rehearsal";

impl Engine {
    /// What a session would do that is asked for so. It is made and taken back in one transaction, so that it is refused
    /// exactly where the session would be; nothing is left behind.
    ///
    /// # Errors
    /// Those of [`Engine::session_create`].
    pub async fn session_plan(&self, spec: Spec) -> Result<Plan> {
        zone::check(&spec)?;
        let turn = self.turn(None);
        let id = SessionId(Builder::from_random_bytes(turn.nth(1).seed.to_be_bytes()).into_uuid());
        let made: Arc<Mutex<Option<Plan>>> = Arc::default();
        let kept = Arc::clone(&made);
        let rehearsed: Result<()> = self
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let number = session_number(tx).await?;
                    session_insert(tx, number, NewSession { id, spec: &spec, actor: "rehearsal" }, turn.now).await?;
                    let create = Command::Create(Box::new(Create { spec: spec.clone(), id }));
                    apply::<SessionDomain>(&turn, tx, &id.to_string(), Input::Command(create)).await?;
                    let plan = of_session(&turn, tx, id, &spec).await?;
                    *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan);
                    Err(Error::Refused(Class::Internal, REHEARSED.into()))
                })
            })
            .await;
        let plan = made.lock().unwrap_or_else(PoisonError::into_inner).take();
        match rehearsed {
            Err(Error::Refused(Class::Internal, text)) if text == REHEARSED => {
                plan.ok_or_else(|| Error::Broken("a rehearsal without a plan".into()))
            }
            Err(error) => Err(error),
            Ok(()) => Err(Error::Broken("a rehearsal was not taken back".into())),
        }
    }

    /// What a session still has to do, as it looks now.
    ///
    /// # Errors
    /// Class `NotFound` if there is no such session; see [`Error`].
    pub async fn session_plan_of(&self, id: SessionId) -> Result<Plan> {
        let mut connection = self.store.read().await?;
        let found = machine_find::<Session>(&mut connection, Session::KIND, &id.to_string()).await?;
        let session = found.ok_or_else(|| Error::Refused(Class::NotFound, "Invalid session".into()))?.machine;
        of_session(&self.turn(None), &mut connection, id, &session.spec).await
    }
}

/// The plan for the hosts of a session that are not done.
async fn of_session(turn: &Turn, tx: &mut Connection, id: SessionId, spec: &Spec) -> Result<Plan> {
    let rows = host_rows(tx, id).await?;
    let left = |phase: HostPhase| !matches!(phase, HostPhase::Done | HostPhase::Skipped);
    let done: BTreeSet<HostId> = rows.iter().filter(|row| row.maintained).map(|row| row.host).collect();
    let todo: BTreeSet<HostId> =
        rows.iter().filter(|row| !row.maintained && left(row.phase)).map(|row| row.host).collect();
    let fleet = fleet_all(tx, turn.settings.maintenance.manager.as_deref()).await?;
    let (todo, rest): (Vec<FleetHost>, Vec<FleetHost>) = fleet.into_iter().partition(|host| todo.contains(&host.host));
    let others: Vec<FleetHost> =
        rest.into_iter().filter(|host| host.disabled.is_none() && !done.contains(&host.host)).collect();
    let computes = turn.settings.compute.0.computes(tx).await?;
    let world = World {
        todo: &todo,
        done: &done,
        others: &others,
        computes: &computes,
        constraints: &constraint_all(tx).await?,
        groups: &group_all(tx).await?,
        impacted: &impacted(tx, turn.now).await?,
        workflow: spec.workflow,
        policy: &spec.policy,
    };
    Ok(plan(&world))
}
