//! Clients, watching and steps against a real Ceph cluster.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Cluster, agent, installed};
use hostler_agent::ceph::{CephClient, Cli, Error, Rados, parse};
use hostler_agent::watch::{Places, Seen, start_in};
use hostler_common::cluster::ClusterState;
use hostler_common::hook::{Assignment, HookPoint, Occurrence, Origin};
use hostler_common::step::{CephDaemon, CephFlag, CrushChange, CrushEdit, RbdSnapshot, Step, StepResult, UnitAction};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Runs a step as the daemon does; answers with its result, or with the reason.
fn step(cluster: &Cluster, step: &Step) -> Result<StepResult, String> {
    let mut child = Command::new(agent())
        .args(["step", "--runtime-dir"])
        .arg(cluster.path("runtime"))
        .env("CEPH_CONF", cluster.conf())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&serde_json::to_vec(step).unwrap()).unwrap();
    let done = child.wait_with_output().unwrap();
    if done.status.success() {
        Ok(serde_json::from_slice(&done.stdout).unwrap())
    } else {
        assert_eq!(done.status.code(), Some(1));
        Err(String::from_utf8(done.stderr).unwrap())
    }
}

/// What a source says next that is of interest.
async fn next<T>(seen: &mut mpsc::Receiver<Seen>, what: &str, pick: impl Fn(Seen) -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = pick(seen.recv().await.expect("the sources ended")) {
                return found;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("{what} was not seen"))
}

fn occurrence(point: HookPoint) -> impl Fn(Seen) -> Option<Occurrence> {
    move |seen| match seen {
        Seen::Occurrence(occurrence) if occurrence.point == point => Some(occurrence),
        _ => None,
    }
}

fn state(holds: impl Fn(&ClusterState) -> bool) -> impl Fn(Seen) -> Option<ClusterState> {
    move |seen| match seen {
        Seen::Cluster(state) if holds(&state) => Some(state),
        _ => None,
    }
}

#[test]
fn both_clients_say_the_same() {
    if !installed() {
        return;
    }
    let mut cluster = Cluster::start();
    let mut clients: Vec<Box<dyn CephClient>> = vec![Box::new(Cli::new(cluster.access()))];
    clients.push(Box::new(Rados::load(&cluster.access()).unwrap()));
    for client in &mut clients {
        assert_eq!(hostler_agent::ceph::fsid(client.as_mut()).unwrap(), cluster.fsid);
        let health = client.ask(&json!({"prefix": "health", "detail": "detail", "format": "json"})).unwrap();
        assert!(parse::health(&health).unwrap().status.starts_with("HEALTH_"));
        let map = parse::osd_map(&client.ask(&json!({"prefix": "osd dump", "format": "json"})).unwrap());
        assert_eq!(map.osds.iter().filter(|osd| osd.up).count(), 2);
        let epoch = parse::osd_epoch(&client.ask(&json!({"prefix": "osd stat", "format": "json"})).unwrap());
        assert!(epoch >= map.epoch);
        // Bytes, not text: the compiled map, with its version beside it.
        let compiled = client.send(&json!({"prefix": "osd getcrushmap"}), b"").unwrap();
        assert_eq!(compiled.status.trim().parse::<u64>().ok(), map.crush_version);
        assert!(compiled.output.len() > 100);
        // Commands that change something, with every kind of argument.
        for (prefix, there) in [("osd set", true), ("osd unset", false)] {
            client.send(&json!({"prefix": prefix, "key": "noout"}), b"").unwrap();
            let map = parse::osd_map(&client.ask(&json!({"prefix": "osd dump", "format": "json"})).unwrap());
            assert_eq!(map.flags.contains(&"noout".to_owned()), there);
        }
        for command in [
            json!({"prefix": "osd crush move", "name": "host1", "args": ["root=default"]}),
            json!({"prefix": "osd crush reweight", "name": "osd.1", "weight": 0.25}),
            json!({"prefix": "osd crush rm-device-class", "ids": ["osd.0", "osd.1"]}),
            json!({"prefix": "osd crush set-device-class", "class": "ssd", "ids": ["osd.0", "osd.1"]}),
        ] {
            client.send(&command, b"").unwrap();
        }
        // A map with a version that is over: refused, and known as that.
        let swap = json!({"prefix": "osd setcrushmap", "prior_version": 1});
        let mut other = compiled.output.clone();
        let error = match client.send(&swap, &{
            other.truncate(10);
            other
        }) {
            Err(error) => error,
            Ok(reply) => panic!("{reply:?}"),
        };
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        let error = client.send(&json!({"prefix": "osd no-such-command"}), b"").unwrap_err();
        assert_eq!(error.errno(), Some(22), "{error:?}");
    }
    cluster.kill_monitors();
    for client in &mut clients {
        let error = client.ask(&json!({"prefix": "health", "format": "json"})).unwrap_err();
        assert!(error.is_unknown(), "{error:?}");
    }
}

#[test]
fn steps_change_the_cluster() {
    if !installed() {
        return;
    }
    let cluster = Cluster::start();
    flags(&cluster);
    crush(&cluster);
    snapshots(&cluster);
    let osd = CephDaemon { kind: "osd".into(), id: "0".into(), action: UnitAction::Restart };
    if !std::path::Path::new("/run/systemd/system").exists() {
        let reason = step(&cluster, &Step::CephDaemon(osd)).unwrap_err();
        assert!(reason.contains("not begun: there is no systemd on this host"), "{reason}");
    }
}

fn flags(cluster: &Cluster) {
    let flag = |name: &str, set| step(cluster, &Step::CephFlag(CephFlag { flag: name.into(), set }));
    assert!(flag("noout", true).unwrap().changed);
    assert!(cluster.json(&["osd", "dump"])["flags"].as_str().unwrap().contains("noout"));
    assert!(!flag("noout", true).unwrap().changed);
    assert!(flag("noout", false).unwrap().changed);
    assert!(flag("pause", true).unwrap().changed);
    assert!(flag("pause", false).unwrap().changed);
    assert!(flag("sortbitwise", false).unwrap_err().contains("not begun"));
}

fn crush(cluster: &Cluster) {
    let read = || step(cluster, &Step::CrushRead).unwrap().after;
    let edit = |version: &Value, edit| step(cluster, &Step::Crush(CrushChange { version: version.as_u64(), edit }));
    let first = read();
    let bucket = CrushEdit::AddBucket { name: "r1".into(), kind: "rack".into() };
    let result = edit(&first["version"], bucket.clone()).unwrap();
    assert!(result.changed, "{result:?}");
    assert_eq!(result.after["version"].as_u64().unwrap(), first["version"].as_u64().unwrap() + 1);
    assert_eq!(read()["hash"], result.after["hash"]);
    // The version that was planned for is over: nothing happens.
    let late = CrushEdit::Move { item: "r1".into(), location: vec!["root=default".into()] };
    let reason = edit(&first["version"], late.clone()).unwrap_err();
    assert!(reason.contains("somebody changed it"), "{reason}");
    assert!(edit(&Value::Null, late).unwrap().changed);
    assert!(edit(&Value::Null, CrushEdit::Reweight { item: "osd.1".into(), weight: "0.5".into() }).unwrap().changed);
    for class in ["fast", "slow"] {
        let set = CrushEdit::SetDeviceClass { class: class.into(), osds: vec!["osd.0".into()] };
        assert!(edit(&Value::Null, set).unwrap().changed, "{class}");
        let tree = cluster.json(&["osd", "tree"]);
        let osd = tree["nodes"].as_array().unwrap().iter().find(|node| node["name"] == "osd.0").unwrap();
        assert_eq!(osd["device_class"], class);
    }
    // The first map comes back by compare-and-swap.
    let now = read();
    let map = first["map"].as_str().unwrap().to_owned();
    assert!(edit(&now["version"], CrushEdit::SetMap { map: map.clone() }).unwrap().changed);
    assert!(!cluster.ceph(&["osd", "tree"]).contains("r1"));
    assert!(edit(&now["version"], CrushEdit::SetMap { map }).is_err());
}

fn snapshots(cluster: &Cluster) {
    cluster.ceph(&["osd", "pool", "create", "images", "8"]);
    cluster.tool("rbd", &["pool", "init", "images"]);
    cluster.tool("rbd", &["create", "--size", "8M", "images/vm"]);
    let snapshot = |image: &str, name: &str| {
        let (pool, image, snapshot) = ("images".into(), image.into(), name.into());
        step(cluster, &Step::RbdSnapshot(RbdSnapshot { pool, namespace: String::new(), image, snapshot }))
    };
    let made = snapshot("vm", "one").unwrap();
    assert_eq!(made.after["name"], "one");
    assert!(made.after["id"].as_u64().is_some());
    assert!(snapshot("vm", "one").unwrap_err().contains("already"));
    assert!(snapshot("absent", "one").unwrap_err().contains("not begun"));
    assert!(snapshot("vm", "-x").unwrap_err().contains("cannot be the name"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watching_host_tells_what_others_do() {
    if !installed() {
        return;
    }
    let mut cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    cluster.ceph(&["osd", "pool", "create", "images", "8"]);
    cluster.tool("rbd", &["pool", "init", "images"]);
    cluster.tool("rbd", &["create", "--size", "8M", "images/vm"]);
    let places = Places {
        ceph: cluster.access(),
        runtime_dir: cluster.path("runtime"),
        executable: agent().to_owned(),
        snapshots_every: Duration::from_millis(500),
        ..Places::default()
    };
    let (out, mut seen) = mpsc::channel(64);
    let stop = CancellationToken::new();
    let assignment = Assignment { clusters: vec![String::new()], ..Assignment::default() };
    let handle = start_in(places, &assignment, out, stop.clone());
    let first = next(&mut seen, "the cluster", state(|state| state.crush_hash.is_some())).await;
    assert_eq!(first.fsid, cluster.fsid);

    cluster.ceph(&["osd", "set", "noout"]);
    let flagged =
        |state: &ClusterState| state.health.as_ref().is_some_and(|health| health.checks.contains_key("OSDMAP_FLAGS"));
    let warned = next(&mut seen, "the flag", state(flagged)).await;
    assert!(warned.osd_epoch > first.osd_epoch);
    assert_eq!(warned.crush_version, first.crush_version);

    cluster.ceph(&["osd", "crush", "add-bucket", "r9", "rack"]);
    let moved = next(&mut seen, "the CRUSH map", state(|state| state.crush_version > first.crush_version)).await;
    assert_ne!(moved.crush_hash, first.crush_hash);

    // What the agent does itself is not told; what others do is.
    let (pool, image) = ("images".to_owned(), "vm".to_owned());
    let ours = RbdSnapshot { pool, namespace: String::new(), image, snapshot: "ours".into() };
    step(&cluster, &Step::RbdSnapshot(ours)).unwrap();
    cluster.tool("rbd", &["snap", "create", "images/vm@theirs"]);
    let snapshot = next(&mut seen, "the snapshot", occurrence(HookPoint::OnRbdSnapshotComplete)).await;
    assert_eq!(snapshot.values[..4], ["images", "", "vm", "theirs"].map(str::to_owned));
    assert_eq!(snapshot.origin, Origin::External);
    assert_eq!(snapshot.values.len(), snapshot.point.parameters().len());

    cluster.kill_monitors();
    next(&mut seen, "that nobody answers", state(|state| state.health.is_none())).await;
    handle.assign(Assignment::default());
    stop.cancel();
}
