//! The invariants of design §10 that a simulation can see.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use hostler_common::id::HostId;
use hostler_core::introspection::Introspection;
use hostler_core::introspection::state::State;
use hostler_core::machine::Machine as _;
use hostler_core::refresh::Refresh;
use hostler_manager::store::machine::Timer;
use hostler_manager::store::{Connection, Store, job, machine, task};

use hostler_common::id::TaskId;
use hostler_core::run::target::TargetState;
use hostler_core::run::{Phase, Run};
use hostler_manager::store::target;

use super::agent::Agent;
use super::wire::Wire;

/// What must hold of scripts at every instant; returns how many of them finished.
///
/// # Errors
/// What does not hold.
pub async fn scripts(store: &Store, tasks: &[TaskId]) -> anyhow::Result<u32> {
    let mut connection = store.read().await?;
    let mut finished = 0;
    let timers = machine::timer_next(&mut connection, 1000).await?;
    for id in tasks {
        let task = task::task_find(&mut connection, *id).await?;
        let task = task.with_context(|| format!("invariant 2: task {id} was promised and is lost"))?;
        let subject = target::run_subject(&mut connection, *id).await?.context("a task without its run")?;
        let record = machine::machine_find::<Run>(&mut connection, Run::KIND, &subject).await?;
        let record = record.context("a run without its machine")?;
        let targets = target::target_list(&mut connection, *id, None, 100).await?;
        for state in TargetState::ALL {
            let rows = targets.iter().filter(|target| target.state == *state).count();
            let counted = record.machine.counts.of(*state);
            ensure!(rows == counted as usize, "task {id} counts {counted} {}, there are {rows}", state.name());
        }
        let over = record.machine.phase == Phase::Over;
        let waits = timers.iter().any(|timer| timer.machine == record.id);
        ensure!(over || waits, "invariant 3: the run of task {id} waits until no time: {:?}", record.machine);
        ensure!(over == task.state.is_final(), "task {id} is {:?} and its run {:?}", task.state, record.machine.phase);
        let good = targets.iter().all(|target| target.state == TargetState::Ok);
        ensure!(!over || good == (task.state == task::TaskState::Finished), "task {id} ended as {:?}", task.state);
        finished += u32::from(over && good);
    }
    Ok(finished)
}

/// What must hold at every instant.
///
/// # Errors
/// What does not hold.
pub async fn always(store: &Store, wires: &[Wire], accepted: &BTreeMap<HostId, u64>) -> anyhow::Result<()> {
    let mut connection = store.read().await?;
    for Wire { agent, .. } in wires {
        for (job, times) in &agent.started {
            ensure!(*times <= 1, "invariant 1: job {job} was started {times} times");
        }
        ensure!(agent.journal_len() <= 1400, "invariant 10: a journal has {} entries", agent.journal_len());
        let subject = agent.host.to_string();
        refreshes(&mut connection, &subject, agent).await?;
        let record = machine::machine_find::<Introspection>(&mut connection, Introspection::KIND, &subject).await?;
        let run = record.as_ref().map_or(0, |record| record.machine.run);
        let promised = accepted.get(&agent.host).copied().unwrap_or(0);
        ensure!(run >= promised, "invariant 2: run {promised} of {subject} was acknowledged and is lost (run {run})");
        let Some(record) = record else { continue };
        if !record.machine.state.is_terminal() {
            let timers = machine::timer_next(&mut connection, 1000).await?;
            let waits = timers.iter().any(|timer| timer.machine == record.id && timer.name == "deadline");
            ensure!(waits, "invariant 3: {subject} is {} and waits until no time", record.machine.state);
        }
    }
    Ok(())
}

/// A refresh has a next moment, and none reads a host that is being introspected.
async fn refreshes(connection: &mut Connection, subject: &str, agent: &Agent) -> anyhow::Result<()> {
    let Some(found) = machine::machine_find::<Refresh>(connection, Refresh::KIND, subject).await? else {
        return Ok(());
    };
    let timers = machine::timer_next(connection, 1000).await?;
    let mut own = timers.iter().filter(|timer| timer.machine == found.id);
    let guarded = match &found.machine.probe {
        Some(_) => own.any(|timer| timer.name == "deadline"),
        None => own.next().is_some(),
    };
    ensure!(guarded, "invariant 3: the refresh of {subject} waits until no time: {:?}", found.machine);
    let record = machine::machine_find::<Introspection>(connection, Introspection::KIND, subject).await?;
    let reads = record.is_some_and(|record| matches!(record.machine.state, State::Starting | State::Waiting));
    let open = job::job_open(connection, agent.host).await?;
    let beside = open.iter().any(|job| job.machine == found.id && !job.cancel);
    ensure!(!(reads && beside), "a refresh reads {subject} beside its introspection");
    Ok(())
}

/// Whether nobody but the refreshes waits for anything, and nothing is under way.
///
/// # Errors
/// The store cannot be read.
pub async fn is_quiet(store: &Store, wires: &[Wire]) -> anyhow::Result<bool> {
    let mut connection = store.read().await?;
    for Wire { agent, .. } in wires {
        if !agent.settled() || !job::job_open(&mut connection, agent.host).await?.is_empty() {
            return Ok(false);
        }
    }
    Ok(other_timers(&mut connection).await?.is_empty())
}

/// The timers of machines that come to an end.
async fn other_timers(connection: &mut Connection) -> anyhow::Result<Vec<Timer>> {
    let mut others = Vec::new();
    for timer in machine::timer_next(connection, 1000).await? {
        let kind = machine::machine_subject(connection, timer.machine).await?.map(|(kind, _)| kind);
        if kind.as_deref() != Some(Refresh::KIND) {
            others.push(timer);
        }
    }
    Ok(others)
}

/// What must hold when everything is healed and enough time has passed.
///
/// # Errors
/// What does not hold.
pub async fn settled(store: &Store, wires: &[Wire]) -> anyhow::Result<()> {
    let mut connection = store.read().await?;
    for Wire { agent, .. } in wires {
        let subject = agent.host.to_string();
        ensure!(agent.settled(), "invariant 4: the agent of {subject} has something left: {agent:#?}");
        let open = job::job_open(&mut connection, agent.host).await?;
        ensure!(open.is_empty(), "invariant 4: {subject} has open jobs: {open:?}");
        let record = machine::machine_find::<Introspection>(&mut connection, Introspection::KIND, &subject).await?;
        let Some(record) = record else { continue };
        ensure!(record.machine.state.is_terminal(), "invariant 3: {subject} is still {}", record.machine.state);
        ensure!(record.machine.finished_at.is_some(), "{subject} is over and has no end time");
        let id = record.task.context("a run without task")?;
        let task = task::task_find(&mut connection, id).await?.context("a task that is lost")?;
        ensure!(task.state.is_final(), "invariant 4: task {id} of {subject} is still {:?}", task.state);
    }
    let timers = other_timers(&mut connection).await?;
    ensure!(timers.is_empty(), "invariant 4: timers are left: {timers:?}");
    let open = task::task_list(&mut connection, &task::TaskFilter::default(), 10_000).await?;
    for task in open {
        ensure!(task.state.is_final(), "invariant 4: task {} was left {:?}", task.id, task.state);
    }
    Ok(())
}
