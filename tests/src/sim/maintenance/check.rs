//! The invariants of design §10 that a simulation of sessions can see.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, bail, ensure};
use hostler_common::id::{EventNumber, JobId, MachineId, SessionId};
use hostler_core::machine::Machine as _;
use hostler_core::maintenance::host::HostPhase;
use hostler_core::maintenance::movement::Move;
use hostler_core::maintenance::session::Session;
use hostler_core::maintenance::state::State;
use hostler_core::maintenance::stay::Stay;
use hostler_core::maintenance::word::stay_subject;
use hostler_manager::store::maintenance::{self, StepFilter};
use hostler_manager::store::{Connection, event, job, machine, task};

use super::site::FSID;
use super::world::{World, host_id};

async fn session_of(connection: &mut Connection, id: SessionId) -> anyhow::Result<(MachineId, Session)> {
    let found = machine::machine_find::<Session>(connection, Session::KIND, &id.to_string()).await?;
    let found = found.with_context(|| format!("invariant 2: session {id} was promised and is lost"))?;
    Ok((found.id, found.machine))
}

/// What must hold at every instant.
///
/// # Errors
/// What does not hold.
pub async fn always(world: &World) -> anyhow::Result<()> {
    for wire in &world.wires {
        let twice = wire.agent.started.iter().find(|(_, times)| **times > 1);
        ensure!(twice.is_none(), "invariant 1: a job was started twice: {twice:?}");
    }
    ensure!(world.site.breaches.is_empty(), "{:?}", world.site.breaches);
    let mut connection = world.manager.engine.store.read().await?;
    let timers: Vec<MachineId> =
        machine::timer_next(&mut connection, 1000).await?.into_iter().map(|timer| timer.machine).collect();
    for id in &world.sessions {
        let (machine, session) = session_of(&mut connection, *id).await?;
        ensure!(session.is_over() || timers.contains(&machine), "invariant 3: it waits until no time: {session:?}");
        let why = session.state != State::MaintenanceFailed || session.reason.is_some();
        ensure!(why && (!session.paused || session.reason.is_some()), "invariant 3: nobody knows why: {session:?}");
        for lane in &session.lanes {
            let subject = stay_subject(id.0, lane.host);
            let found = machine::machine_find::<Stay>(&mut connection, Stay::KIND, &subject).await?;
            let found = found.with_context(|| format!("no stay is at work for {lane:?}"))?;
            let waits = !found.machine.stage.is_active() || timers.contains(&found.id);
            ensure!(waits, "invariant 3: a stay waits until no time: {:?}", found.machine);
        }
    }
    Ok(())
}

/// Where everything is, for those who look for a mistake.
///
/// # Errors
/// The store cannot be read.
pub async fn story(world: &World) -> anyhow::Result<String> {
    let mut text = format!("{:?}\n", world.site);
    let mut connection = world.manager.engine.store.read().await?;
    for id in &world.sessions {
        let (_, session) = session_of(&mut connection, *id).await?;
        writeln!(text, "{session:?}")?;
        for row in maintenance::host_rows(&mut connection, *id).await? {
            let subject = stay_subject(id.0, row.host);
            let stay = machine::machine_find::<Stay>(&mut connection, Stay::KIND, &subject).await?;
            writeln!(text, "{row:?}\n{:?}", stay.map(|stay| stay.machine))?;
        }
    }
    Ok(text)
}

/// What must hold when everything is healed and every session is over.
///
/// # Errors
/// What does not hold.
pub async fn settled(world: &mut World) -> anyhow::Result<()> {
    let engine = world.manager.engine.clone();
    let mut connection = engine.store.read().await?;
    histories(world, &mut connection).await?;
    nothing_left(world, &mut connection).await?;
    let mut held = Vec::new();
    for id in world.sessions.clone() {
        let (_, session) = session_of(&mut connection, id).await?;
        ensure!(session.is_over() && session.lanes.is_empty() && session.moves.is_empty(), "{session:?}");
        world.tally.done += u32::from(session.state == State::MaintenanceDone);
        world.tally.failed += u32::from(session.state == State::MaintenanceFailed);
        held.extend(
            maintenance::host_rows(&mut connection, id).await?.into_iter().filter(|row| row.phase == HostPhase::Held),
        );
        steps(world, &mut connection, id).await?;
    }
    ensure!(held.is_empty() || world.held, "hosts are held that nobody wanted held: {held:?}");
    let out = maintenance::service_all(&mut connection).await?;
    for (host, reason) in &out {
        if !held.iter().any(|row| row.host == *host) {
            bail!("invariant 4: {host} is left out of service: {reason:?} {}", story(world).await?);
        }
    }
    Ok(())
}

/// Locks, flags, daemons, moves, jobs, timers, tasks.
async fn nothing_left(world: &World, connection: &mut Connection) -> anyhow::Result<()> {
    ensure!(maintenance::locks_of(connection).await?.is_empty(), "invariant 4: hosts are locked");
    let lock = maintenance::storage_lock_find(connection, FSID).await?;
    ensure!(lock.is_none(), "invariant 4: the storage is locked: {lock:?}");
    let site = &world.site;
    ensure!(site.flags.is_empty() && site.stopped.is_empty(), "invariant 4: storage is left: {}", story(world).await?);
    ensure!(site.down.is_empty(), "invariant 4: OSDs are down: {site:?}");
    let orders = maintenance::order_open(connection, 10).await?;
    ensure!(orders.is_empty(), "invariant 4: moves are open: {orders:?}");
    let jobs = job::job_all_open(connection).await?;
    ensure!(jobs.is_empty(), "invariant 4: jobs are open: {jobs:?}");
    for timer in machine::timer_next(connection, 1000).await? {
        let of = machine::machine_subject(connection, timer.machine).await?;
        let ours =
            of.as_ref().is_some_and(|(kind, _)| [Session::KIND, Stay::KIND, Move::KIND].contains(&kind.as_str()));
        ensure!(!ours, "invariant 4: a timer is left: {} of {of:?}", timer.name);
    }
    for task in task::task_list(connection, &task::TaskFilter::default(), 10_000).await? {
        ensure!(task.state.is_final(), "invariant 4: task {} was left {:?}", task.id, task.state);
    }
    Ok(())
}

/// Every step has its end, and no plug-in did its work twice but where nobody could know that it had.
async fn steps(world: &World, connection: &mut Connection, id: SessionId) -> anyhow::Result<()> {
    let rows = maintenance::step_rows(connection, id, &StepFilter::default(), 0, 10_000).await?;
    let open: Vec<_> = rows.iter().filter(|row| row.finished_at.is_none()).collect();
    ensure!(open.is_empty(), "steps that never ended: {open:?}");
    let did = |job: Option<JobId>| job.is_some_and(|job| world.site.done.iter().any(|(_, done)| *done == job));
    let mut times: BTreeMap<_, (u32, u32)> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.kind == "plugin") {
        let (done, unknown) = times.entry((row.host, row.name.clone())).or_default();
        *done += u32::from(did(row.job));
        *unknown += u32::from(row.state == "UNKNOWN" || row.state == "CANCELLED");
    }
    for ((host, name), (done, unknown)) in times {
        // On the management node a plug-in has its place before all hosts, on the node itself, and after all.
        let places = if host == Some(host_id(0)) && name == "dummy" { 3 } else { 1 };
        ensure!(done <= places + unknown, "invariant 1: {name} was done {done} times on {host:?}: {rows:?}");
    }
    Ok(())
}

/// States that may follow (spec/maintenance.md §2.2).
fn may_follow(from: State, to: State) -> bool {
    use State::{
        Maintenance, MaintenanceComplete, MaintenanceDone, MaintenanceFailed, PlannedMaintenance, PrepareMaintenance,
        ScaleIn, StartMaintenance,
    };
    match (from, to) {
        (MaintenanceDone, _) => false,
        (MaintenanceFailed, to) => to != MaintenanceDone,
        (_, MaintenanceFailed) => true,
        (Maintenance, to) => matches!(to, StartMaintenance | PrepareMaintenance | ScaleIn),
        (ScaleIn, to) => matches!(to, PrepareMaintenance | StartMaintenance),
        (PrepareMaintenance, to) => matches!(to, StartMaintenance | ScaleIn),
        (StartMaintenance, to) => matches!(to, PlannedMaintenance | MaintenanceComplete),
        (PlannedMaintenance, to) => to == StartMaintenance,
        // A host that was left out is tried after all.
        (MaintenanceComplete, to) => matches!(to, MaintenanceDone | StartMaintenance),
    }
}

/// What administrators were told: allowed states only, and a percentage that never falls.
async fn histories(world: &World, connection: &mut Connection) -> anyhow::Result<()> {
    let events = event::event_list(connection, EventNumber(0), 100_000).await?;
    for id in &world.sessions {
        let (mut state, mut percent) = (State::Maintenance, 0);
        let own = |one: &&event::Record| one.kind == "maintenance.session" && one.subject == id.to_string();
        for one in events.iter().filter(own) {
            let next = one.data["state"].as_str().and_then(State::from_name).context("an event without a state")?;
            let share = one.data["percent_done"].as_u64().context("an event without a percentage")?;
            ensure!(next == state || may_follow(state, next), "{id} goes from {state:?} to {next:?}");
            ensure!(share >= percent, "{id} falls from {percent} to {share} percent");
            ensure!(share < 100 || next == State::MaintenanceDone, "{id} is at 100 percent in {next:?}");
            (state, percent) = (next, share);
        }
    }
    Ok(())
}
