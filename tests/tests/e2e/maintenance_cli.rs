//! Maintenance from the command line, with a real manager and two real agents (spec/maintenance.md §1.6, §5).

use std::path::Path;

use hostler_tests::lab::{Agent, Manager, until};
use serde_json::{Value, json};

use super::cli::Cli;
use super::site::SOON;

/// A script that ends well on a host only if a file of the host's name is in the folder that its argument names, and that
/// waits there while a file with `.wait` at its end is.
const CAREFUL: &str = "#!/bin/sh\necho \"here is $HOST\"\necho x >>\"$1/$HOST.ran\"\n\
                       while [ -e \"$1/$HOST.wait\" ]; do sleep 0.1; done\n\
                       [ -e \"$1/$HOST\" ] || { echo \"$HOST is not ready\" >&2; exit 3; }\n";

/// Two hosts, and a folder that says what the script does on them.
struct Fleet {
    manager: Manager,
    _agents: [Agent; 2],
    folder: tempfile::TempDir,
}

impl Fleet {
    async fn start() -> Self {
        let manager = Manager::start().await.unwrap();
        let agents = [Agent::start(&manager, "one").await.unwrap(), Agent::start(&manager, "two").await.unwrap()];
        for name in ["one", "two"] {
            manager.host_is(name, "online").await.unwrap();
        }
        let fleet = Self { manager, _agents: agents, folder: tempfile::tempdir().unwrap() };
        let file = fleet.path("careful.sh");
        std::fs::write(&file, CAREFUL).unwrap();
        fleet.cli().says(&["script", "add", file.to_str().unwrap(), "--name", "careful.sh"]);
        fleet
    }

    fn cli(&self) -> Cli<'_> {
        Cli(&self.manager)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str) {
        std::fs::write(self.path(name), "").unwrap();
    }

    fn take(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    /// How often the script began on a host.
    fn ran(&self, host: &str) -> usize {
        lines(&self.path(&format!("{host}.ran")))
    }

    /// Begins a session over both hosts that runs the script; its id.
    fn begin(&self, name: &str, more: &[&str]) -> String {
        let folder = self.folder.path().to_str().unwrap();
        let told = format!("{{\"script\": \"careful.sh\", \"args\": [\"{folder}\"]}}");
        let file = self.path("request.yaml");
        // Whoever runs these tests may have guests of their own on this machine.
        let rules = "policy: {compute_mode: ignore}\n";
        let body =
            format!("{rules}hosts: [one, two]\nactions:\n  - {{plugin: script, type: host, metadata: {told}}}\n");
        std::fs::write(&file, body).unwrap();
        let words = ["maintenance", "start", "-f", file.to_str().unwrap(), "--name", name];
        self.cli().json(&[&words, more].concat())["id"].as_str().unwrap().to_owned()
    }

    fn now(&self, session: &str) -> Value {
        self.cli().json(&["maintenance", "show", session])
    }

    /// The phase of a host in a session.
    fn phase(&self, session: &str, host: &str) -> String {
        let now = self.now(session);
        let hosts = now["allHosts"].as_array().unwrap();
        let found = hosts.iter().find(|row| row["hostname"] == host);
        found.unwrap()["phase"].as_str().unwrap().to_owned()
    }

    async fn until(&self, what: &str, done: impl Fn() -> bool) {
        let ended = until(SOON, what, async || {
            tokio::task::yield_now().await;
            Ok(done())
        });
        assert!(ended.await.is_ok(), "{what}\n{}", self.manager.daemon().log());
    }
}

fn lines(file: &Path) -> usize {
    std::fs::read_to_string(file).unwrap_or_default().lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn spec_9_11_a_failed_host_stops_the_session_and_a_retry_ends_it() {
    let fleet = Fleet::start().await;
    let cli = fleet.cli();
    let plan = cli.says(&["maintenance", "plan", "one", "two", "--script", "careful.sh", "--plugin", "dummy"]);
    for part in ["2 hosts, one after the other", "dummy, then script careful.sh", "one host at a time is asked for"] {
        assert!(plan.contains(part), "{part:?} is not in\n{plan}");
    }
    assert!(cli.json(&["maintenance", "list"]).as_array().unwrap().is_empty(), "a plan makes nothing");

    fleet.put("two");
    let id = fleet.begin("spring", &["--plugin", "dummy"]);
    let watched = cli.output(&["maintenance", "watch", "spring"]);
    let (told, complaint) = (String::from_utf8(watched.stdout).unwrap(), String::from_utf8(watched.stderr).unwrap());
    assert_eq!(watched.status.code(), Some(1), "{told}{complaint}");
    assert!(complaint.contains("exit code 3") && complaint.contains("failed: one"), "{complaint}");
    assert!(complaint.contains("retry spring"), "{complaint}");
    assert!(told.contains("waits for its start") && told.contains("host one: failed"), "{told}");
    assert_eq!((fleet.phase(&id, "one").as_str(), fleet.phase(&id, "two").as_str()), ("failed", "pending"));
    assert_eq!((fleet.ran("one"), fleet.ran("two")), (1, 0), "no other host begins");
    let history = cli.says(&["maintenance", "history", "spring", "--with-output"]);
    assert!(history.contains("| here is one") && history.contains("| one is not ready"), "{history}");

    fleet.put("one");
    cli.says(&["maintenance", "retry", "spring"]);
    cli.says(&["maintenance", "watch", &id[..8]]);
    let now = fleet.now(&id);
    assert_eq!((&now["state"], &now["percent"]), (&json!("MAINTENANCE_DONE"), &json!(100)), "{now}");
    assert_eq!((fleet.ran("one"), fleet.ran("two")), (2, 1));
    let steps = cli.json(&["maintenance", "history", &id, "--host", "one"]);
    let done = |name: &str| {
        let fits = |step: &&Value| step["name"] == name && step["state"] == "DONE";
        steps.as_array().unwrap().iter().filter(fits).count()
    };
    assert_eq!((done("dummy"), done("script")), (1, 1), "what was done is not repeated: {steps}");

    cli.says(&["maintenance", "delete", "spring"]);
    assert!(cli.json(&["maintenance", "list"]).as_array().unwrap().is_empty());
    assert_eq!(cli.json(&["maintenance", "list", "--deleted"])[0]["id"], json!(id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_approved_paused_and_goes_on_without_a_host() {
    let fleet = Fleet::start().await;
    let cli = fleet.cli();
    for name in ["one", "one.wait"] {
        fleet.put(name);
    }
    let id = fleet.begin("autumn", &["--require-approval"]);
    let watched = cli.output(&["maintenance", "watch", "--timeout", "1s"]);
    assert_eq!(watched.status.code(), Some(9), "{watched:?}");
    let told = String::from_utf8(watched.stdout).unwrap();
    assert!(told.contains("somebody to approve") && told.contains("maintenance approve autumn"), "{told}");
    cli.says(&["maintenance", "approve", "autumn"]);
    let (code, complaint) = cli.fails(&["maintenance", "approve", "none"]);
    assert_eq!(code, Some(4), "{complaint}");

    fleet.until("the script runs", || fleet.ran("one") == 1).await;
    fleet
        .until("it is seen", || {
            let now = fleet.now(&id);
            now["hosts"][0]["doing"]["text"] == "runs the script careful.sh"
                && now["hosts"][0]["doing"]["until"].is_string()
        })
        .await;
    let now = cli.says(&["maintenance", "show", "autumn"]);
    assert!(now.contains("At work") && now.contains("runs the script careful.sh"), "{now}");
    let (code, complaint) = cli.fails(&["maintenance", "start", "one", "--plugin", "dummy"]);
    assert_eq!(code, Some(5), "{complaint}");
    assert!(complaint.contains("in another session already: one"), "{complaint}");

    cli.says(&["maintenance", "pause", "autumn"]);
    fleet.take("one.wait");
    let steps = || cli.json(&["maintenance", "history", &id, "--state", "RUNNING"]);
    fleet.until("the step in flight ends", || steps().as_array().unwrap().is_empty()).await;
    let now = fleet.now(&id);
    assert_eq!((&now["paused"], &now["phase"]), (&json!(true), &json!("paused")), "{now}");
    assert_eq!(now["waits"][0]["for"], "resume", "{now}");
    cli.says(&["maintenance", "resume", "autumn"]);
    let (code, complaint) = cli.fails(&["maintenance", "watch", "autumn"]);
    assert_eq!(code, Some(1), "the other host is not ready: {complaint}");
    cli.says(&["maintenance", "skip", "autumn", "two"]);
    cli.says(&["maintenance", "resume", "autumn"]);
    cli.says(&["maintenance", "watch", "autumn"]);
    assert_eq!((fleet.phase(&id, "one").as_str(), fleet.phase(&id, "two").as_str()), ("done", "skipped"));
    assert_eq!(fleet.now(&id)["state"], "MAINTENANCE_DONE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_aborted_and_deleted_gives_its_hosts_back() {
    let fleet = Fleet::start().await;
    let cli = fleet.cli();
    for name in ["one", "one.wait", "two", "two.wait"] {
        fleet.put(name);
    }
    let id = fleet.begin("winter", &["--parallel", "2"]);
    fleet.until("the script runs on both", || fleet.ran("one") + fleet.ran("two") == 2).await;
    cli.says(&["maintenance", "abort", "winter"]);
    for name in ["one.wait", "two.wait"] {
        fleet.take(name);
    }
    let (code, complaint) = cli.fails(&["maintenance", "watch", "winter"]);
    assert_eq!(code, Some(1), "{complaint}");
    assert!(complaint.contains("ended by token:lab"), "{complaint}");
    assert_eq!((fleet.phase(&id, "one").as_str(), fleet.phase(&id, "two").as_str()), ("done", "done"), "they finish");
    cli.says(&["maintenance", "delete", "winter"]);
    fleet.until("it is unwound", || fleet.now(&id)["phase"] == "over").await;
    assert_ne!(fleet.begin("winter", &[]), id, "the hosts are free again");
    cli.says(&["maintenance", "watch", "winter"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn plug_ins_and_constraints_are_kept_and_what_is_wrong_is_said_before_anything_begins() {
    let fleet = Fleet::start().await;
    let cli = fleet.cli();
    let file = fleet.path("manifest.yaml");
    let schema = "params: {type: object, required: [folder], properties: {folder: {type: string}}}\n";
    std::fs::write(&file, format!("description: Says hello\ntypes: [host]\n{schema}")).unwrap();
    let add = ["maintenance", "plugin", "add", "hello", "--script", "careful.sh", "--manifest", file.to_str().unwrap()];
    cli.says(&add);
    let shown = cli.says(&["maintenance", "plugin", "show", "hello"]);
    assert!(shown.contains("Says hello") && shown.contains("careful.sh") && shown.contains("folder"), "{shown}");
    assert!(cli.says(&["maintenance", "plugin", "list"]).contains("built in"));
    for (words, code, said) in [
        (&["--plugin", "hello"][..], 7, "metadata.folder is missing"),
        (&["--plugin", "hello@pre:folder=x"], 7, "none of type pre"),
        (&["--plugin", "wait:seconds=soon"], 7, "metadata.seconds must be of type integer"),
        (&["--plugin", "firmwear"], 7, "there is no plug-in"),
        (&["--script", "none.sh"], 7, "the library has no script \"none.sh\""),
        (&["--policy", "on_fial=stop"], 7, "policy.on_fial"),
        (&["--policy", "step_timeout=-1"], 7, "policy.step_timeout"),
        (&["--window", "22:00-04:00 Europe/Atlantis"], 7, "policy.window.timezone"),
        (&["three"], 4, "there is no host three"),
    ] {
        for verb in ["plan", "start"] {
            let (found, complaint) = cli.fails(&[&["maintenance", verb, "one"], words].concat());
            assert_eq!(found, Some(code), "{verb} {words:?}: {complaint}");
            assert!(complaint.contains(said), "{verb} {words:?}: {complaint}");
        }
    }
    let (code, complaint) = cli.fails(&["maintenance", "start", "--plugin", "dummy"]);
    assert_eq!(code, Some(2), "{complaint}");
    assert!(cli.json(&["maintenance", "list"]).as_array().unwrap().is_empty(), "nothing was begun");

    fleet.put("one");
    let begun = cli.json(&["maintenance", "start", "one", "--plugin", "hello:folder=x", "--at", "+1h"]);
    let id = begun["id"].as_str().unwrap();
    let (code, complaint) = cli.fails(&["maintenance", "plugin", "rm", "hello"]);
    assert_eq!(code, Some(5), "{complaint}");
    cli.says(&["maintenance", "delete", id]);
    fleet.until("it is unwound", || fleet.now(id)["phase"] == "over").await;
    cli.says(&["maintenance", "plugin", "rm", "hello"]);
    let (code, _) = cli.fails(&["maintenance", "plugin", "show", "hello"]);
    assert_eq!(code, Some(4));
    assert!(!fleet.manager.events("maintenance.plugin.removed").await.unwrap().is_empty());

    let group = "0b1b2b3b-0000-4000-8000-000000000001";
    let project = "project_id=11112222333344445555666677778888";
    cli.says(&["maintenance", "constraint", "set", "group", group, project, "max_impacted_members=1"]);
    cli.says(&["maintenance", "constraint", "set", "instance", "i-1", project, "lead_time=30"]);
    let all = cli.says(&["maintenance", "constraint", "list"]);
    assert!(all.contains("30 s notice") && all.contains("at most 1 impacted at once"), "{all}");
    cli.says(&["maintenance", "constraint", "rm", "instance", "i-1"]);
    assert!(!cli.says(&["maintenance", "constraint", "list"]).contains("i-1"));
}
