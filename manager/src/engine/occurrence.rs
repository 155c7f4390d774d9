//! What happens at hook points, and the runs that follow from it (spec/hooks.md §8).

use futures::future::BoxFuture;
use hostler_common::hook::{HookJob, HostReport, Occurrence, Place};
use hostler_common::id::{HostId, TaskId};
use hostler_core::hook::chain::{Chain, Link, Word};
use hostler_core::hook::{Hook, Planned, pace, plan};
use hostler_core::machine::{Event, Input};
use hostler_core::run::command::Adoption;
use hostler_core::run::{Command, Spec};
use serde_json::json;
use uuid::Uuid;

use super::run::{Domain, Wakes, apply, own_id};
use super::{Engine, RunDomain, Turn};
use crate::store::{Connection, Error, Result, event, hook, target};

/// How often it is tried again after another manager was faster.
const TRIES: usize = 8;

/// Who began what nobody asked for.
const SYSTEM: &str = "system";

/// The hooks of an occurrence; the subject is an id of its own.
#[derive(Clone, Copy, Debug)]
pub struct ChainDomain;

impl Domain for ChainDomain {
    type Machine = Chain;

    fn fresh(subject: &str) -> Result<Chain> {
        Ok(Chain::new(own_id("chain", subject)?))
    }

    fn facts<'t>(
        turn: &'t Turn,
        tx: &'t mut Connection,
        _: &'t Chain,
        input: &'t Input<Word>,
    ) -> BoxFuture<'t, Result<Vec<Link>>> {
        Box::pin(async move {
            let Input::Message(body) = input else { return Ok(Vec::new()) };
            let Ok(Word::Occur { occurrence, host, change, .. }) = serde_json::from_value(body.clone()) else {
                return Ok(Vec::new());
            };
            let hooks = hook::hook_of_point(tx, occurrence.point).await?;
            target::occurrence_insert(tx, &occurrence, host, turn.now).await?;
            let mut links = links_of(turn, tx, (&occurrence, host), &hooks).await?;
            for link in &mut links {
                link.spec.change.clone_from(&change);
            }
            Ok(links)
        })
    }

    fn write<'t>(_: &'t Turn, _: &'t mut Connection, _: &'t Chain, _: Vec<()>) -> BoxFuture<'t, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

impl Engine {
    /// Records that something happened and begins the runs of its hooks, each with a task; none if the occurrence is known
    /// already. `host` is the one that it is about.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn occurrence(
        &self,
        occurrence: Occurrence,
        host: Option<HostId>,
        hooks: Vec<Hook>,
    ) -> Result<Vec<TaskId>> {
        let mut tries = 0;
        loop {
            let turn = self.turn(Some(SYSTEM));
            let (occurrence, hooks) = (occurrence.clone(), hooks.clone());
            let work = self.store.write(move |tx| {
                Box::pin(async move {
                    let mut wakes = Wakes::default();
                    let tasks = happened(&turn, tx, (&occurrence, host), &hooks, &mut wakes).await?;
                    Ok((tasks, wakes))
                })
            });
            tries += 1;
            match work.await {
                Err(Error::Moved) if tries < TRIES => {}
                Ok((tasks, wakes)) => {
                    self.wake_all(&wakes);
                    return Ok(tasks);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes what an agent says of something that happened on its host: what it runs for it by itself gets its tasks, and
    /// hooks that run elsewhere begin. When this returns, the report is durable; one that was taken before changes nothing.
    ///
    /// # Errors
    /// See [`Error`]; the agent keeps the report.
    pub async fn report(&self, host: HostId, report: HostReport) -> Result<()> {
        let mut tries = 0;
        loop {
            let (turn, report) = (self.turn(Some(SYSTEM)), report.clone());
            let done = self.store.write(move |tx| Box::pin(async move { take(&turn, tx, host, report).await })).await;
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

async fn take(turn: &Turn, tx: &mut Connection, host: HostId, report: HostReport) -> Result<Wakes> {
    let mut wakes = Wakes::default();
    let occurrence = &report.occurrence;
    if !target::report_insert(tx, host, occurrence.id, report.number, turn.now).await? {
        return Ok(wakes);
    }
    let told = Event {
        kind: "hook.occurred",
        subject: host.to_string(),
        data: json!({
            "occurrence": occurrence.id, "point": occurrence.point.name(), "origin": occurrence.origin.name(),
            "values": occurrence.values, "hooks": report.jobs.len(), "skipped": report.skipped,
        }),
    };
    event::event_insert(tx, turn.now, None, &told).await?;
    let hooks = hook::hook_of_point(tx, occurrence.point).await?;
    for (n, job) in (0..).zip(&report.jobs) {
        wakes.add(adopt(&turn.nth(n), tx, (host, occurrence), job, &hooks).await?);
    }
    if occurrence.point.place() != Place::Host {
        happened(&turn.nth(u32::MAX), tx, (occurrence, Some(host)), &hooks, &mut wakes).await?;
    }
    Ok(wakes)
}

/// Takes over a script that an agent runs.
async fn adopt(
    turn: &Turn,
    tx: &mut Connection,
    (host, occurrence): (HostId, &Occurrence),
    job: &HookJob,
    hooks: &[Hook],
) -> Result<Wakes> {
    // A hook that was removed meanwhile ran all the same.
    let known = hooks.iter().find(|hook| hook.id == job.hook);
    let script_id = known.map(|hook| hook.script_id).or(job.script.id);
    let Some(script) = script_id else { return Ok(Wakes::default()) };
    let mut spec = match known {
        Some(hook) => Planned { hook: hook.clone(), hosts: vec![host] }.spec(occurrence),
        None => Spec::new(
            format!("Hook {}: {}", occurrence.point.name(), job.script.name),
            job.script.clone(),
            vec![host],
            hostler_core::run::Origin::Hook(Box::new(hostler_core::run::HookOrigin {
                hook: job.hook,
                script,
                occurrence: occurrence.clone(),
                blocking: occurrence.point.blocking(),
                any_one: false,
                stdin_json: false,
            })),
        ),
    };
    spec.script = job.script.clone();
    spec.args.clone_from(&job.args);
    let subject = Uuid::from_u128(turn.nth(1).seed).to_string();
    let adopt = Command::Adopt(Box::new(Adoption { spec, job: job.job }));
    Ok(apply::<RunDomain>(turn, tx, &subject, Input::Command(adopt)).await?.wakes)
}

/// Records an occurrence and begins the runs of its hooks.
pub(super) async fn happened(
    turn: &Turn,
    tx: &mut Connection,
    (occurrence, host): (&Occurrence, Option<HostId>),
    hooks: &[Hook],
    wakes: &mut Wakes,
) -> Result<Vec<TaskId>> {
    if !target::occurrence_insert(tx, occurrence, host, turn.now).await? {
        return Ok(Vec::new());
    }
    let place = occurrence.point.place();
    let links = links_of(turn, tx, (occurrence, host), hooks).await?;
    // Hooks that run on hosts of their own do not wait for each other.
    let chains: Vec<Vec<Link>> = match place {
        Place::OneHost => links.into_iter().map(|link| vec![link]).collect(),
        Place::Host | Place::Management if links.is_empty() => Vec::new(),
        Place::Host | Place::Management => vec![links],
    };
    let mut tasks = Vec::new();
    for (n, links) in (0..).zip(chains) {
        let turn = turn.nth(n);
        let subject = Uuid::from_u128(turn.nth(1).seed).to_string();
        let start = Word::Start { links, blocking: occurrence.point.blocking(), parent: None };
        let done = apply::<ChainDomain>(&turn, tx, &subject, Input::Command(start)).await?;
        wakes.add(done.wakes);
        for made in &done.machine.made {
            tasks.extend(target::run_task(tx, &made.run.to_string()).await?);
        }
    }
    Ok(tasks)
}

/// The hooks that run for an occurrence; that they begin now is remembered.
async fn links_of(
    turn: &Turn,
    tx: &mut Connection,
    (occurrence, host): (&Occurrence, Option<HostId>),
    hooks: &[Hook],
) -> Result<Vec<Link>> {
    let candidates = match occurrence.point.place() {
        Place::Host => Vec::new(),
        Place::OneHost | Place::Management => target::candidates(tx).await?,
    };
    let mut links = Vec::new();
    for planned in plan(occurrence, host, hooks, &candidates, turn.seed) {
        links.extend(link(turn, tx, occurrence, &planned).await?);
    }
    Ok(links)
}

/// The place of a hook in its chain; `None` if it has begun too often lately.
async fn link(turn: &Turn, tx: &mut Connection, occurrence: &Occurrence, planned: &Planned) -> Result<Option<Link>> {
    let mut not_before = None;
    if planned.hosts.is_empty() {
        let missed = Event {
            kind: "hook.missed",
            subject: planned.hook.id.to_string(),
            data: json!({ "occurrence": occurrence.id, "point": occurrence.point.name(), "reason": "no host is connected" }),
        };
        event::event_insert(tx, turn.now, None, &missed).await?;
    } else if !occurrence.point.blocking() {
        let (hook, host) = (planned.hook.id, planned.hosts[0]);
        let Some(slot) = pace::slot(target::pace_find(tx, hook, host).await?, turn.now) else {
            let data = json!({ "occurrence": occurrence.id, "point": occurrence.point.name(), "host": host });
            let limited = Event { kind: "hook.limited", subject: hook.to_string(), data };
            event::event_insert(tx, turn.now, None, &limited).await?;
            return Ok(None);
        };
        target::pace_put(tx, hook, host, slot.next).await?;
        not_before = Some(slot.at);
    }
    Ok(Some(Link { spec: planned.spec(occurrence), on_failure: planned.hook.on_failure, not_before }))
}
