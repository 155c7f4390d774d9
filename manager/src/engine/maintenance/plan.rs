//! Plans for people of what is left of a session (spec/maintenance.md §1.2, §3.4).

use std::collections::BTreeSet;

use hostler_common::error::Class;
use hostler_common::id::{HostId, SessionId};
use hostler_core::machine::Machine as _;
use hostler_core::maintenance::host::{FleetHost, HostPhase};
use hostler_core::maintenance::plan::{Plan, World, plan};
use hostler_core::maintenance::session::Session;
use hostler_core::maintenance::spec::Spec;

use super::super::{Engine, Turn};
use crate::store::machine::machine_find;
use crate::store::maintenance::{constraint_all, fleet_all, group_all, host_rows, impacted};
use crate::store::{Connection, Error, Result};

impl Engine {
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
