//! One schedule: random things happen, then everything heals, then nothing may be left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use hostler_common::error::Class;
use hostler_common::id::{HostId, TaskId};
use hostler_common::job::{JobState, JobUpdate};
use hostler_common::script::{Digest, ScriptRef};
use hostler_common::time::Clock as _;
use hostler_core::introspection::command::Command;
use hostler_core::machine::Input;
use hostler_core::run::{Origin, Quota, Spec};
use hostler_manager::engine::IntrospectionDomain;
use hostler_manager::engine::compute::ComputeSide;
use hostler_manager::store::{Error, host, job, join_token};
use uuid::Uuid;

use super::agent::Agent;
use super::clock::{SimClock, SimSeeds};
use super::manager::Manager;
use super::wire::Wire;
use super::{Random, check};

/// How many hosts a schedule has.
const HOSTS: usize = 3;

/// How many random things happen.
const STEPS: usize = 120;

/// How many percent of the frames come twice.
const TWICE: u64 = 10;

/// How long a healed fleet is watched: long enough for every host to be read again.
const REFRESHES: Duration = Duration::from_secs(200);

/// What happened in a schedule: a simulation in which nothing happens proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Starts that were accepted.
    pub starts: u32,
    /// Runs that finished.
    pub finished: u32,
    /// Crashes of the manager.
    pub manager_crashes: u32,
    /// Crashes of agents.
    pub agent_crashes: u32,
    /// Links that broke.
    pub breaks: u32,
    /// Frames that came twice.
    pub duplicates: u32,
    /// Updates that named the job of another host.
    pub forgeries: u32,
    /// Scripts that were begun, on any number of hosts.
    pub scripts: u32,
    /// Scripts that ended on all of their hosts as they should.
    pub scripts_finished: u32,
    /// Probes that refreshes ordered and that ran.
    pub refreshes: u32,
}

struct World {
    dir: tempfile::TempDir,
    clock: Arc<SimClock>,
    seeds: Arc<SimSeeds>,
    random: Random,
    manager: Manager,
    wires: Vec<Wire>,
    accepted: BTreeMap<HostId, u64>,
    /// The tasks of scripts that were promised.
    scripts: Vec<TaskId>,
    summary: Summary,
}

/// Runs the schedule of `seed`.
///
/// # Errors
/// The invariant that was broken, and where.
pub async fn run_schedule(seed: u64) -> anyhow::Result<Summary> {
    let mut world = World::new(seed).await?;
    for step in 0..STEPS {
        world.act().await.with_context(|| format!("seed {seed}, step {step}"))?;
    }
    world.heal().await.with_context(|| format!("seed {seed}, healing"))?;
    world.summary.refreshes = world.wires.iter().map(|wire| wire.agent.refreshes).sum();
    world.summary.duplicates = world.wires.iter().map(|wire| wire.duplicates).sum();
    Ok(world.summary)
}

impl World {
    async fn new(seed: u64) -> anyhow::Result<Self> {
        // Memory-backed where there is such a folder: the order of writes is tested here, not the disk.
        let shm = std::path::Path::new("/dev/shm");
        let dir = if shm.is_dir() { tempfile::tempdir_in(shm)? } else { tempfile::tempdir()? };
        let (clock, seeds) = (Arc::new(SimClock::default()), Arc::new(SimSeeds::new(seed ^ 0x5eed)));
        let manager = Manager::start(dir.path(), &clock, &seeds, ComputeSide::default()).await?;
        let mut wires = Vec::new();
        for n in 0..HOSTS {
            let host = HostId(Uuid::from_u128(0x4000_8000_0000_0000_0000 + n as u128));
            let now = clock.now();
            manager
                .engine
                .store
                .write(move |tx| {
                    Box::pin(async move {
                        host::host_insert(tx, host, &format!("host-{n}"), &[], now).await?;
                        let expires = now.after(Duration::from_secs(86_400 * 365));
                        join_token::certificate_insert(tx, &host.to_string(), host, now, expires).await
                    })
                })
                .await?;
            wires.push(Wire::new(Agent::new(host)));
        }
        manager.engine.refreshes_begin().await?;
        Ok(Self {
            dir,
            clock,
            seeds,
            random: Random::new(seed),
            manager,
            wires,
            accepted: BTreeMap::new(),
            scripts: Vec::new(),
            summary: Summary::default(),
        })
    }

    /// One random thing, then a look at the invariants.
    async fn act(&mut self) -> anyhow::Result<()> {
        let n = self.random.below(HOSTS);
        match self.random.below(100) {
            0..6 => self.command(n).await?,
            6..9 => self.script().await?,
            9..12 => self.clock.advance(Duration::from_secs(self.random.below(60) as u64)),
            12..24 => self.start_or_connect(n).await?,
            24..40 => self.agent_step(n).await?,
            40..54 => self.carry_up(n).await?,
            54..68 => self.carry_down(n).await?,
            68..76 => {
                let (pick, fails) = (self.random.below(8), self.random.chance(15));
                self.wires[n].agent.end_program(pick, fails);
            }
            76..86 => self.timers().await?,
            86..89 => self.break_link(n).await?,
            89..92 => self.crash_agent(n).await?,
            92..95 => self.manager.fuse.light(i64::try_from(self.random.below(4)).unwrap_or(0)),
            95..97 => self.crash_manager().await?,
            97..98 => self.forge(n).await?,
            _ => self.clock.advance(Duration::from_secs(self.random.below(120) as u64)),
        }
        if self.manager.fuse.burnt() && self.random.chance(50) {
            self.crash_manager().await?;
        }
        check::always(&self.manager.engine.store, &self.wires, &self.accepted).await?;
        check::scripts(&self.manager.engine.store, &self.scripts).await.map(drop)
    }

    /// What a REST client asks. A refusal is an answer; only what is promised counts.
    async fn command(&mut self, n: usize) -> anyhow::Result<()> {
        let host = self.wires[n].agent.host;
        let command = match self.random.below(10) {
            0..6 => Command::Start { manage_boot: None, sections: Vec::new() },
            6..8 => Command::Abort,
            _ => Command::Reapply { data: None },
        };
        let starts = matches!(command, Command::Start { .. });
        let input = Input::Command(command);
        match self.manager.engine.input::<IntrospectionDomain>(&host.to_string(), input, Some("sim")).await {
            Ok(committed) => {
                self.accepted.insert(host, committed.machine.run);
                self.summary.starts += u32::from(starts);
                Ok(())
            }
            Err(Error::Refused(Class::Invalid | Class::Conflict | Class::NotFound, _) | Error::Unavailable(_)) => {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Somebody runs a script on some of the hosts, or ends one.
    async fn script(&mut self) -> anyhow::Result<()> {
        if self.random.chance(25) && !self.scripts.is_empty() {
            let task = self.scripts[self.random.below(self.scripts.len())];
            return match self.manager.engine.task_cancel(task, "sim").await {
                Ok(()) | Err(Error::Refused(Class::Conflict, _) | Error::Unavailable(_)) => Ok(()),
                Err(error) => Err(error.into()),
            };
        }
        let count = 1 + self.random.below(HOSTS);
        let hosts = self.wires.iter().take(count).map(|wire| wire.agent.host).collect();
        let digest = Digest([3; 32]);
        let script = ScriptRef { id: None, name: "s".into(), revision: 1, digest, signature: String::new() };
        let most = u32::try_from(self.random.below(3)).ok();
        let spec = Spec {
            max_concurrency: Quota::Count(1 + u32::try_from(self.random.below(3)).unwrap_or(0)),
            max_errors: most.filter(|most| *most < 2).map(Quota::Count),
            ..Spec::new("script", script, hosts, Origin::Execute)
        };
        match self.manager.engine.run_start(spec, Some("sim")).await {
            Ok(task) => {
                self.scripts.push(task);
                self.summary.scripts += 1;
                Ok(())
            }
            Err(Error::Unavailable(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn start_or_connect(&mut self, n: usize) -> anyhow::Result<()> {
        if !self.wires[n].agent.alive() {
            self.wires[n].agent.start();
            return Ok(());
        }
        let now = self.clock.now();
        self.wires[n].connect(&self.manager, now, "b", None).await
    }

    /// The agent carries out some of its effects, and may die between any two.
    async fn agent_step(&mut self, n: usize) -> anyhow::Result<()> {
        for _ in 0..=self.random.below(4) {
            if self.wires[n].agent.step() && self.random.chance(4) {
                return self.crash_agent(n).await;
            }
        }
        self.wires[n].send(&mut self.random, TWICE);
        Ok(())
    }

    /// The manager takes a frame of an agent.
    async fn carry_up(&mut self, n: usize) -> anyhow::Result<()> {
        let now = self.clock.now();
        self.wires[n].carry_up(&self.manager, now).await.map(drop)
    }

    /// The manager says what there is to say, and an agent takes one frame.
    async fn carry_down(&mut self, n: usize) -> anyhow::Result<()> {
        let now = self.clock.now();
        self.wires[n].ask(&self.manager, now).await?;
        self.wires[n].carry_down(&mut self.random, TWICE);
        Ok(())
    }

    async fn timers(&mut self) -> anyhow::Result<()> {
        match self.manager.engine.run_due().await {
            Ok(_) | Err(Error::Unavailable(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn break_link(&mut self, n: usize) -> anyhow::Result<()> {
        self.summary.breaks += u32::from(self.wires[n].session().is_some());
        let now = self.clock.now();
        self.wires[n].cut(&self.manager, now).await
    }

    async fn crash_agent(&mut self, n: usize) -> anyhow::Result<()> {
        self.summary.agent_crashes += 1;
        if self.random.chance(30) {
            self.wires[n].agent.power_loss();
        } else {
            self.wires[n].agent.crash();
        }
        self.break_link(n).await
    }

    async fn crash_manager(&mut self) -> anyhow::Result<()> {
        self.summary.manager_crashes += 1;
        for wire in &mut self.wires {
            drop(wire.drop_link());
        }
        let compute = ComputeSide::default();
        self.manager = Manager::start(self.dir.path(), &self.clock, &self.seeds, compute).await?;
        Ok(())
    }

    /// An agent speaks of a job of another host: it is refused, and the job does not move.
    async fn forge(&mut self, n: usize) -> anyhow::Result<()> {
        let victim = self.wires[(n + 1) % HOSTS].agent.host;
        let Some(session) = self.wires[n].session() else { return Ok(()) };
        let store = &self.manager.engine.store;
        let Some(target) = job::job_open(&mut *store.read().await?, victim).await?.into_iter().next() else {
            return Ok(());
        };
        let update = JobUpdate { job: target.spec.id, state: JobState::Failed, outcome: Some(Default::default()) };
        match self.manager.fleet.update(session, update).await {
            Err(Error::Refused(Class::Denied, _)) => self.summary.forgeries += 1,
            Err(Error::Unavailable(_)) => return Ok(()),
            other => bail!("invariant 7: a forged update was answered with {other:?}"),
        }
        let after = job::job_find(&mut *store.read().await?, target.spec.id).await?.context("the job is gone")?;
        ensure!(after.state == target.state, "invariant 7: a forged update moved a job");
        Ok(())
    }

    /// Everything works again and enough time passes: nothing may be left.
    async fn heal(&mut self) -> anyhow::Result<()> {
        self.crash_manager().await?;
        let until = self.clock.now().after(REFRESHES);
        for _ in 0..400 {
            for n in 0..HOSTS {
                self.start_or_connect(n).await?;
                self.talk(n).await?;
                self.wires[n].agent.end_program(0, false);
            }
            let next = self.manager.engine.run_due().await?;
            let busy = self.wires.iter().any(|wire| !wire.agent.settled());
            if self.clock.now() > until && check::is_quiet(&self.manager.engine.store, &self.wires).await? {
                break;
            }
            match next {
                // Time passes only when nobody has anything to do: a deadline must not be what ends a healthy run.
                Some(at) if !busy && !self.jobs_open().await? => self.clock.reach(at),
                _ => {}
            }
        }
        check::always(&self.manager.engine.store, &self.wires, &self.accepted).await?;
        self.summary.scripts_finished = check::scripts(&self.manager.engine.store, &self.scripts).await?;
        check::settled(&self.manager.engine.store, &self.wires).await?;
        self.finishes().await
    }

    /// Everything that is on its way arrives, in both directions.
    async fn talk(&mut self, n: usize) -> anyhow::Result<()> {
        let (wire, now) = (&mut self.wires[n], self.clock.now());
        while wire.agent.step() {}
        wire.send(&mut self.random, TWICE);
        while wire.carry_up(&self.manager, now).await? {}
        wire.ask(&self.manager, now).await?;
        while wire.carry_down(&mut self.random, TWICE) {}
        Ok(())
    }

    async fn jobs_open(&self) -> anyhow::Result<bool> {
        let mut connection = self.manager.engine.store.read().await?;
        for Wire { agent, .. } in &self.wires {
            if !job::job_open(&mut connection, agent.host).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A healed fleet works: a fresh start of every host finishes.
    async fn finishes(&mut self) -> anyhow::Result<()> {
        self.clock.advance(Duration::from_secs(3600));
        for n in 0..HOSTS {
            let subject = self.wires[n].agent.host.to_string();
            let start = Input::Command(Command::Start { manage_boot: None, sections: Vec::new() });
            self.manager.engine.input::<IntrospectionDomain>(&subject, start, Some("sim")).await?;
            self.manager.engine.run_due().await?;
            for _ in 0..20 {
                self.carry_down(n).await?;
                while self.wires[n].agent.step() {}
                self.wires[n].agent.end_program(0, false);
                self.talk(n).await?;
                self.manager.engine.run_due().await?;
            }
            let mut connection = self.manager.engine.store.read().await?;
            let id = self.wires[n].agent.host;
            let status = hostler_manager::store::introspection::status_find(&mut connection, id).await?;
            let status = status.context("a started run has no record")?;
            ensure!(status.state.name() == "finished", "a run of the healed fleet ended as {status:?}");
            self.summary.finished += 1;
        }
        check::settled(&self.manager.engine.store, &self.wires).await
    }
}
