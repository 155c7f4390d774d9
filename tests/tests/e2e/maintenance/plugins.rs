//! Plug-ins of operators on a real host: what they do to themselves, and what is made of it (spec/maintenance.md §5.3).

use hostler_tests::hosts::{Host, Lab, Options};
use hostler_tests::lab::{self, Manager};
use serde_json::{Value, json};

use super::session::{SOON, Session, upload};

/// A manager and a host.
struct Site<'a> {
    manager: Manager,
    host: Host<'a>,
}

impl<'a> Site<'a> {
    async fn start(lab: &'a Lab) -> Self {
        let manager = lab.start_manager(lab::Options::default()).await.unwrap();
        let host = lab.host("one", Options::default()).unwrap();
        host.enlist(&manager).await.unwrap();
        Self { manager, host }
    }

    /// Makes a plug-in of a script.
    async fn plugin(&self, name: &str, contents: &str, manifest: Value) {
        upload(&self.manager, name, contents).await;
        let body = json!({ "script": name, "manifest": manifest });
        let answer = self.manager.call("PUT", &format!("/api/maintenance/plugins/{name}"), Some(body)).await.unwrap();
        assert!(answer.status < 300, "{answer:?}");
    }

    /// A session that runs it on the host.
    async fn session(&self, plugin: &str, metadata: Value) -> Session {
        let action = json!({ "plugin": plugin, "type": "host", "metadata": metadata });
        Session::create(
            &self.manager,
            json!({ "hosts": ["one"], "actions": [action], "policy": { "compute_mode": "strict" } }),
        )
        .await
    }

    /// What history has of the plug-in.
    async fn step(&self, session: &Session, plugin: &str) -> Value {
        let steps = session.steps(&self.manager).await;
        steps.into_iter().rfind(|step| step["name"] == plugin).unwrap_or_else(|| panic!("{plugin} did not run"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_9_17_plug_ins_that_succeed_skip_reboot_and_talk_much() {
    let Some(lab) = Lab::start().unwrap() else { return };
    let site = Site::start(&lab).await;
    let tell = "#!/bin/sh\n(cat; echo) >/var/log/told\nenv | sort >>/var/log/told\n\
                echo '{\"state\": \"DONE\", \"changed\": true, \"facts\": {\"bundle\": 7}}'\n";
    let schema = json!({ "type": "object", "required": ["bundle"], "properties": { "bundle": { "type": "string" } } });
    site.plugin("tell", tell, json!({ "params": schema, "types": ["host"] })).await;
    // What its manifest does not allow is refused before anything happens.
    let wrong = json!({ "plugin": "tell", "type": "host", "metadata": { "bundle": 7 } });
    let body = json!({ "hosts": ["one"], "maintenance_at": super::session::NOW, "actions": [wrong] });
    let refused = site.manager.call("POST", "/v1/maintenance", Some(body)).await.unwrap();
    assert_eq!(refused.status, 422, "{refused:?}");
    let session = site.session("tell", json!({ "bundle": "fw-7" })).await;
    session.ends(&site.manager, SOON, "MAINTENANCE_DONE").await;
    let step = site.step(&session, "tell").await;
    assert_eq!((&step["state"], &step["result"]["facts"]), (&json!("DONE"), &json!({ "bundle": 7 })), "{step}");
    let told = site.host.read("/var/log/told").unwrap();
    let id = &session.id;
    for line in [format!("SESSION_ID={id}"), "HOST=one".into(), "PLUGIN=tell".into(), "TYPE=host".into()] {
        assert!(told.lines().any(|told| told == line), "{line}: {told}");
    }
    let input: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    assert_eq!((&input["metadata"]["bundle"], &input["session_id"]), (&json!("fw-7"), &json!(id)), "{input}");

    site.plugin("skip", "#!/bin/sh\nexit 77\n", json!({})).await;
    let session = site.session("skip", json!({})).await;
    session.ends(&site.manager, SOON, "MAINTENANCE_DONE").await;
    assert_eq!(site.step(&session, "skip").await["state"], "SKIPPED");

    let boot = site.host.boot_id().unwrap();
    site.plugin("again", "#!/bin/sh\necho it >>/var/log/again\nexit 194\n", json!({ "reboot": "may" })).await;
    let session = site.session("again", json!({})).await;
    session.ends(&site.manager, SOON, "MAINTENANCE_DONE").await;
    assert_eq!(site.step(&session, "again").await["state"], "DONE");
    assert_ne!(site.host.boot_id().unwrap(), boot, "it did not boot: {}", session.told(&site.manager).await);
    assert_eq!(site.host.read("/var/log/again").unwrap(), "it\n");

    let loud = "#!/bin/sh\necho begins\nhead -c 10485760 /dev/zero | tr '\\0' x\necho\necho ends here\nexit 3\n";
    site.plugin("loud", loud, json!({})).await;
    let session = site.session("loud", json!({})).await;
    let detail = session.ends(&site.manager, SOON, "MAINTENANCE_FAILED").await;
    assert!(detail["reason"]["text"].as_str().unwrap().ends_with("ends here"), "{}", detail["reason"]);
    let step = site.step(&session, "loud").await;
    let output = step["result"]["output"].as_str().unwrap();
    assert_eq!((&step["state"], &step["result"]["exit_code"]), (&json!("FAILED"), &json!(3)));
    assert!(output.len() <= 64 << 10 && output.ends_with("ends here\n"), "{} bytes", output.len());
    session.delete(&site.manager).await;
    session.unwound(&site.manager, SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_9_17_plug_ins_that_hang_and_fork_end_with_all_they_began() {
    let Some(lab) = Lab::start().unwrap() else { return };
    let site = Site::start(&lab).await;
    // One that hangs, and whose children do not mind being asked to end.
    let hang = "#!/bin/sh\ntrap '' TERM\n(trap '' TERM; exec -a of-the-plug-in sleep 1000) &\n\
                setsid sh -c 'trap \"\" TERM; sleep 1001' &\nwait\nsleep 1002\n";
    site.plugin("hang", &hang.replace("exec -a of-the-plug-in ", "exec "), json!({ "timeout_s": 3 })).await;
    let session = site.session("hang", json!({})).await;
    let detail = session.ends(&site.manager, SOON, "MAINTENANCE_FAILED").await;
    assert_eq!(detail["reason"]["plugin"], "hang", "{detail}");
    let left = site.host.output(&["pgrep", "-fa", "sleep 100[0-2]"]).unwrap();
    assert!(!left.status.success(), "left behind: {}", String::from_utf8_lossy(&left.stdout));
    // A host that failed is accepted as it is.
    session.update(&site.manager, json!({ "skip_hosts": ["one"] })).await;
    session
        .wait(&site.manager, SOON, "the host is given back", |detail| detail["hosts"][0]["phase"] == "skipped")
        .await;
    assert_eq!(session.host(&site.manager, "one").await["disabled"], false);
    session.delete(&site.manager).await;
    session.unwound(&site.manager, SOON).await;

    // One that ends while its children go on: they end with it.
    site.plugin("fork", "#!/bin/sh\nsetsid sleep 1003 >/dev/null 2>&1 &\nexit 0\n", json!({})).await;
    let session = site.session("fork", json!({})).await;
    session.ends(&site.manager, SOON, "MAINTENANCE_DONE").await;
    let left = site.host.output(&["pgrep", "-fa", "sleep 1003"]).unwrap();
    assert!(!left.status.success(), "left behind: {}", String::from_utf8_lossy(&left.stdout));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_9_17_a_plug_in_that_boots_its_host_by_itself_does_not_run_twice_unasked() {
    let Some(lab) = Lab::start().unwrap() else { return };
    let site = Site::start(&lab).await;
    let boots = "#!/bin/sh\necho it >>/var/log/boots\nsync\nsystemctl reboot\nsleep 100\n";
    site.plugin("boots", boots, json!({ "reboot": "may" })).await;
    let boot = site.host.boot_id().unwrap();
    let session = site.session("boots", json!({})).await;
    // Nobody knows how far it came: somebody has to decide.
    let rests = |detail: &Value| detail["paused"] == true || detail["state"] == "MAINTENANCE_FAILED";
    let detail = session.wait(&site.manager, SOON, "the session rests", rests).await;
    assert_ne!(site.host.boot_id().unwrap(), boot);
    assert_eq!(site.host.read("/var/log/boots").unwrap(), "it\n", "{detail}");
    let mut order = json!({ "skip_hosts": ["one"] });
    if detail["paused"] == true {
        order["paused"] = json!(false);
    }
    session.update(&site.manager, order).await;
    let given = |detail: &Value| detail["hosts"][0]["phase"] == "skipped";
    session.wait(&site.manager, SOON, "the host is given back", given).await;
    assert_eq!(site.host.read("/var/log/boots").unwrap(), "it\n", "it ran once more");
    session.delete(&site.manager).await;
    session.unwound(&site.manager, SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_on_which_a_guest_runs_is_left_as_it_is() {
    let Some(lab) = Lab::start().unwrap() else { return };
    let site = Site::start(&lab).await;
    site.plugin("note", "#!/bin/sh\necho it >>/var/log/noted\n", json!({})).await;
    // Nobody told the manager of it; the host's agent sees its process.
    let guest = "exec -a qemu-system-x86_64 sh -c 'sleep 900; true' -name guest=web-1,debug-threads=on -uuid 3f7a2b60";
    site.host.exec(&["systemd-run", "--unit=guest", "bash", "-c", guest]).unwrap();
    let session = site.session("note", json!({})).await;
    let detail = session.ends(&site.manager, SOON, "MAINTENANCE_FAILED").await;
    let reason = &detail["reason"];
    assert_eq!(reason["code"], "host.occupied", "{detail}");
    let why =
        "guests run here: web-1 (3f7a2b60); move them away, or leave them there with the rule compute_mode=ignore";
    assert_eq!(reason["text"], why);
    assert!(site.host.read("/var/log/noted").is_err(), "a plug-in ran beside a guest");
    // It left: where it failed, the session goes on.
    site.host.exec(&["systemctl", "stop", "guest"]).unwrap();
    session.update(&site.manager, json!({})).await;
    session.ends(&site.manager, SOON, "MAINTENANCE_DONE").await;
    assert_eq!(site.host.read("/var/log/noted").unwrap(), "it\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_9_18_files_that_are_not_what_they_should_be_go_nowhere() {
    let Some(lab) = Lab::start().unwrap() else { return };
    let site = Site::start(&lab).await;
    let digest = "9f".repeat(32);
    for (path, word) in [
        ("/etc/passwd", "does not allow files at"),
        ("/var/lib/hostler-agent/files/../../../../etc/passwd", "does not allow files at"),
        ("/var/lib/hostler-agent/files/unknown", "artifact"),
    ] {
        let before = site.host.read("/etc/passwd").unwrap();
        let session = site.session("fetch", json!({ "sha256": digest, "size": 5, "path": path })).await;
        let detail = session.ends(&site.manager, SOON, "MAINTENANCE_FAILED").await;
        assert!(detail["reason"]["text"].as_str().unwrap().contains(word), "{path}: {}", detail["reason"]);
        assert_eq!(site.host.read("/etc/passwd").unwrap(), before);
        session.delete(&site.manager).await;
        session.unwound(&site.manager, SOON).await;
    }
}
