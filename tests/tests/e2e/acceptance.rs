//! What spec/hooks.md §13 asks of the whole: clients, Ceph clusters that change, and Ceph clusters that hang.

use std::time::Duration;

use hostler_tests::ceph::{self, Cluster};
use hostler_tests::lab::until;
use hostler_tests::mounted::Mounted;
use serde_json::{Value, json};

use super::site::{SOON, Site, TELL, arguments};

/// How long a change of a cluster's health may take to be told: it must hold for three looks at it.
const HEALTH: Duration = Duration::from_secs(90);

/// How long until a cluster that does not answer is told, with all that lies before.
const UNKNOWN: Duration = Duration::from_secs(180);

/// How long it is watched that nothing more is told: longer than anything is held back.
const QUIET: Duration = Duration::from_secs(25);

/// A site whose host reaches a cluster, when the manager has heard of that.
async fn site_of(cluster: &Cluster) -> Site {
    let site = Site::within("", &[("CEPH_CONF", cluster.conf().display().to_string())]).await;
    knows(&site).await;
    site
}

async fn knows(site: &Site) {
    let heard = async || Ok(site.manager.call("GET", "/api/maintenance/flags", None).await?.status == 200);
    until(HEALTH, "the manager hears of the cluster", heard).await.unwrap();
}

/// The calls that croit's client makes, against the real manager and a real agent.
#[tokio::test]
async fn spec_13_2_a_client_logs_in_runs_a_hook_script_and_polls_it_to_its_end() {
    let site = Site::start("").await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/api", site.manager.url);
    let login = http.post(format!("{url}/auth/login")).basic_auth("admin", Some("lab-password"));
    let login = login.header("Content-Type", "application/x-www-form-urlencoded").body("grant_type=client_credentials");
    let answer = login.send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["cache-control"]), (200, &"no-store".parse().unwrap()));
    let token: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(token["token_type"], "bearer");
    let bearer = token["access_token"].as_str().unwrap().to_owned();
    let call = async |method: &str, path: &str, body: Option<Value>| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = http.request(method, format!("{url}{path}")).bearer_auth(&bearer);
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        let answer = request.header("Accept", "application/json").send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        serde_json::from_slice::<Value>(&answer.bytes().await.unwrap()).unwrap()
    };
    let document = call("GET", "/swagger.json", None).await;
    assert!(document["paths"]["/events/scripts/execute"]["post"]["x-required-permissions"].is_array());
    assert_eq!(call("GET", "/auth/token-info", None).await["roles"], json!(["ADMIN", "VIEWER"]));
    let points = call("GET", "/events/hooks/hook-points", None).await;
    assert!(points.as_array().unwrap().iter().any(|point| point["name"] == "OnHealthDegrade"), "{points}");
    let hooks = json!([{ "event": "OnHealthDegrade", "allServers": false, "serverIds": [] }]);
    let script = json!({ "name": "say", "contents": "#!/bin/sh\necho \"said $1\"\n", "hooks": hooks });
    let made = call("POST", "/events/hook-scripts", Some(script)).await;
    let order = json!({ "scriptId": made["id"], "args": ["it"], "servers": [site.number] });
    let task = call("POST", "/events/scripts/execute", Some(order)).await;
    assert_eq!(task["done"], false, "{task}");
    let path = format!("/tasks/{}", task["id"]);
    until(SOON, "the task is done", async || Ok(call("GET", &path, None).await["done"] == true)).await.unwrap();
    let ended = call("GET", &path, None).await;
    assert_eq!(
        (&ended["state"], &ended["statusCode"], &ended["output"], &ended["startedBy"]),
        (&json!("FINISHED"), &json!(0), &json!("said it\n"), &json!("user:admin")),
        "{ended}"
    );
}

/// The limits are measured in the tests of the agent; this is what clients see of them.
#[tokio::test]
async fn spec_13_7_long_binary_output_is_text_on_the_wire_with_its_beginning_and_its_end() {
    let site = Site::start("").await;
    let flood =
        "#!/bin/bash\nprintf 'BEGIN\\377\\376\\n'; head -c 4000000 /dev/zero | tr '\\0' '\\200'\nprintf '\\nEND\\n'\n";
    let task = site.done(site.execute(site.script("flood", flood).await, &[]).await).await;
    assert_eq!(task["state"], "FINISHED", "{}", task["result"]);
    let server = &task["result"]["servers"][0];
    assert_eq!((&server["outputBytes"], &server["truncated"]), (&json!(4_000_000 + 8 + 5), &json!(true)));
    let shown = task["output"].as_str().unwrap();
    assert!(shown.contains('\u{fffd}') && shown.ends_with("\nEND\n"), "{} characters", shown.chars().count());
    let pieces = format!("/api/tasks/{}/output?server={}&pieces=true", task["id"], site.number);
    let pieces = site.manager.get(&pieces).await.unwrap();
    let pieces = pieces["pieces"].as_array().unwrap();
    assert_eq!(pieces.iter().filter_map(|piece| piece["omitted"].as_u64()).sum::<u64>(), 4_000_013 - (1 << 20));
}

/// The table of §7.5 is played without a cluster in the tests of the core; this is the part of it that a real one shows.
#[tokio::test]
async fn spec_13_4_flags_degrade_the_health_once_and_a_restart_tells_nothing() {
    let Some(cluster) = Cluster::start(ceph::Options::default()).unwrap() else { return };
    let mut site = site_of(&cluster).await;
    let events = ["OnHealthDegrade", "OnHealthImprove", "OnHealthRecover"];
    for event in events {
        site.hook(event, TELL, json!({})).await;
    }
    cluster.ceph(&["osd", "set", "noout"]).unwrap();
    site.fired("OnHealthDegrade", 1, HEALTH).await;
    cluster.ceph(&["osd", "set", "norebalance"]).unwrap();
    tokio::time::sleep(QUIET).await;
    site.manager.kill().unwrap();
    site.manager.restart().await.unwrap();
    knows(&site).await;
    tokio::time::sleep(QUIET).await;
    let counts = async || {
        let mut counts = Vec::new();
        for event in events {
            counts.push(site.tasks_of(event).await.len());
        }
        counts
    };
    assert_eq!(counts().await, [1, 0, 0], "neither a second flag nor a restart is news");
    for flag in ["noout", "norebalance"] {
        cluster.ceph(&["osd", "unset", flag]).unwrap();
    }
    let task = site.fired("OnHealthRecover", 1, HEALTH).await;
    assert_eq!(arguments(&task)[..2], ["HEALTH_WARN", "HEALTH_OK"], "{task}");
    site.fired("OnHealthImprove", 1, HEALTH).await;
    assert_eq!(counts().await, [1, 1, 1]);
}

/// A Pre hook that says what it is told, and ends when the file with its turn is there.
fn held(folder: &std::path::Path) -> String {
    let folder = folder.display();
    format!(
        "#!/bin/sh\necho x >>{folder}/turns; turn=$(wc -l <{folder}/turns)\necho \"old=$1\"; cat \"$HOOK_CHANGE_FILE\"; echo\n\
         while [ ! -e {folder}/go$turn ]; do sleep 0.1; done\n"
    )
}

/// What [`held`] read in its change file.
fn change(task: &Value) -> Value {
    let line = task["output"].as_str().unwrap().lines().nth(1).unwrap();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Waits until there are so many Pre hooks, the last one of that operation.
async fn pre_hooks(site: &Site, count: usize, operation: i64) {
    let there = async || Ok(site.tasks_of("PreCrushMapChange").await.len() == count);
    let task = async || site.manager.get(&format!("/api/tasks/{operation}")).await;
    let waits = until(SOON, "the hook waits", there).await;
    assert!(waits.is_ok(), "{:?}\n{}", task().await, site.agent.log());
}

#[tokio::test]
async fn spec_13_5_of_two_crush_edits_one_is_refused_and_tried_again() {
    let Some(cluster) = Cluster::start(ceph::Options::default()).unwrap() else { return };
    let site = site_of(&cluster).await;
    let folder = tempfile::tempdir().unwrap();
    site.hook("PreCrushMapChange", &held(folder.path()), json!({})).await;
    let tell = "#!/bin/sh\necho \"old=$1 new=$2\"; cat \"$3\"; echo\n";
    site.hook("PostCrushMapChange", tell, json!({})).await;
    let go = |turn: u32| std::fs::write(folder.path().join(format!("go{turn}")), "").unwrap();
    let edit = |name: &str| json!({ "step": "crush", "edit": { "edit": "add_bucket", "name": name, "kind": "rack" } });

    // Both have read the map before either of them changes it.
    let first = site.step(edit("r1")).await;
    pre_hooks(&site, 1, first).await;
    let second = site.step(edit("r2")).await;
    pre_hooks(&site, 2, second).await;
    go(1);
    let task = site.done(first).await;
    assert_eq!(task["state"], "FINISHED", "{task}");
    assert!(task["result"]["after"].get("crush").is_none(), "what is for the change file alone is not kept");
    go(2);
    pre_hooks(&site, 3, second).await;
    go(3);
    let task = site.done(second).await;
    assert_eq!(task["state"], "FINISHED", "{task}");

    let mut versions = Vec::new();
    for nth in 1..=2 {
        let task = site.fired("PostCrushMapChange", nth, SOON).await;
        let change = change(&task);
        let told = [&change["old"], &change["new"]].map(|map| map["version"].as_u64().unwrap());
        let line = format!("old={} new={}\n", told[0], told[1]);
        assert!(task["output"].as_str().unwrap().starts_with(&line), "{line} {task}");
        assert!(change["new"]["compiled"].as_str().is_some_and(|map| map.len() > 100), "{change}");
        assert!(change["new"]["map"]["buckets"].to_string().contains(&format!("\"r{nth}\"")), "{change}");
        versions.push(told);
    }
    assert_eq!([versions[0][1], versions[1][1]], [versions[0][0] + 1, versions[1][0] + 1], "{versions:?}");
    assert_eq!(versions[0][1], versions[1][0], "they follow each other: {versions:?}");
    let mut olds = Vec::new();
    for task in site.tasks_of("PreCrushMapChange").await {
        let task = site.done(task["id"].as_i64().unwrap()).await;
        let change = change(&task);
        assert_eq!(change["edit"]["edit"], "add_bucket");
        olds.push(change["old"]["version"].as_u64().unwrap());
    }
    assert_eq!(olds, [versions[0][0], versions[0][0], versions[1][0]]);
    // What we did ourselves is not told again as somebody else's.
    tokio::time::sleep(QUIET).await;
    assert_eq!(site.tasks_of("PostCrushMapChange").await.len(), 2);
}

/// When the agent was last heard.
async fn seen(site: &Site) -> Value {
    site.manager.get("/api/hosts/node").await.unwrap()["agent"]["lastSeenAt"].clone()
}

/// The agent is heard, and does what it is told.
async fn lives(site: &Site, script: i64) {
    let before = seen(site).await;
    let began = std::time::Instant::now();
    let task = site.done(site.execute(script, &[]).await).await;
    assert_eq!(task["state"], "FINISHED", "{task}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    until(SOON, "a heartbeat", async || Ok(seen(site).await != before)).await.unwrap();
    assert_eq!(site.manager.get("/api/hosts/node").await.unwrap()["state"], "online");
}

#[tokio::test]
async fn spec_13_11_a_hung_persistent_mount_blocks_neither_heartbeats_nor_hooks() {
    let Some(cluster) = Cluster::start(ceph::Options { osds: 1, mds: 1, ..ceph::Options::default() }).unwrap() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("persistent");
    let site = Site::start(&format!("[watch]\npersistent_path = {path:?}\n")).await;
    site.hook("OnPersistentAvailable", TELL, json!({})).await;
    site.hook_arrived("OnPersistentAvailable").await;
    let script = site.script("quick", "#!/bin/true\n").await;

    // It hangs from the moment on at which it is mounted: whoever looks at it waits.
    let mount = Mounted::cephfs(&cluster, &path, "/").unwrap();
    mount.freeze().unwrap();
    site.hook("OnAudit", TELL, json!({})).await;
    for _ in 0..3 {
        lives(&site, script).await;
    }
    site.fired("OnAudit", 1, SOON).await;
    // Facts of the host are read all the same.
    let answer = site.manager.call("POST", &format!("/api/servers/{}/redetect", site.number), None).await.unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(site.manager.introspected("node").await.unwrap()["error"], Value::Null);
    lives(&site, script).await;

    mount.thaw().unwrap();
    let task = site.fired("OnPersistentAvailable", 1, UNKNOWN).await;
    assert_eq!(arguments(&task)[0], path.to_str().unwrap(), "{task}");
    mount.unmount().unwrap();
}

/// Monitors that are stopped: connections stay, and no answer comes.
#[tokio::test]
async fn a_cluster_that_hangs_blocks_no_agent_and_is_told_once() {
    let Some(cluster) = Cluster::start(ceph::Options { mons: 3, ..ceph::Options::default() }).unwrap() else { return };
    let site = site_of(&cluster).await;
    site.hook("OnHealthDegrade", TELL, json!({})).await;
    let script = site.script("quick", "#!/bin/true\n").await;
    lives(&site, script).await;
    cluster.freeze_mons().unwrap();
    for _ in 0..3 {
        lives(&site, script).await;
    }
    let task = site.fired("OnHealthDegrade", 1, UNKNOWN).await;
    assert_eq!(arguments(&task)[1], "HEALTH_UNKNOWN", "{task}");
    lives(&site, script).await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(site.tasks_of("OnHealthDegrade").await.len(), 1);
    cluster.thaw_mons().unwrap();
    lives(&site, script).await;
}
