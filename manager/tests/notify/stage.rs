//! A manager with hosts whose agents do whatever they are told, instances that move at once, and couriers that deliver.
//!
//! Time is moved by hand, and only when nobody has anything to do: not while an event is on its way.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use hostler_common::id::{EventNumber, HostId};
use hostler_common::job::{Captured, JobSpec, JobState, JobUpdate, Outcome, Work};
use hostler_common::step::maintenance::Boot;
use hostler_common::step::{Step, StepResult};
use hostler_common::time::Clock as _;
use hostler_core::event::Recorded;
use hostler_core::maintenance::instance::{Instance, InstanceState, Size};
use hostler_core::maintenance::notice;
use hostler_core::webhook::{Phase, Webhook};
use hostler_manager::engine::compute::Memory;
use hostler_manager::store::event::event_list;
use hostler_manager::store::job::job_all_open;
use hostler_manager::store::webhook::webhook_list;
use hostler_manager::webhook::Webhooks;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::lab::LONG;
use super::site::Site;

const ROOM: Size = Size { vcpus: 8, memory_mib: 16_384, disk_gib: 100 };

/// The manager's address, for those who are told of it.
pub const BASE: &str = "https://mgr.example:12347";

pub struct Stage {
    pub site: Site,
    pub compute: Arc<Memory>,
    pub hosts: Vec<HostId>,
    /// Jobs of these hosts fail.
    pub failing: BTreeSet<HostId>,
    stop: CancellationToken,
}

impl Deref for Stage {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Stage {
    /// So many compute hosts, of a manager with these settings.
    pub async fn with(settings: &str, hosts: usize) -> Self {
        Self::nameless(&format!("{settings}\n[maintenance]\npublic_url = \"{BASE}\"\n"), hosts).await
    }

    /// The same, whose links begin with the address that was used for a call.
    pub async fn nameless(settings: &str, hosts: usize) -> Self {
        let compute = Arc::new(Memory::default());
        let site = Site::with_instances(settings, Arc::clone(&compute)).await;
        let mut all = Vec::new();
        for n in 1..=hosts {
            let host = site.host(&format!("kvm-a{n:02}"), &["compute"]).await;
            compute.add_host(host, ROOM);
            all.push(host);
        }
        let api = &site.api;
        let webhooks = Webhooks::new(api.engine.clone(), Arc::clone(api.hooks.vault()), &api.config);
        let stop = CancellationToken::new();
        let token = stop.clone();
        tokio::spawn(async move { webhooks.run(token).await });
        Self { site, compute, hosts: all, failing: BTreeSet::new(), stop }
    }

    /// The same without proof of identity.
    pub async fn open(hosts: usize) -> Self {
        Self::with("[auth]\nstrategy = \"none\"\n", hosts).await
    }

    /// An instance of a project on the host of that place.
    pub fn instance(&self, id: &str, project: &str, place: usize) {
        self.sized(id, project, place, Size { vcpus: 1, memory_mib: 512, disk_gib: 1 });
    }

    /// The same, of that size.
    pub fn sized(&self, id: &str, project: &str, place: usize, size: Size) {
        self.compute.put(Instance {
            id: id.into(),
            name: format!("vm {id}"),
            project: project.into(),
            host: self.hosts[place],
            state: InstanceState::Active,
            size,
            can_live_migrate: true,
            needs: Vec::new(),
            group: None,
            busy: false,
        });
    }

    /// Makes a session; its id.
    pub async fn session(&self, more: &Value) -> String {
        let mut body = json!({
            "maintenance_at": "2026-01-02 03:05:00", "actions": [{"plugin": "dummy", "type": "host"}],
            "metadata": {"kernel": "6.12"},
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = self.of("admin", "POST", "/v1/maintenance", &body).await.is(200);
        made["session_id"].as_str().unwrap().to_owned()
    }

    pub async fn state(&self, id: &str) -> String {
        let shown = self.of("admin", "GET", &format!("/v1/maintenance/{id}"), &Value::Null).await.is(200);
        shown["state"].as_str().unwrap().to_owned()
    }

    /// Everybody does what there is to do now.
    pub async fn work(&self) {
        loop {
            let engine = &self.api.engine;
            engine.run_due().await.unwrap();
            engine.perform_moves().await.unwrap();
            let open = job_all_open(&mut engine.store.read().await.unwrap()).await.unwrap();
            if open.is_empty() {
                return;
            }
            for job in open {
                engine.job_update(job.spec.host, self.answer(&job.spec)).await.unwrap();
            }
        }
    }

    /// Time passes until the next thing is due.
    pub async fn pass(&self) {
        let now = self.clock.now();
        let next = self.api.engine.run_due().await.unwrap();
        self.clock.advance(next.map_or(Duration::from_secs(1), |next| next.since(now)));
    }

    /// Goes on until the session is over; `tenant` gets a turn whenever everything that happened has been delivered.
    pub async fn finish(&self, id: &str, mut tenant: impl AsyncFnMut()) -> String {
        for _ in 0..2000 {
            self.work().await;
            self.settle().await;
            tenant().await;
            self.work().await;
            self.settle().await;
            let state = self.state(id).await;
            if matches!(state.as_str(), "MAINTENANCE_DONE" | "MAINTENANCE_FAILED") {
                return state;
            }
            self.pass().await;
        }
        panic!("it does not end: {}", self.state(id).await);
    }

    /// Waits until couriers have nothing to do but to wait for the time.
    pub async fn settle(&self) {
        let deadline = tokio::time::Instant::now() + LONG;
        loop {
            let mut connection = self.api.engine.store.read().await.unwrap();
            let webhooks = webhook_list(&mut connection).await.unwrap();
            let mut busy = None;
            for webhook in webhooks {
                let later = event_list(&mut connection, webhook.cursor, 10_000).await.unwrap();
                if self.is_busy(&webhook, &later) {
                    busy = Some(webhook);
                }
            }
            drop(connection);
            let Some(webhook) = busy else { return };
            assert!(tokio::time::Instant::now() < deadline, "it is not delivered: {webhook:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn is_busy(&self, webhook: &Webhook, later: &[Recorded]) -> bool {
        let rests = webhook.not_before.is_some_and(|at| at > self.clock.now());
        let delivers = webhook.sending.as_ref().is_some_and(|sending| sending.claim.is_some());
        let waits = webhook.sending.is_some() || later.iter().any(|event| webhook.wants(event));
        webhook.phase == Phase::Active && (delivers || (waits && !rests))
    }

    /// What an agent says of a job.
    fn answer(&self, spec: &JobSpec) -> JobUpdate {
        let Work::Step(step) = &spec.work else { panic!("{spec:?}") };
        let fails = self.failing.contains(&spec.host) && !matches!(**step, Step::Precheck(_));
        let after = match **step {
            Step::Precheck(_) => json!(Boot { boot_id: "first".into(), kernel: "6.12".into() }),
            _ => Value::Null,
        };
        let result = StepResult { changed: false, before: Value::Null, after, detail: String::new() };
        let head = serde_json::to_vec(&result).unwrap();
        let outcome = Outcome {
            exit_code: Some(i32::from(fails)),
            stdout: Captured { total: head.len() as u64, head, tail: Vec::new() },
            ..Outcome::default()
        };
        let state = if fails { JobState::Failed } else { JobState::Succeeded };
        JobUpdate { job: spec.id, state, outcome: Some(outcome) }
    }

    /// Everything that was told of maintenance.
    pub async fn told(&self) -> Vec<Recorded> {
        let mut connection = self.api.engine.store.read().await.unwrap();
        let all = event_list(&mut connection, EventNumber(0), 100_000).await.unwrap();
        all.into_iter().filter(|event| notice::is_notice(&event.kind)).collect()
    }

    /// Subscribes as somebody; the answer.
    pub async fn subscribe(&self, token: &str, body: &Value) -> Value {
        let made = self.of(token, "POST", "/v1/subscription", body).await.is(200);
        assert!(Uuid::try_parse(made["id"].as_str().unwrap()).is_ok(), "{made}");
        made
    }
}
