//! The engine on SQLite and on PostgreSQL: several on one database, repetitions, crashes, retention.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod concurrent;
mod hooks;
mod input;
mod maintenance;
mod report;
mod retention;
mod scripts;
mod together;
mod wake;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use hostler_common::id::{EventNumber, HostId, TaskId};
use hostler_common::job::{Captured, JobSpec, JobState, JobUpdate, Outcome};
use hostler_common::time::{Clock, Timestamp};
use hostler_core::introspection::Introspection;
use hostler_core::introspection::command::Command;
use hostler_core::machine::{Input, Machine as _};
use hostler_manager::engine::{Committed, Engine, EngineSettings, IntrospectionDomain, OsSeeds};
use hostler_manager::store::machine::{Record, machine_find};
use hostler_manager::store::{Error, Gate, Result, event, host, job, task};
use hostler_tests::both::Bed;
use hostler_tests::commit;
use uuid::Uuid;

/// A clock that tests move; all engines of a test share it.
#[derive(Debug)]
struct Hands(AtomicI64);

impl Hands {
    fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// A gate that can be shut.
#[derive(Debug, Default)]
struct Door(AtomicBool);

impl Gate for Door {
    fn pass(&self) -> Result<()> {
        if self.0.load(Ordering::SeqCst) { Err(Error::Unavailable("the door is shut".into())) } else { Ok(()) }
    }
}

/// Two managers on one database.
struct Rig {
    bed: Bed,
    clock: Arc<Hands>,
    one: Engine,
    two: Engine,
}

impl Rig {
    async fn new(bed: Bed) -> Self {
        let clock = Arc::new(Hands(AtomicI64::new(1_767_225_600_000_000)));
        let one = engine(&bed, &clock).await;
        let two = engine(&bed, &clock).await;
        Self { bed, clock, one, two }
    }

    /// A host that has no run yet.
    async fn host(&self, n: u128) -> HostId {
        let id = HostId(Uuid::from_u128(0x4000_8000_0000_0000_0000 + n));
        let now = self.clock.now();
        commit!(self.one.store, tx => host::host_insert(tx, id, &format!("host-{n}"), &[], now).await).unwrap();
        id
    }

    /// A host whose probe is ordered, and the job of that.
    async fn waiting_host(&self, n: u128) -> (HostId, JobSpec) {
        let id = self.host(n).await;
        start(&self.one, id).await.unwrap();
        self.one.run_due().await.unwrap();
        let open = job::job_open(&mut self.one.store.read().await.unwrap(), id).await.unwrap();
        assert_eq!(open.len(), 1);
        (id, open[0].spec.clone())
    }

    async fn machine(&self, host: HostId) -> Record<Introspection> {
        let mut connection = self.one.store.read().await.unwrap();
        machine_find(&mut connection, Introspection::KIND, &host.to_string()).await.unwrap().unwrap()
    }

    async fn task(&self, id: TaskId) -> task::Task {
        task::task_find(&mut self.one.store.read().await.unwrap(), id).await.unwrap().unwrap()
    }

    /// What the steps of a task say.
    async fn steps(&self, id: TaskId) -> Vec<String> {
        let steps = task::step_list(&mut self.one.store.read().await.unwrap(), id).await.unwrap();
        steps.into_iter().map(|step| step.what).collect()
    }

    /// The names of the events, and whether their numbers are without gaps.
    async fn events(&self) -> Vec<String> {
        let mut connection = self.one.store.read().await.unwrap();
        let events = event::event_list(&mut connection, EventNumber(0), 100_000).await.unwrap();
        for (number, event) in (1..).zip(&events) {
            assert_eq!(event.number.0, number);
        }
        events.into_iter().map(|event| event.kind).collect()
    }
}

async fn engine(bed: &Bed, clock: &Arc<Hands>) -> Engine {
    let settings = EngineSettings { inventories_kept: 3, ..EngineSettings::default() };
    Engine::new(bed.open().await.unwrap(), Arc::clone(clock) as _, Arc::new(OsSeeds), settings)
}

async fn give(engine: &Engine, host: HostId, command: Command) -> Result<Committed<Introspection>> {
    engine.input::<IntrospectionDomain>(&host.to_string(), Input::Command(command), Some("tester")).await
}

async fn start(engine: &Engine, host: HostId) -> Result<Committed<Introspection>> {
    give(engine, host, Command::Start { manage_boot: None, sections: Vec::new() }).await
}

/// A report of a job; a final one has an outcome, and a good one a document.
fn report(job: &JobSpec, state: JobState) -> JobUpdate {
    let document = serde_json::json!({
        "inventory": {
            "hostname": "h",
            "cpu": { "count": 2, "architecture": "x86_64" },
            "memory": { "total": 1 << 30, "physical_mb": 1024 },
            "disks": [{ "name": "/dev/vda", "size": 10_u64 << 30 }],
            "interfaces": [{ "name": "eth0", "mac_address": "52:54:00:00:00:01", "ipv4_address": "192.0.2.1" }],
            "system_vendor": {},
        },
        "error": null,
    });
    let text = if state == JobState::Succeeded { document.to_string() } else { String::new() };
    let outcome = state.is_final().then(|| Outcome {
        exit_code: Some(i32::from(state != JobState::Succeeded)),
        stdout: Captured { total: text.len() as u64, head: text.into_bytes(), tail: Vec::new() },
        ..Outcome::default()
    });
    JobUpdate { job: job.id, state, outcome }
}
