//! Steps: changes of a host and its cluster, by the API, with the hooks around them and what is told where they fail
//! (spec/hooks.md §5-§7, §9, §13).

use hostler_tests::ceph::{self, Cluster};
use hostler_tests::lab::until;
use serde_json::{Value, json};

use super::cli::Cli;
use super::site::{SOON, Site, arguments, variable};

/// A script that says its arguments, and what it is told of its hook and its cluster.
const SAY: &str = "#!/bin/sh\nfor a in \"$@\"; do printf 'arg=<%s>\\n' \"$a\"; done\nenv | grep -E '^(HOOK|CLUSTER)_'\nsleep ${PAUSE:-0}\n";

/// A site whose agent finds that cluster by its environment alone.
async fn site_of(cluster: &Cluster) -> Site {
    Site::within("", &[("CEPH_CONF", cluster.conf().display().to_string())]).await
}

/// A step that must succeed.
async fn made(site: &Site, step: Value) -> Value {
    let task = site.done(site.step(step).await).await;
    assert_eq!(task["state"], "FINISHED", "{task}");
    task
}

fn reweight(osd: &str, weight: &str) -> Value {
    json!({ "step": "crush", "edit": { "edit": "reweight", "item": osd, "weight": weight } })
}

fn crush_version(cluster: &Cluster) -> i64 {
    cluster.ceph(&["osd", "dump"]).unwrap()["crush_version"].as_i64().unwrap()
}

#[tokio::test]
async fn spec_13_3_crush_map_changes() {
    let Some(cluster) = Cluster::start(ceph::Options::default()).unwrap() else { return };
    let site = site_of(&cluster).await;
    for event in ["PreCrushMapChange", "PostCrushMapChange"] {
        site.hook(event, SAY, json!({})).await;
    }
    let version = crush_version(&cluster);
    let task = made(&site, reweight("osd.0", "0.5")).await;
    let now = crush_version(&cluster);
    assert!(now > version);
    assert_eq!(
        (&task["result"]["changed"], &task["result"]["after"]["version"]),
        (&json!(true), &json!(now)),
        "{task}"
    );
    let lines: Vec<_> = task["steps"].as_array().unwrap().iter().map(|line| line["what"].as_str().unwrap()).collect();
    assert_eq!(lines, ["CRUSH map read", "hooks before", "crush"], "{task}");

    let before = site.fired("PreCrushMapChange", 1, SOON).await;
    assert_eq!(arguments(&before)[..2], [version.to_string(), String::new()], "{before}");
    let after = site.fired("PostCrushMapChange", 1, SOON).await;
    assert_eq!(arguments(&after)[..2], [version.to_string(), now.to_string()], "{after}");
    for (event, hook) in [("PreCrushMapChange", &before), ("PostCrushMapChange", &after)] {
        for (name, value) in [
            ("HOOK_EVENT", event),
            ("HOOK_ORIGIN", "manager"),
            ("HOOK_REASON", "Reweight osd.0 to 0.5"),
            ("CLUSTER_FSID", cluster.fsid()),
            ("HOOK_TASK_ID", &hook["id"].to_string()),
        ] {
            assert_eq!(variable(hook, name).as_deref(), Some(value), "{name}: {hook}");
        }
    }

    let refuse = json!({ "name": "no", "contents": "#!/bin/false\n", "hooks": [{ "event": "PreCrushMapChange" }] });
    site.post("/api/events/hook-scripts", refuse).await;
    let refused = site.done(site.step(reweight("osd.0", "0.25")).await).await;
    assert_eq!((&refused["state"], &refused["result"]["state"]), (&json!("FAILED"), &json!("vetoed")), "{refused}");
    assert!(refused["output"].as_str().unwrap().contains("(no) on node exited 1"), "{refused}");
    assert_eq!(crush_version(&cluster), now, "nothing was changed");
    assert_eq!(site.tasks_of("PostCrushMapChange").await.len(), 1, "nobody is told of what did not happen");
}

#[tokio::test]
async fn spec_13_5_two_edits_of_the_crush_map_at_once() {
    let Some(cluster) = Cluster::start(ceph::Options::default()).unwrap() else { return };
    let site = site_of(&cluster).await;
    // Both have read the map before either changes it.
    site.hook("PreCrushMapChange", SAY, json!({ "env": { "PAUSE": "2" } })).await;
    site.hook("PostCrushMapChange", SAY, json!({})).await;
    let version = crush_version(&cluster);
    let (one, two) = (site.step(reweight("osd.0", "0.5")).await, site.step(reweight("osd.1", "0.25")).await);
    for task in [one, two] {
        let task = site.done(task).await;
        assert_eq!(task["state"], "FINISHED", "{task}");
    }
    let mut versions = Vec::new();
    for nth in [1, 2] {
        let words = arguments(&site.fired("PostCrushMapChange", nth, SOON).await);
        versions.push((words[0].parse::<i64>().unwrap(), words[1].parse::<i64>().unwrap()));
    }
    versions.sort_unstable();
    assert_eq!(versions, [(version, version + 1), (version + 1, version + 2)]);
    assert_eq!(crush_version(&cluster), version + 2);
    assert_eq!(site.tasks_of("PreCrushMapChange").await.len(), 3, "the slower one asks its hook again");
}

#[tokio::test]
async fn spec_13_3_snapshots_complete() {
    let options = ceph::Options { mds: 1, ..ceph::Options::default() };
    let Some(cluster) = Cluster::start(options).unwrap() else { return };
    cluster.pool_create("rbd", "rbd").unwrap();
    cluster.rbd_create("rbd", "disk", 64).unwrap();
    cluster.ceph(&["fs", "subvolume", "create", "cephfs", "sub"]).unwrap();
    let site = site_of(&cluster).await;
    for event in ["OnRbdSnapshotComplete", "OnCephFsSnapshotComplete"] {
        site.hook(event, SAY, json!({})).await;
    }

    let rbd = |image: &str| json!({ "step": "rbd_snapshot", "pool": "rbd", "image": image, "snapshot": "first" });
    made(&site, rbd("disk")).await;
    let task = site.fired("OnRbdSnapshotComplete", 1, SOON).await;
    let listed = cluster.rbd(&["snap", "ls", "rbd/disk", "--format", "json"]).unwrap();
    assert_eq!(arguments(&task), ["rbd", "", "disk", "first", &listed[0]["id"].to_string()], "{task}");
    assert_eq!(variable(&task, "HOOK_ORIGIN").as_deref(), Some("manager"), "{task}");
    assert_eq!(variable(&task, "CLUSTER_FSID").as_deref(), Some(cluster.fsid()), "{task}");

    let step = json!({ "step": "cephfs_snapshot", "filesystem": "cephfs", "subvolume": "sub", "snapshot": "one" });
    made(&site, step).await;
    let listed = cluster.ceph(&["fs", "subvolume", "snapshot", "ls", "cephfs", "sub"]).unwrap();
    assert_eq!(listed[0]["name"], "one", "{listed}");
    let task = site.fired("OnCephFsSnapshotComplete", 1, SOON).await;
    let words = arguments(&task);
    assert_eq!([&words[0], &words[2], &words[3], &words[4]], ["cephfs", "one", "", "sub"], "{task}");
    assert!(words[1].starts_with("/volumes/") && words[1].contains("/sub/"), "{task}");

    // What the cluster says against it reaches everybody who looks.
    let id = site.step(rbd("absent")).await;
    let task = site.done(id).await;
    assert_eq!((&task["state"], &task["result"]["state"]), (&json!("FAILED"), &json!("refused")), "{task}");
    let error = task["result"]["error"].as_str().unwrap();
    assert!(error.contains("rbd_snapshot") && error.contains("absent"), "{task}");
    assert_eq!((&task["output"], &task["steps"][0]["detail"]), (&json!(error), &json!(error)), "{task}");
    assert_eq!(task["steps"][0]["outcome"], "failed", "{task}");
    let shown = Cli(&site.manager).says(&["task", "show", &id.to_string()]);
    assert!(shown.contains("No such file or directory"), "{shown}");
    assert_eq!(site.tasks_of("OnRbdSnapshotComplete").await.len(), 1);
}

#[tokio::test]
async fn a_step_that_the_host_does_not_allow_is_refused() {
    let site = Site::within("", &[("HOSTLER_AGENT_ALLOW__STEPS", "[\"unit\"]".to_owned())]).await;
    site.hook("OnRbdSnapshotComplete", SAY, json!({})).await;
    for step in [
        json!({ "step": "ceph_flag", "flag": "noout", "set": true }),
        json!({ "step": "rbd_snapshot", "pool": "rbd", "image": "a", "snapshot": "b" }),
        reweight("osd.0", "1"),
    ] {
        let task = site.done(site.step(step).await).await;
        assert_eq!((&task["state"], &task["result"]["state"]), (&json!("FAILED"), &json!("refused")), "{task}");
        let error = task["result"]["error"].as_str().unwrap();
        assert!(error.starts_with("this host does not allow the step "), "{task}");
        assert!(error.ends_with("([allow] steps in its agent.toml)"), "{task}");
        assert_eq!(task["output"], error, "{task}");
    }
    assert!(site.tasks_of("OnRbdSnapshotComplete").await.is_empty());
}

#[tokio::test]
async fn spec_9_output_grows_while_a_script_runs() {
    let site = Site::start("").await;
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let text = "#!/bin/sh\necho one\necho two >&2\nwhile [ ! -e \"$1\" ]; do sleep 0.1; done\necho three\n";
    let script = site.script("slow", text).await;
    let id = site.execute(script, &[go.to_str().unwrap()]).await;
    let written = |task: &Value| {
        let mut lines: Vec<_> = task["output"].as_str().unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let task = site.task_until(id, "it says something", |task| written(task).len() == 2).await;
    assert_eq!((&task["state"], written(&task)), (&json!("RUNNING"), vec!["one".into(), "two".into()]), "{task}");
    let listed = site.manager.get("/api/tasks").await.unwrap();
    assert_eq!(written(&listed["data"][0]).len(), 2, "{listed}");
    std::fs::write(&go, "").unwrap();
    let task = site.done(id).await;
    assert_eq!(written(&task), ["one", "three", "two"], "{task}");
}

#[tokio::test]
async fn spec_7_3_a_script_gets_both_hooks_of_the_start_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (conf, fsid) = (folder.path().join("ceph.conf"), "6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3");
    // Nobody answers there: what is known of the cluster is what the file says.
    std::fs::write(&conf, format!("[global]\nfsid = {fsid}\nmon_host = 127.0.0.1:1\n")).unwrap();
    let mut site = Site::within("", &[("CEPH_CONF", conf.display().to_string())]).await;
    let script = site.script("both", SAY).await;
    let hooks = json!({ "hooks": [
        { "event": "PreDaemonStart", "allServers": true }, { "event": "PostDaemonStart", "allServers": true },
    ] });
    let path = format!("/api/events/hook-scripts/{script}");
    let answer = site.manager.call("PATCH", &path, Some(hooks)).await.unwrap();
    assert_eq!(answer.status, 204, "{answer:?}");
    let kept = site.agent.state_dir().join("assignment.json");
    let arrived = async || {
        let text = std::fs::read_to_string(&kept).unwrap_or_default();
        Ok(["PreDaemonStart", "PostDaemonStart"].iter().all(|event| text.contains(event)))
    };
    until(SOON, "the agent keeps both hooks", arrived).await.unwrap();
    site.agent.kill().unwrap();
    site.agent.run().unwrap();
    for event in ["PreDaemonStart", "PostDaemonStart"] {
        let task = site.fired(event, 1, SOON).await;
        assert_eq!(variable(&task, "HOOK_EVENT").as_deref(), Some(event), "{task}");
        assert_eq!(variable(&task, "CLUSTER_FSID").as_deref(), Some(fsid), "{task}");
        // The agent had no number for its task; what it said names it all the same.
        let said = variable(&task, "HOOK_TASK_ID").unwrap();
        let named = site.manager.get(&format!("/api/tasks/{said}")).await.unwrap();
        assert_eq!(named["id"], task["id"], "{named}");
        assert_eq!(site.tasks_of(event).await.len(), 1);
    }
    let absent = site.manager.call("GET", &format!("/api/tasks/{fsid}"), None).await.unwrap();
    assert_eq!(absent.status, 404, "{absent:?}");
}
