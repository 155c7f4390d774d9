//! Agents that do at once what they are told, a compute side in memory, and clients who answer over HTTP: whole sessions in
//! virtual time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hostler_common::id::{EventNumber, HostId};
use hostler_common::job::{Captured, JobSpec, JobState, JobUpdate, Outcome, Work};
use hostler_common::step::maintenance::Boot;
use hostler_common::step::{Step, StepResult};
use hostler_common::time::Clock as _;
use hostler_core::maintenance::instance::{Instance, InstanceState, Size};
use hostler_manager::engine::compute::Memory;
use hostler_manager::store::event::event_list;
use hostler_manager::store::job::job_all_open;
use serde_json::{Value, json};

use super::site::Site;

/// What a host has.
pub const ROOM: Size = Size { vcpus: 4, memory_mib: 8192, disk_gib: 100 };

/// What an instance takes: two fill a host.
pub const HALF: Size = Size { vcpus: 2, memory_mib: 2048, disk_gib: 10 };

/// The states that clients may ever see (spec/maintenance.md §2.1).
pub const STATES: [&str; 8] = [
    "MAINTENANCE",
    "SCALE_IN",
    "PREPARE_MAINTENANCE",
    "START_MAINTENANCE",
    "PLANNED_MAINTENANCE",
    "MAINTENANCE_COMPLETE",
    "MAINTENANCE_DONE",
    "MAINTENANCE_FAILED",
];

/// Somebody who is told of what is planned.
#[allow(async_fn_in_trait, reason = "the tests run on one thread")]
pub trait Client {
    /// The project for which the client listens.
    fn project(&self) -> &str;

    /// Takes a notification of the project.
    async fn told(&mut self, crew: &Crew, notice: &Value);
}

/// The site and its hosts.
pub struct Crew {
    pub site: Site,
    pub compute: Arc<Memory>,
    pub hosts: Vec<HostId>,
    /// The states that sessions told of, each once in a row.
    pub seen: Vec<String>,
    /// What projects were told, in the order in which they were.
    pub notices: Vec<Value>,
    last_event: EventNumber,
}

impl Crew {
    /// So many hosts called `kvm-a01` and so on, and static tokens.
    pub async fn new(hosts: usize, settings: &str) -> Self {
        Self::with_room(hosts, settings, ROOM).await
    }

    /// The same with hosts of that size.
    pub async fn with_room(hosts: usize, settings: &str, room: Size) -> Self {
        let compute = Arc::new(Memory::default());
        let settings = format!("{}{settings}", Site::guarded_settings());
        let site = Site::with_instances(&settings, Arc::clone(&compute)).await;
        let mut all = Vec::new();
        for n in 1..=hosts {
            let host = site.host(&format!("kvm-a{n:02}"), &["compute"]).await;
            compute.add_host(host, room);
            all.push(host);
        }
        Self { site, compute, hosts: all, seen: Vec::new(), notices: Vec::new(), last_event: EventNumber(0) }
    }

    /// An instance of a project that takes half a host.
    pub fn instance(&self, id: &str, project: &str, host: usize) {
        self.instance_with(id, project, host, |_| {});
    }

    /// The same, but for what is changed of it.
    pub fn instance_with(&self, id: &str, project: &str, host: usize, change: impl FnOnce(&mut Instance)) {
        let mut one = Instance {
            id: id.into(),
            name: format!("name of {id}"),
            project: project.into(),
            host: self.hosts[host],
            state: InstanceState::Active,
            size: HALF,
            can_live_migrate: true,
            needs: Vec::new(),
            group: None,
            busy: false,
        };
        change(&mut one);
        self.compute.put(one);
    }

    /// A session as an administrator's scenario makes it: the start 30 s ahead, no hosts named.
    pub async fn session(&self, more: Value) -> String {
        let at = self.site.clock.now().after(Duration::from_secs(30));
        let at = at.naive().chars().take(19).collect::<String>().replace('T', " ");
        let mut body = json!({
            "state": "MAINTENANCE", "maintenance_at": at, "metadata": {"openstack_version": "Rocky"},
            "workflow": "default", "hosts": [], "actions": [{"plugin": "dummy", "type": "host"}],
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = self.site.of("admin", "POST", "/v1/maintenance", &body).await.is(200);
        made["session_id"].as_str().unwrap().to_owned()
    }

    /// The state of a session as the clients that poll see it.
    pub async fn state(&self, id: &str) -> String {
        let shown = self.site.of("admin", "GET", &format!("/v1/maintenance/{id}"), &Value::Null).await.is(200);
        assert_eq!(shown.as_object().unwrap().len(), 2, "{shown}");
        shown["state"].as_str().unwrap().to_owned()
    }

    /// Everything that is shown of a session.
    pub async fn detail(&self, id: &str) -> Value {
        self.site.of("admin", "GET", &format!("/v1/maintenance/{id}/detail"), &Value::Null).await.is(200)
    }

    /// What happened since the last time: notifications of projects, in the order in which they were made.
    pub async fn news(&mut self) -> Vec<Value> {
        let mut connection = self.site.api.engine.store.read().await.unwrap();
        let events = event_list(&mut connection, self.last_event, 100_000).await.unwrap();
        drop(connection);
        self.last_event = events.last().map_or(self.last_event, |event| event.number);
        for state in events.iter().filter(|event| event.kind == "maintenance.session").map(|event| &event.data["state"])
        {
            let state = state.as_str().unwrap();
            if self.seen.last().is_none_or(|last| last != state) {
                self.seen.push(state.to_owned());
            }
        }
        let told = events.into_iter().filter(|event| event.kind == "maintenance.scheduled");
        let news: Vec<Value> = told.map(|event| event.data).collect();
        self.notices.extend(news.iter().cloned());
        news
    }

    /// Agents do what there is to do; says whether there was anything.
    async fn work(&self) -> bool {
        let engine = &self.site.api.engine;
        engine.perform_moves().await.unwrap();
        let open = job_all_open(&mut engine.store.read().await.unwrap()).await.unwrap();
        for job in &open {
            engine.job_update(job.spec.host, answer(&job.spec)).await.unwrap();
        }
        !open.is_empty()
    }

    /// Everybody does what there is to do; where nobody has anything, time passes until something is due.
    pub async fn step(&mut self, clients: &mut [impl Client]) {
        let next = self.site.api.engine.run_due().await.unwrap();
        let worked = self.work().await;
        let news = self.news().await;
        for notice in &news {
            for client in clients.iter_mut() {
                if notice["project_id"] == client.project() {
                    client.told(self, notice).await;
                }
            }
        }
        if worked || !news.is_empty() {
            return;
        }
        if let Some(next) = next {
            self.site.clock.advance(next.since(self.site.clock.now()));
        }
    }

    /// Goes on until the session is over, polling its state at each step.
    pub async fn finish(&mut self, id: &str, clients: &mut [impl Client]) -> String {
        for _ in 0..10_000 {
            self.step(clients).await;
            let state = self.state(id).await;
            assert!(STATES.contains(&state.as_str()), "{state}");
            if matches!(state.as_str(), "MAINTENANCE_DONE" | "MAINTENANCE_FAILED") {
                self.news().await;
                return state;
            }
        }
        panic!("it does not end: {}", self.detail(id).await);
    }

    /// What a project was told, by state.
    pub fn told(&self, project: &str) -> Vec<&str> {
        let own = self.notices.iter().filter(|notice| notice["project_id"] == project);
        own.map(|notice| notice["state"].as_str().unwrap()).collect()
    }

    /// That nothing stays behind of a session that is over: a new one over all hosts can begin.
    pub async fn free(&self) {
        let id = self.session(json!({})).await;
        self.site.of("admin", "DELETE", &format!("/v1/maintenance/{id}"), &Value::Null).await.is(200);
    }
}

/// What an agent says of a job.
fn answer(spec: &JobSpec) -> JobUpdate {
    let boot = || json!(Boot { boot_id: "first".into(), kernel: "6.12".into() });
    let after = match &spec.work {
        Work::Step(step) if matches!(**step, Step::Precheck(_)) => boot(),
        _ => Value::Null,
    };
    let result = StepResult { changed: false, before: Value::Null, after, detail: String::new() };
    let text = serde_json::to_vec(&result).unwrap();
    let stdout = Captured { total: text.len() as u64, head: text, tail: Vec::new() };
    let outcome = Outcome { exit_code: Some(0), stdout, ..Outcome::default() };
    JobUpdate { job: spec.id, state: JobState::Succeeded, outcome: Some(outcome) }
}

/// Nobody.
pub struct Nobody;

impl Client for Nobody {
    fn project(&self) -> &str {
        ""
    }

    async fn told(&mut self, _: &Crew, _: &Value) {}
}

/// The different values of a list of texts.
pub fn distinct(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
