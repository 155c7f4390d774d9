//! A thousand agents and one manager that is killed (spec/hooks.md §8, §13.10).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hostler_tests::lab::{Manager, until};
use hostler_tests::swarm::agent::Shared;
use hostler_tests::swarm::crew::{Crew, Muster};
use hostler_tests::swarm::document::Template;
use hostler_tests::swarm::rest::Rest;
use hostler_tests::swarm::rounds::{all_connected, all_ended};
use hostler_tests::swarm::scripts::{execute_with, servers};
use serde_json::{Value, json};

/// How many agents.
const AGENTS: u32 = 1000;

/// How long anything may take: builds of tests are slow.
const PATIENCE: Duration = Duration::from_secs(300);

/// A manager with all agents connected.
struct Fleet {
    manager: Manager,
    rest: Rest,
    shared: Arc<Shared>,
    crew: Crew,
    servers: Vec<i64>,
    _identities: tempfile::TempDir,
}

impl Fleet {
    async fn gather() -> Self {
        let manager = Manager::start().await.unwrap();
        let identities = tempfile::tempdir().unwrap();
        let shared = Arc::new(Shared::new(Template::generated(1), Duration::ZERO));
        let muster = Muster {
            manager: manager.agents.clone(),
            token: manager.join_token(json!({})).await.unwrap(),
            state_dir: identities.path().to_owned(),
            agents: AGENTS,
            at_once: 32,
        };
        let crew = Crew::muster(&muster, &shared).await.unwrap();
        let rest = Rest::new(&manager.url, manager.token()).unwrap();
        all_connected(&rest, AGENTS.into(), PATIENCE).await.unwrap();
        // A host that enrols is introspected at once.
        let first = all_ended(&rest, &crew.hosts, &HashMap::new(), PATIENCE).await.unwrap();
        assert_eq!(first.errors, [] as [String; 0]);
        let servers = servers(&rest).await.unwrap();
        assert_eq!(servers.len(), AGENTS as usize);
        Self { manager, rest, shared, crew, servers, _identities: identities }
    }

    /// Waits for the end of a task.
    async fn done(&self, task: i64) -> Value {
        let path = format!("/api/tasks/{task}");
        until(PATIENCE, "the task ends", async || Ok(self.rest.get(&path).await?["done"] == true)).await.unwrap();
        self.rest.get(&path).await.unwrap()
    }
}

/// How many servers of a task are in that state.
fn count(task: &Value, state: &str) -> usize {
    task["result"]["servers"].as_array().unwrap().iter().filter(|server| server["state"] == state).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_13_10_a_thousand_agents_stop_at_the_sixth_failure_and_survive_their_manager() {
    let mut fleet = Fleet::gather().await;
    too_many_failures(&fleet).await;
    the_manager_is_killed(&mut fleet).await;
    fleet.crew.dismiss().await;
}

async fn too_many_failures(fleet: &Fleet) {
    fleet.shared.exit_code.store(3, Ordering::Relaxed);
    fleet.shared.script_ms.store(500, Ordering::Relaxed);
    let before = fleet.shared.scripts.load(Ordering::Relaxed);
    let order = json!({ "maxConcurrency": 50, "maxErrors": 5 });
    let task = execute_with(&fleet.rest, &fleet.servers, order).await.unwrap();
    let mut lists = Vec::new();
    for _ in 0..20 {
        let begun = Instant::now();
        fleet.rest.get("/api/tasks").await.unwrap();
        lists.push(begun.elapsed());
    }
    let task = fleet.done(task).await;
    let begun = usize::try_from(fleet.shared.scripts.load(Ordering::Relaxed) - before).unwrap();
    assert_eq!((&task["state"], &task["statusCode"]), (&json!("FAILED"), &json!(3)));
    // Five failures let five others begin; the sixth none.
    assert!((50..=55).contains(&begun), "{begun} began");
    assert_eq!((count(&task, "failed"), count(&task, "skipped")), (begun, fleet.servers.len() - begun));
    assert_eq!(task["progress"]["complete"], AGENTS);
    // What the specification asks for; half of them, as the machine may be busy with other tests.
    lists.sort_unstable();
    assert!(lists[lists.len() / 2] < Duration::from_millis(200), "{lists:?}");
}

async fn the_manager_is_killed(fleet: &mut Fleet) {
    fleet.shared.exit_code.store(0, Ordering::Relaxed);
    fleet.shared.script_ms.store(4000, Ordering::Relaxed);
    let begun = || fleet.shared.scripts.load(Ordering::Relaxed);
    let before = begun();
    let order = json!({ "maxConcurrency": "100%" });
    let task = execute_with(&fleet.rest, &fleet.servers, order).await.unwrap();
    let agents = u64::from(AGENTS);
    until(PATIENCE, "a part of them runs", async || Ok(begun() - before >= 200)).await.unwrap();
    fleet.manager.kill().unwrap();
    // Meanwhile scripts end, and nobody hears of it.
    tokio::time::sleep(Duration::from_secs(5)).await;
    fleet.manager.restart().await.unwrap();
    let task = fleet.done(task).await;
    assert_eq!((&task["state"], &task["statusCode"]), (&json!("FINISHED"), &json!(0)), "{}", task["progress"]);
    assert_eq!(count(&task, "ok"), AGENTS as usize);
    assert_eq!(fleet.shared.scripts.load(Ordering::Relaxed) - before, agents, "each ran once");
    let events = fleet.manager.events("run.finished").await.unwrap();
    assert_eq!(events.len(), 2, "one for each run: {events:?}");
}
