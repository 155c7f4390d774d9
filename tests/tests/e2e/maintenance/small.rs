//! Sessions over agents on this machine: what they order is done by programs.

use std::path::Path;

use hostler_tests::lab::{Agent, Manager};
use serde_json::{Value, json};

use super::session::{SOON, Session, script, upload};

/// The hosts, in the order in which they have their turn.
const HOSTS: [&str; 3] = ["one", "two", "three"];

/// A manager with three hosts, and a script that notes where it ran and fails where it is told to.
struct Fleet {
    manager: Manager,
    _agents: Vec<Agent>,
    dir: tempfile::TempDir,
}

impl Fleet {
    async fn start() -> Self {
        let manager = Manager::start().await.unwrap();
        let mut agents = Vec::new();
        for name in HOSTS {
            agents.push(Agent::start(&manager, name).await.unwrap());
        }
        let dir = tempfile::tempdir().unwrap();
        let work = "#!/bin/sh\necho \"$HOST $PLUGIN $TYPE $SESSION_ID\" >>\"$DIR/ran\"\n\
                    if [ -e \"$DIR/broken.$HOST\" ]; then echo \"it is broken\"; exit 1; fi\n";
        upload(&manager, "work", &work.replace("$DIR", &dir.path().display().to_string())).await;
        Self { manager, _agents: agents, dir }
    }

    async fn session(&self, more: Value) -> Session {
        let mut wanted = json!({ "hosts": HOSTS, "actions": [{ "plugin": "dummy", "type": "host" }, script("work")] });
        wanted.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Session::create(&self.manager, wanted).await
    }

    fn break_on(&self, host: &str) {
        std::fs::write(self.broken(host), "").unwrap();
    }

    fn mend(&self, host: &str) {
        std::fs::remove_file(self.broken(host)).unwrap();
    }

    fn broken(&self, host: &str) -> std::path::PathBuf {
        self.dir.path().join(format!("broken.{host}"))
    }

    /// On which hosts the script ran, one after the other.
    fn ran(&self) -> Vec<String> {
        read(&self.dir.path().join("ran")).lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    }

    /// Whether another session may have all hosts.
    async fn free(&self) {
        let other = self.session(json!({ "actions": [], "name": "afterwards" })).await;
        other.ends(&self.manager, SOON, "MAINTENANCE_DONE").await;
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn phases(detail: &Value) -> Vec<(&str, &str)> {
    let hosts = detail["hosts"].as_array().unwrap().iter();
    let mut all: Vec<_> =
        hosts.map(|host| (host["hostname"].as_str().unwrap(), host["phase"].as_str().unwrap())).collect();
    all.sort_by_key(|(name, _)| HOSTS.iter().position(|known| known == name));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_9_15_a_session_over_three_hosts_is_done() {
    let fleet = Fleet::start().await;
    let session = fleet.session(json!({ "name": "small" })).await;
    // While it has the hosts, nobody else gets them.
    let second = json!({ "hosts": ["two"], "maintenance_at": super::session::NOW });
    let refused = fleet.manager.call("POST", "/v1/maintenance", Some(second)).await.unwrap();
    assert_eq!((refused.status, &refused.body["hosts"]), (409, &json!(["two"])), "{refused:?}");

    let detail = session.ends(&fleet.manager, SOON, "MAINTENANCE_DONE").await;
    assert_eq!(detail["percent_done"], 100, "{detail}");
    let mut ran = fleet.ran();
    ran.sort();
    assert_eq!(ran, ["one", "three", "two"]);
    for host in HOSTS {
        let shown = session.host(&fleet.manager, host).await;
        assert_eq!(
            (&shown["phase"], &shown["maintained"], &shown["disabled"]),
            (&json!("done"), &json!(true), &json!(false))
        );
        let done = session.done(&fleet.manager, host).await;
        assert_eq!((done["dummy"], done["script"]), (1, 1), "{done:?}");
    }
    let line = read(&fleet.dir.path().join("ran"));
    assert!(line.lines().all(|line| line.ends_with(&format!(" script host {}", session.id))), "{line}");

    // Monitors of the fleet heard of each host twice, and progress only grew.
    let told = fleet.manager.events("maintenance.host").await.unwrap();
    for state in ["IN_MAINTENANCE", "MAINTENANCE_COMPLETE"] {
        assert_eq!(told.iter().filter(|event| event["data"]["state"] == state).count(), 3, "{told:?}");
    }
    let told = fleet.manager.events("maintenance.session").await.unwrap();
    let percent: Vec<u64> = told.iter().map(|event| event["data"]["percent_done"].as_u64().unwrap()).collect();
    assert!(percent.is_sorted() && percent.last() == Some(&100), "{percent:?}");
    assert_eq!(told.last().unwrap()["data"]["state"], "MAINTENANCE_DONE");
    fleet.free().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_9_11_a_failure_on_the_second_host_stops_and_goes_on() {
    let fleet = Fleet::start().await;
    fleet.break_on("two");
    let session = fleet.session(json!({})).await;
    let detail = session.ends(&fleet.manager, SOON, "MAINTENANCE_FAILED").await;
    assert_eq!((&detail["reason"]["host"], &detail["reason"]["plugin"]), (&json!("two"), &json!("script")), "{detail}");
    assert!(detail["reason"]["text"].as_str().unwrap().contains("it is broken"), "{detail}");
    let found = phases(&detail);
    assert_eq!(found[1], ("two", "failed"), "{found:?}");
    for (host, phase) in [found[0], found[2]] {
        assert!(matches!(phase, "done" | "pending"), "{found:?}");
        assert_eq!(session.host(&fleet.manager, host).await["disabled"], false, "{host} is in service");
    }
    assert_eq!(session.host(&fleet.manager, "two").await["disabled"], true);
    let before = fleet.ran();

    fleet.mend("two");
    let answer = session.update(&fleet.manager, json!({})).await;
    assert_ne!(answer["state"], "MAINTENANCE_FAILED", "{answer}");
    session.ends(&fleet.manager, SOON, "MAINTENANCE_DONE").await;
    let after = fleet.ran();
    assert_eq!(after[before.len()], "two", "{after:?}");
    for (host, times) in [("one", 1), ("two", 2), ("three", 1)] {
        assert_eq!(after.iter().filter(|ran| *ran == host).count(), times, "{host}: {before:?} {after:?}");
    }
    // What was done before the failure on the second host was not done again either.
    assert_eq!(session.done(&fleet.manager, "two").await["dummy"], 1);
    fleet.free().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_9_11_a_failure_on_the_second_host_is_skipped_or_overridden() {
    let fleet = Fleet::start().await;
    fleet.break_on("two");
    let session = fleet.session(json!({ "policy": { "on_fail": "skip", "max_failed_hosts": 1 } })).await;
    let detail = session.ends(&fleet.manager, SOON, "MAINTENANCE_DONE").await;
    assert_eq!(phases(&detail), [("one", "done"), ("two", "skipped"), ("three", "done")]);
    assert!(!detail["warnings"].as_array().unwrap().is_empty(), "{detail}");
    assert_eq!(session.host(&fleet.manager, "two").await["disabled"], false);

    let session = fleet.session(json!({ "policy": { "on_fail": "force" } })).await;
    let detail = session.ends(&fleet.manager, SOON, "MAINTENANCE_DONE").await;
    assert_eq!(phases(&detail), [("one", "done"), ("two", "done"), ("three", "done")]);
    assert!(detail["warnings"].to_string().contains("counts as done"), "{detail}");
    assert_eq!(fleet.ran().len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_session_gives_everything_back() {
    let fleet = Fleet::start().await;
    fleet.break_on("two");
    // One that failed; and one in the middle of its work.
    let failed = fleet.session(json!({})).await;
    failed.ends(&fleet.manager, SOON, "MAINTENANCE_FAILED").await;
    failed.delete(&fleet.manager).await;
    failed.unwound(&fleet.manager, SOON).await;
    fleet.free().await;

    let wait = json!({ "plugin": "wait", "type": "host", "metadata": { "seconds": 3600 } });
    let working = fleet.session(json!({ "actions": [wait] })).await;
    let at_work = |detail: &Value| detail["hosts"].as_array().unwrap().iter().any(|host| host["phase"] == "working");
    working.wait(&fleet.manager, SOON, "a host is at work", at_work).await;
    working.delete(&fleet.manager).await;
    working.unwound(&fleet.manager, SOON).await;
    let detail = working.detail(&fleet.manager).await;
    for host in detail["hosts"].as_array().unwrap() {
        assert_eq!(host["disabled"], false, "{detail}");
    }
    fleet.free().await;
}
