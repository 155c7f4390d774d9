//! One schedule: random things happen, then everything heals, then every session comes to its end and nothing may be left.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use hostler_common::id::{EventNumber, HostId, SessionId};
use hostler_common::job::{JobSpec, JobState, Outcome, Work};
use hostler_common::step::Step;
use hostler_common::time::{Clock as _, Timestamp};
use hostler_core::maintenance::instance::{Instance, InstanceState, Size};
use hostler_manager::engine::compute::{ComputeSide, Memory};
use hostler_manager::store::{Error, host, job, join_token, maintenance};
use uuid::Uuid;

use super::super::Random;
use super::super::agent::Agent;
use super::super::clock::{SimClock, SimSeeds};
use super::super::manager::Manager;
use super::super::wire::Wire;
use super::check;
use super::people::{Accepted, Asked};
use super::site::{FSID, Site};
use super::tally::Tally;

/// How many hosts a schedule has.
pub const HOSTS: usize = 3;

/// How many instances a schedule has at most.
const INSTANCES: usize = 4;

/// How many random things happen.
const STEPS: usize = 90;

/// How often everybody does what there is to do until a healed fleet must be at rest.
const ROUNDS: usize = 4000;

/// Everything of a schedule.
pub struct World {
    dir: tempfile::TempDir,
    pub clock: Arc<SimClock>,
    seeds: Arc<SimSeeds>,
    pub random: Random,
    pub manager: Manager,
    pub compute: Arc<Memory>,
    pub wires: Vec<Wire>,
    pub site: Site,
    /// The sessions that were promised.
    pub sessions: Vec<SessionId>,
    /// How often each was continued since the fleet is healed.
    pub continued: BTreeMap<SessionId, u32>,
    /// Up to where projects heard what they are told.
    pub heard: EventNumber,
    /// Questions that projects have not answered.
    pub asked: VecDeque<Asked>,
    /// Answers of theirs that were accepted.
    pub accepted: Vec<Accepted>,
    /// Instances that their owners said they take away.
    pub leaving: Vec<String>,
    /// Hosts that somebody wanted held, in any session.
    pub held: bool,
    /// Whether everything works again.
    pub healed: bool,
    pub tally: Tally,
}

/// Who that host is.
#[must_use]
pub fn host_id(n: usize) -> HostId {
    HostId(Uuid::from_u128(0x4000_8000_0000_0000_0000 + n as u128))
}

/// Runs the schedule of `seed`.
///
/// # Errors
/// The invariant that was broken, and where.
pub async fn run_session_schedule(seed: u64) -> anyhow::Result<Tally> {
    let mut world = World::new(seed).await?;
    for step in 0..STEPS {
        world.act().await.with_context(|| format!("seed {seed}, step {step}"))?;
    }
    world.heal().await.with_context(|| format!("seed {seed}, healing"))?;
    world.tally.plugins = u32::try_from(world.site.done.len())?;
    world.tally.moves = (0..INSTANCES).map(|n| world.compute.performed(&format!("i-{n}"))).sum();
    world.tally.boots = world.site.boots.values().sum();
    world.tally.duplicates += world.wires.iter().map(|wire| wire.duplicates).sum::<u32>();
    Ok(world.tally)
}

/// The instances of a schedule, by name: what they take, and whose they are.
fn instance(n: usize, at: usize) -> Instance {
    Instance {
        id: format!("i-{n}"),
        name: format!("vm-{n}"),
        project: format!("p{}", n % 2),
        host: host_id(at),
        state: InstanceState::Active,
        size: Size { vcpus: 1, memory_mib: 512, disk_gib: 1 },
        can_live_migrate: !n.is_multiple_of(3),
        needs: Vec::new(),
        group: None,
        busy: false,
    }
}

impl World {
    async fn new(seed: u64) -> anyhow::Result<Self> {
        // Memory-backed where there is such a folder: the order of writes is tested here, not the disk.
        let shm = std::path::Path::new("/dev/shm");
        let dir = if shm.is_dir() { tempfile::tempdir_in(shm)? } else { tempfile::tempdir()? };
        let (clock, seeds) = (Arc::new(SimClock::default()), Arc::new(SimSeeds::new(seed ^ 0x5eed)));
        let compute = Arc::new(Memory::default());
        let side = ComputeSide(Arc::clone(&compute) as _);
        let manager = Manager::start(dir.path(), &clock, &seeds, side).await?;
        let mut random = Random::new(seed);
        let site = Site { hosts: HOSTS, ceph: random.chance(40), ..Site::default() };
        let mut world = Self {
            dir,
            clock,
            seeds,
            random,
            manager,
            compute,
            wires: (0..HOSTS).map(|n| Wire::new(Agent::new(host_id(n)))).collect(),
            site,
            sessions: Vec::new(),
            continued: BTreeMap::new(),
            heard: EventNumber(0),
            asked: VecDeque::new(),
            accepted: Vec::new(),
            leaving: Vec::new(),
            held: false,
            healed: false,
            tally: Tally::default(),
        };
        world.furnish().await?;
        Ok(world)
    }

    /// Hosts with their roles, and instances on some of them.
    async fn furnish(&mut self) -> anyhow::Result<()> {
        let now = self.clock.now();
        let instances = if self.random.chance(60) { 1 + self.random.below(INSTANCES) } else { 0 };
        for n in 0..HOSTS {
            let mut roles = vec!["compute".to_owned()];
            roles.extend((n == 0).then(|| "management".to_owned()));
            roles.extend((n == 1 && self.random.chance(30)).then(|| "controller".to_owned()));
            let id = host_id(n);
            let made = self.manager.engine.store.write(move |tx| {
                Box::pin(async move {
                    host::host_insert(tx, id, &format!("host-{n}"), &roles, now).await?;
                    let zone = host::Description { zone: Some(format!("z{n}")), ..Default::default() };
                    host::host_describe(tx, id, &zone).await?;
                    let expires = now.after(Duration::from_secs(86_400 * 365));
                    join_token::certificate_insert(tx, &id.to_string(), id, now, expires).await
                })
            });
            made.await?;
            self.compute.add_host(id, Size { vcpus: 4, memory_mib: 8192, disk_gib: 100 });
            self.wires[n].agent.start();
            self.connect(n).await?;
        }
        for n in 0..instances {
            let at = self.random.below(HOSTS);
            self.compute.put(instance(n, at));
        }
        let listens = self.random.chance(85);
        self.projects(instances, listens).await
    }

    async fn connect(&mut self, n: usize) -> anyhow::Result<()> {
        let (boot, now) = (self.site.boot_of(n), self.clock.now());
        let fsid = self.site.ceph.then_some(FSID);
        self.wires[n].connect(&self.manager, now, &boot, fsid).await
    }

    /// One random thing, then a look at the invariants.
    async fn act(&mut self) -> anyhow::Result<()> {
        let n = self.random.below(HOSTS);
        match self.random.below(100) {
            0..5 => self.begin().await?,
            5..9 => self.operate().await?,
            9..10 => self.delete_some().await?,
            10..14 => self.pass(60),
            14..34 => self.due(true).await?,
            34..72 => self.work(n).await?,
            72..81 => self.tenants().await?,
            81..85 => self.moves().await?,
            85..87 => self.cut(n).await?,
            87..89 => self.crash_agent(n).await?,
            89..92 => self.manager.fuse.light(i64::try_from(self.random.below(4)).unwrap_or(0)),
            92..94 => self.crash_manager().await?,
            94..95 => self.outage().await?,
            95..96 => self.clock_jump(),
            96..98 => self.break_something(n),
            _ => self.pass(600),
        }
        if self.manager.fuse.burnt() && self.random.chance(50) {
            self.crash_manager().await?;
        }
        check::always(self).await
    }

    fn pass(&mut self, most: usize) {
        self.clock.advance(Duration::from_secs(self.random.below(most) as u64));
    }

    fn clock_jump(&mut self) {
        if self.random.chance(50) {
            self.clock.advance(Duration::from_secs(self.random.below(8 * 3600) as u64));
        } else {
            self.clock.set_back(Duration::from_secs(self.random.below(90) as u64));
        }
    }

    fn break_something(&mut self, n: usize) {
        match self.random.below(3) {
            0 if self.site.ceph => {
                self.site.broken.insert(n);
            }
            1 => self.compute.hold(self.random.chance(50)),
            _ => *self.site.failing.entry(n).or_default() += 1,
        }
    }

    /// Timers come due; sometimes time passes until the next one does.
    async fn due(&mut self, waits: bool) -> anyhow::Result<()> {
        match self.manager.engine.run_due().await {
            Ok(Some(at)) if waits && self.random.chance(60) => {
                self.clock.reach(at);
                Ok(())
            }
            Ok(_) | Err(Error::Unavailable(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn moves(&mut self) -> anyhow::Result<()> {
        if self.random.chance(50) {
            self.compute.finish();
        }
        match self.manager.engine.perform_moves().await {
            Ok(_) | Err(Error::Unavailable(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A host and its agent do some of what there is to do.
    async fn work(&mut self, n: usize) -> anyhow::Result<()> {
        if self.site.off.contains(&n) {
            if self.healed || self.random.chance(40) {
                self.power_on(n);
            }
            return Ok(());
        }
        if !self.wires[n].agent.alive() {
            self.wires[n].agent.start();
        }
        self.connect(n).await?;
        let twice = if self.healed { 0 } else { 10 };
        let now = self.clock.now();
        for _ in 0..2 {
            let wire = &mut self.wires[n];
            wire.ask(&self.manager, now).await?;
            while wire.carry_down(&mut self.random, twice) {}
            while wire.agent.step() {
                if !self.healed && self.random.chance(1) {
                    return self.crash_agent(n).await;
                }
            }
            for (spec, stopped) in self.wires[n].agent.running() {
                if self.healed || self.random.chance(70) {
                    self.end_program(n, &spec, stopped);
                }
                if self.site.off.contains(&n) {
                    return self.cut(n).await;
                }
            }
            let wire = &mut self.wires[n];
            while wire.agent.step() {}
            wire.send(&mut self.random, twice);
            while (self.healed || self.random.chance(85)) && wire.carry_up(&self.manager, now).await? {}
        }
        Ok(())
    }

    /// The program of a job ends.
    fn end_program(&mut self, n: usize, spec: &JobSpec, stopped: bool) {
        let agent = &mut self.wires[n].agent;
        let Work::Step(step) = &spec.work else {
            return agent.end(spec.id, JobState::Succeeded, Outcome::default());
        };
        if stopped {
            return agent.end(spec.id, JobState::Cancelled, Outcome::default());
        }
        if matches!(**step, Step::Reboot(ref reboot) if reboot.always) {
            agent.go_down(spec.id);
            return self.site.power_off(n);
        }
        let (state, outcome) = self.site.step(n, step);
        if matches!(**step, Step::Dummy | Step::Unit(_)) && state == JobState::Succeeded {
            self.site.done.push((host_id(n), spec.id));
        }
        agent.end(spec.id, state, outcome);
    }

    fn power_on(&mut self, n: usize) {
        let outcome = self.site.power_on(n);
        self.wires[n].agent.come_up(&outcome);
    }

    async fn cut(&mut self, n: usize) -> anyhow::Result<()> {
        let now = self.clock.now();
        self.wires[n].cut(&self.manager, now).await
    }

    async fn crash_agent(&mut self, n: usize) -> anyhow::Result<()> {
        self.tally.agent_crashes += 1;
        if self.random.chance(35) {
            self.wires[n].agent.power_loss();
            self.site.power_off(n);
        } else {
            self.wires[n].agent.crash();
        }
        self.cut(n).await
    }

    async fn crash_manager(&mut self) -> anyhow::Result<()> {
        self.tally.manager_crashes += 1;
        for wire in &mut self.wires {
            drop(wire.drop_link());
        }
        let side = ComputeSide(Arc::clone(&self.compute) as _);
        self.manager = Manager::start(self.dir.path(), &self.clock, &self.seeds, side).await?;
        Ok(())
    }

    /// The store does not answer for a minute; the manager lives on.
    async fn outage(&mut self) -> anyhow::Result<()> {
        self.tally.outages += 1;
        self.manager.fuse.light(0);
        for _ in 0..3 {
            self.pass(40);
            self.due(false).await?;
            let n = self.random.below(HOSTS);
            self.work(n).await?;
            self.tenants().await?;
        }
        self.manager.fuse.replace();
        Ok(())
    }

    /// Everything works again and enough time passes: every session ends, and nothing may be left.
    async fn heal(&mut self) -> anyhow::Result<()> {
        self.healed = true;
        self.site.mend();
        self.compute.hold(false);
        self.crash_manager().await?;
        for _ in 0..ROUNDS {
            let next = self.round().await?;
            if self.all_over().await? {
                break;
            }
            if let Some(at) = next.filter(|_| self.wires.iter().all(Wire::idle) && self.asked.is_empty()) {
                self.reach(at).await?;
            }
        }
        ensure!(self.all_over().await?, "invariant 3: it does not come to an end: {}", check::story(self).await?);
        for _ in 0..8 {
            self.round().await?;
        }
        check::always(self).await?;
        check::settled(self).await
    }

    /// Time passes only when nobody has anything to do: a deadline must not be what ends a healthy run.
    async fn reach(&mut self, at: Timestamp) -> anyhow::Result<()> {
        let mut connection = self.manager.engine.store.read().await?;
        let open = job::job_all_open(&mut connection).await?;
        drop(connection);
        if open.is_empty() {
            self.clock.reach(at);
        }
        Ok(())
    }

    /// Everybody does what there is to do.
    async fn round(&mut self) -> anyhow::Result<Option<Timestamp>> {
        self.manager.engine.run_due().await?;
        for n in 0..HOSTS {
            self.work(n).await?;
        }
        self.tenants().await?;
        self.compute.finish();
        self.manager.engine.perform_moves().await?;
        self.compute.finish();
        self.manager.engine.perform_moves().await?;
        self.steward().await?;
        Ok(self.manager.engine.run_due().await?)
    }

    /// Whether every session is done, or deleted and unwound.
    async fn all_over(&mut self) -> anyhow::Result<bool> {
        let mut connection = self.manager.engine.store.read().await?;
        Ok(maintenance::locks_of(&mut connection).await?.is_empty())
    }
}
