//! Scripts on a real host, run and watched through the croit dialect (spec/hooks.md §9, §10, §13).

use std::time::Duration;

use hostler_tests::lab::until;
use serde_json::json;

use super::site::{SOON, Site};

/// A script that adds a line to the file that its argument names, waits until another file is there, and ends with 0.
const WAIT: &str =
    "#!/bin/sh\necho started\necho x >>\"$1\"\nwhile [ ! -e \"$1.go\" ]; do sleep 0.1; done\necho ended\n";

/// Lets a script of [`WAIT`] go on.
fn release(file: &std::path::Path) {
    std::fs::write(file.with_extension("go"), "").unwrap();
}

/// How often a script of [`WAIT`] was started.
fn starts(file: &std::path::Path) -> usize {
    std::fs::read_to_string(file).unwrap_or_default().lines().count()
}

/// Runs a script of [`WAIT`]: the file that it writes to, and its task, when it has begun.
async fn waiting(site: &Site, folder: &std::path::Path) -> (std::path::PathBuf, i64) {
    let file = folder.join("starts");
    let script = site.script("wait", WAIT).await;
    let id = site.execute(script, &[file.to_str().unwrap()]).await;
    until(SOON, "it runs", async || Ok(starts(&file) == 1)).await.unwrap();
    (file, id)
}

#[tokio::test]
async fn spec_13_8_arguments_arrive_as_they_are() {
    let site = Site::start("").await;
    let script = site.script("hex", "#!/bin/sh\nfor a in \"$@\"; do printf %s \"$a\" | sha256sum; done\n").await;
    let long = "x".repeat(16 << 10);
    let args = [
        "two words",
        "'single' \"double\"",
        "$(touch /tmp/never) `id` ${HOME}",
        "a\nb\\n\tc",
        "",
        "*",
        "é\u{1f600}",
        &long,
    ];
    let task = site.done(site.execute(script, &args).await).await;
    assert_eq!((&task["state"], &task["statusCode"]), (&json!("FINISHED"), &json!(0)), "{task}");
    let wanted: String =
        args.iter().map(|arg| format!("{}  -\n", hex::encode(<sha2::Sha256 as sha2::Digest>::digest(arg)))).collect();
    assert_eq!(task["output"], json!(wanted));
    let server = &task["result"]["servers"][0];
    assert_eq!((&server["id"], &server["name"]), (&json!(site.number), &json!("node")), "{task}");
    assert_eq!(
        (&server["state"], &server["exitCode"], &server["error"]),
        (&json!("ok"), &json!(0), &json!(null)),
        "{task}"
    );
    assert_eq!(server["outputBytes"], json!(wanted.len()), "{task}");
    assert_eq!(task["progress"], json!({ "complete": 1, "total": 1 }));
    assert_eq!(task["startedBy"], "token:lab");
}

#[tokio::test]
async fn spec_9_a_failure_gives_its_exit_code() {
    let site = Site::start("").await;
    let script = site.script("fail", "#!/bin/sh\necho out\necho err >&2\nexit 7\n").await;
    let task = site.done(site.execute(script, &[]).await).await;
    assert_eq!((&task["state"], &task["statusCode"]), (&json!("FAILED"), &json!(7)), "{task}");
    // Two pipes: whoever reads them late cannot know which was written to first.
    let output = task["output"].as_str().unwrap();
    assert!(["out\nerr\n", "err\nout\n"].contains(&output), "{output:?}");
    assert_eq!(
        (&task["result"]["servers"][0]["state"], &task["result"]["servers"][0]["exitCode"]),
        (&json!("failed"), &json!(7))
    );

    let script = site.script("killed", "#!/bin/sh\nkill -KILL $$\n").await;
    let task = site.done(site.execute(script, &[]).await).await;
    assert_eq!((&task["state"], &task["statusCode"]), (&json!("FAILED"), &json!(137)), "{task}");
    assert_eq!(task["result"]["servers"][0]["signal"], 9, "{task}");

    let script = site.script("nowhere", "#!/no/such/interpreter\n").await;
    let task = site.done(site.execute(script, &[]).await).await;
    assert_eq!((&task["state"], &task["statusCode"]), (&json!("FAILED"), &json!(127)), "{task}");
}

#[tokio::test]
async fn spec_13_6_a_cancelled_script_is_gone_with_its_children() {
    let site = Site::start("").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let text = "#!/bin/bash\ntrap '' TERM\nsetsid sh -c 'trap \"\" TERM; echo $$ >>\"$0\"; sleep 999; sleep 999' \"$1\" &\n\
                echo $$ >>\"$1\"\nwhile :; do sleep 1; done\n";
    let script = site.script("stubborn", text).await;
    let id = site.execute(script, &[file.to_str().unwrap()]).await;
    until(SOON, "both run", async || Ok(starts(&file) == 2)).await.unwrap();
    let began = std::time::Instant::now();
    let answer = site.manager.call("POST", &format!("/api/tasks/{id}/cancel"), None).await.unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(site.manager.get(&format!("/api/tasks/{id}")).await.unwrap()["cancelled"], true);
    let task = site.done(id).await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!((&task["state"], &task["statusCode"]), (&json!("CANCELED"), &json!(-256)), "{task}");
    assert_eq!(task["result"]["servers"][0]["state"], "cancelled", "{task}");
    for pid in std::fs::read_to_string(&file).unwrap().lines() {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state} is left");
    }
    let again = site.manager.call("POST", &format!("/api/tasks/{id}/cancel"), None).await.unwrap();
    assert_eq!(again.status, 409, "{again:?}");
}

#[tokio::test]
async fn spec_9_a_script_goes_on_while_the_manager_is_away() {
    let mut site = Site::start("").await;
    let folder = tempfile::tempdir().unwrap();
    let (file, id) = waiting(&site, folder.path()).await;
    site.manager.kill().unwrap();
    release(&file);
    tokio::time::sleep(Duration::from_millis(500)).await;
    site.manager.restart().await.unwrap();
    let task = site.done(id).await;
    assert_eq!((&task["state"], &task["output"]), (&json!("FINISHED"), &json!("started\nended\n")), "{task}");
    assert_eq!((starts(&file), &task["progress"]["complete"]), (1, &json!(1)));
}

#[tokio::test]
async fn spec_13_9_a_script_outlives_its_agent_and_runs_once() {
    let mut site = Site::start("").await;
    let folder = tempfile::tempdir().unwrap();
    let (file, id) = waiting(&site, folder.path()).await;
    site.agent.kill().unwrap();
    site.manager.host_is("node", "offline").await.unwrap();
    let task = site.manager.get(&format!("/api/tasks/{id}")).await.unwrap();
    assert_eq!(task["done"], false, "{task}");
    site.agent.run().unwrap();
    site.manager.host_is("node", "online").await.unwrap();
    release(&file);
    let task = site.done(id).await;
    assert_eq!((&task["state"], &task["output"]), (&json!("FINISHED"), &json!("started\nended\n")), "{task}");
    assert_eq!(starts(&file), 1);
}
