//! What the engine must know of sessions.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;
use hostler_common::error::Class;
use hostler_common::id::SessionId;
use hostler_core::cluster::Cluster;
use hostler_core::machine::{Context, Input, Machine as _};
use hostler_core::maintenance::host::FleetHost;
use hostler_core::maintenance::instance::{Computes, InstanceState};
use hostler_core::maintenance::plan::Plan;
use hostler_core::maintenance::plugin::Manifest;
use hostler_core::maintenance::row::Write;
use hostler_core::maintenance::session::{Command, Create, Facts, Fetched, Session, Stage, rehearse};
use hostler_core::maintenance::spec::Spec;
use hostler_core::maintenance::state::Reason;
use hostler_core::maintenance::stay::builtin;

use super::super::run::Domain;
use super::super::{Engine, Turn};
use super::{rows, zone};
use crate::store::machine::machine_find;
use crate::store::maintenance::{
    DownloadRow, DownloadState, constraint_all, download_rows, fleet_all, group_all, host_rows, impacted,
    instance_rows, listened, management, plugin_all, session_active,
};
use crate::store::script::script_by_name;
use crate::store::{Connection, Error, Result};

/// A session; the subject is its id.
#[derive(Clone, Copy, Debug)]
pub struct SessionDomain;

impl Domain for SessionDomain {
    type Machine = Session;

    fn fresh(subject: &str) -> Result<Session> {
        let id = subject.parse().map_err(|_| Error::Broken(format!("not the id of a session: {subject}")))?;
        Ok(Session::new(id))
    }

    fn facts<'t>(
        turn: &'t Turn,
        tx: &'t mut Connection,
        session: &'t Session,
        input: &'t Input<Command>,
    ) -> BoxFuture<'t, Result<Facts>> {
        Box::pin(async move {
            let settings = &turn.settings.maintenance;
            let manager = settings.manager.as_deref();
            let spec = match input {
                Input::Command(Command::Create(create)) => &create.spec,
                _ => &*session.spec,
            };
            let policy = match input {
                Input::Command(Command::Update(update)) => update.policy.as_deref().unwrap_or(&spec.policy),
                _ => &spec.policy,
            };
            let mut facts = Facts {
                fleet: fleet_all(tx, manager).await?,
                computes: turn.settings.compute.0.computes(tx).await?,
                management: management(tx, manager).await?,
                task: turn.task,
                zone: zone::zone(policy, turn.now),
                stall_alert: Some(settings.stall_alert),
                downloads: fetched(tx, session, spec).await?,
                ..Facts::default()
            };
            if let Input::Command(Command::Create(create)) = input {
                to_create(turn, tx, create, &mut facts).await?;
            } else {
                facts.rows = host_rows(tx, session.id).await?;
                facts.instances = instance_rows(tx, session.id, None).await?;
            }
            if !facts.computes.instances.is_empty() || !facts.instances.is_empty() {
                of_instances(turn, tx, session.id, &mut facts).await?;
            }
            Ok(facts)
        })
    }

    fn write<'t>(
        turn: &'t Turn,
        tx: &'t mut Connection,
        next: &'t Session,
        writes: Vec<Write>,
    ) -> BoxFuture<'t, Result<()>> {
        Box::pin(rows::write(turn, tx, next.id, None, writes))
    }

    fn absorb(facts: &mut Facts, writes: &[Write]) -> bool {
        rows::absorb(facts, writes);
        true
    }
}

impl Engine {
    /// What a session would do; nothing is written.
    ///
    /// # Errors
    /// As [`Engine::session_create`].
    pub async fn session_plan(&self, spec: Spec) -> Result<Plan> {
        zone::check(&spec)?;
        let turn = self.turn(None);
        let id = SessionId(uuid::Uuid::nil());
        let create = Create { spec, id };
        let mut connection = self.store.read().await?;
        let input = Input::Command(Command::Create(Box::new(create.clone())));
        let facts = SessionDomain::facts(&turn, &mut connection, &Session::new(id), &input).await?;
        let cx = Context { now: turn.now, since: turn.since, actor: None, seed: turn.seed, facts };
        rehearse(create, &cx).map_err(|refusal| Error::Refused(refusal.class, refusal.message))
    }
}

/// What is needed only where a session is created.
async fn to_create(turn: &Turn, tx: &mut Connection, create: &Create, facts: &mut Facts) -> Result<()> {
    facts.plugins = plugins(tx).await?;
    scripts_are_there(tx, &create.spec).await?;
    facts.active_sessions = session_active(tx, create.id).await?;
    facts.max_sessions = turn.settings.maintenance.max_active_sessions;
    facts.baseline = baseline(tx, &create.spec, &facts.fleet).await?;
    Ok(())
}

/// Refuses a session whose plug-ins run a script that the library does not have: it would fail on its first host.
async fn scripts_are_there(tx: &mut Connection, spec: &Spec) -> Result<()> {
    for action in &spec.actions {
        let script = action.metadata.get("script").and_then(serde_json::Value::as_str);
        let Some(name) = script.filter(|_| builtin::canonical(&action.plugin) == Some("script")) else { continue };
        if script_by_name(tx, name).await?.is_none() {
            let text = format!("plug-in {}: metadata.script: the library has no script {name:?}", action.plugin);
            return Err(Error::Refused(Class::Invalid, text));
        }
    }
    Ok(())
}

/// Every plug-in that there is. One that is built in cannot be replaced.
async fn plugins(tx: &mut Connection) -> Result<BTreeMap<String, Manifest>> {
    let mut all = plugin_all(tx).await?;
    all.extend(builtin::manifests().into_iter().map(|manifest| (manifest.name.clone(), manifest)));
    Ok(all)
}

/// What is needed only where there are instances.
async fn of_instances(turn: &Turn, tx: &mut Connection, session: SessionId, facts: &mut Facts) -> Result<()> {
    facts.constraints = constraint_all(tx).await?;
    facts.groups = group_all(tx).await?;
    facts.subscribed = listened(tx, session, turn.now).await?;
    facts.impacted = impacted(tx, turn.now).await?;
    for instance in out_of_order(&facts.computes) {
        facts.impacted.entry(instance).or_insert(None);
    }
    Ok(())
}

/// Instances that do not serve anybody, for whatever reason: their groups have that many members less (§3.5). When they will
/// is not known.
fn out_of_order(computes: &Computes) -> Vec<String> {
    let serves = |state| matches!(state, InstanceState::Active | InstanceState::Resized | InstanceState::Building);
    computes.instances.iter().filter(|one| !serves(one.state)).map(|one| one.id.clone()).collect()
}

/// The health checks that the clusters of the hosts show that a session may be about.
async fn baseline(tx: &mut Connection, spec: &Spec, fleet: &[FleetHost]) -> Result<BTreeSet<String>> {
    let meant = |host: &&FleetHost| spec.hosts.is_empty() || spec.hosts.contains(&host.name);
    let clusters: BTreeSet<&str> = fleet.iter().filter(meant).filter_map(|host| host.cluster.as_deref()).collect();
    let mut codes = BTreeSet::new();
    for fsid in clusters {
        if let Some(found) = machine_find::<Cluster>(tx, Cluster::KIND, fsid).await? {
            codes.extend(found.machine.health.codes());
        }
    }
    Ok(codes)
}

/// Where the downloads of a session stand. One that failed before the session was let go on is tried again.
async fn fetched(tx: &mut Connection, session: &Session, spec: &Spec) -> Result<Fetched> {
    // Before it waits for files and afterwards, it does not ask; where it begins to wait, the question comes first.
    if spec.download.is_empty() || !matches!(session.stage, Stage::Fresh | Stage::Fetching | Stage::Failed) {
        return Ok(Fetched::All);
    }
    let rows = download_rows(tx, session.id).await?;
    let failed = |row: &&DownloadRow| row.state == DownloadState::Failed && row.is_settled(session.since);
    if let Some(row) = rows.iter().find(failed).filter(|_| session.stage == Stage::Fetching) {
        let unknown = || Reason::new("download.failed", "a file cannot be had".to_owned());
        return Ok(Fetched::Failed(row.reason.clone().unwrap_or_else(unknown)));
    }
    let here = rows.iter().filter(|row| row.state == DownloadState::Verified).count();
    Ok(if here == spec.download.len() { Fetched::All } else { Fetched::Pending })
}
