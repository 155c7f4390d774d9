//! Clients, watching and steps against a real Ceph cluster.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Cluster, installed, step, watch};
use hostler_agent::ceph::{CephClient, Cli, Error, Rados, parse};
use hostler_agent::watch::Seen;
use hostler_common::cluster::ClusterState;
use hostler_common::hook::{Assignment, HookPoint, LeaseFile, LeaseFormat, Occurrence, Origin};
use hostler_common::step::{
    CephDaemon, CephFlag, CephFsSnapshot, CrushChange, CrushEdit, RbdSnapshot, Step, StepResult, UnitAction,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// What a source says next that is of interest.
async fn next<T>(seen: &mut mpsc::Receiver<Seen>, what: &str, pick: impl Fn(Seen) -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = pick(seen.recv().await.unwrap()) {
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
    assert_eq!(hostler_agent::ceph::reached(&cluster.access()), Some(cluster.fsid.clone()));
    cluster.kill_monitors();
    assert_eq!(hostler_agent::ceph::reached(&cluster.access()), None);
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
    let assignment = Assignment { clusters: vec![String::new()], ..Assignment::default() };
    let (handle, mut seen, stop) = watch(&cluster, &assignment);
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

fn cephfs(cluster: &Cluster, path: &str, subvolume: &str, snapshot: &str) -> Result<StepResult, String> {
    let snapshot = CephFsSnapshot {
        filesystem: "fs".into(),
        path: path.into(),
        subvolume: subvolume.into(),
        group: String::new(),
        snapshot: snapshot.into(),
    };
    step(cluster, &Step::CephFsSnapshot(snapshot))
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_of_a_file_system() {
    if !installed() {
        return;
    }
    let cluster = tokio::task::spawn_blocking(|| {
        let mut cluster = Cluster::start();
        cluster.start_filesystem();
        cluster.ceph(&["fs", "subvolume", "create", "fs", "sub"]);
        cluster
    });
    let cluster = cluster.await.unwrap();
    let assignment = Assignment { clusters: vec![cluster.fsid.clone()], ..Assignment::default() };
    let (_handle, mut seen, stop) = watch(&cluster, &assignment);
    next(&mut seen, "the cluster", state(|state| state.health.is_some())).await;
    // The baseline of the subvolume is read.
    tokio::time::sleep(Duration::from_secs(2)).await;

    let made = cephfs(&cluster, "", "sub", "ours").unwrap();
    assert!(made.after["path"].as_str().unwrap().contains("/sub/"), "{made:?}");
    assert!(cephfs(&cluster, "", "sub", "ours").unwrap_err().contains("already"));
    assert!(cephfs(&cluster, "", "absent", "x").unwrap_err().contains("not begun"));
    cluster.ceph(&["fs", "subvolume", "snapshot", "create", "fs", "sub", "theirs"]);
    let told = next(&mut seen, "the snapshot", occurrence(HookPoint::OnCephFsSnapshotComplete)).await;
    assert_eq!([0, 2, 3, 4].map(|at| told.values[at].as_str()), ["fs", "theirs", "", "sub"]);
    assert!(told.values[1].starts_with("/volumes/"), "{:?}", told.values);
    stop.cancel();

    if std::path::Path::new("/dev/fuse").exists() && nix::unistd::geteuid().is_root() {
        let made = cephfs(&cluster, "/volumes", "", "whole").unwrap();
        assert_eq!(made.after["snapshot"], "whole");
        assert!(cephfs(&cluster, "/volumes", "", "whole").unwrap_err().contains("already"));
        assert!(cephfs(&cluster, "/absent", "", "whole").unwrap_err().contains("not begun"));
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&cluster.dir.path().display().to_string()), "nothing stays mounted");
    } else {
        eprintln!("SKIPPED: directories, for which one must be root and have FUSE");
    }
}

/// A file system that is mounted by a process that does not answer, until it is let go.
struct Hung {
    place: std::path::PathBuf,
    fuse: std::process::Child,
}

impl Hung {
    fn mount(cluster: &Cluster) -> Self {
        let place = cluster.path("persistent");
        std::fs::create_dir(&place).unwrap();
        let mut command = Command::new("ceph-fuse");
        command.args(["-f", "--client_fs", "fs"]).arg(&place).env("CEPH_CONF", cluster.conf());
        let fuse = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mounted = || std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(place.to_str().unwrap());
        common::wait_for("the mount", Duration::from_secs(30), mounted);
        // It answers once, so that the mount is whole.
        std::fs::read_dir(&place).unwrap();
        let hung = Self { place, fuse };
        hung.signal(nix::sys::signal::Signal::SIGSTOP);
        hung
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.fuse.id() as i32), signal).unwrap();
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        // SIGKILL also ends what is stopped, and with it whoever waits for an answer.
        self.fuse.kill().ok();
        self.fuse.wait().ok();
        Command::new("umount").arg("--lazy").arg(&self.place).status().ok();
    }
}

#[tokio::test]
async fn spec_13_11_a_file_system_that_hangs_holds_up_nothing_else() {
    if !installed() || !std::path::Path::new("/dev/fuse").exists() || !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: for this one must be root and have Ceph and FUSE");
        return;
    }
    let (cluster, hung) = tokio::task::spawn_blocking(|| {
        let mut cluster = Cluster::start();
        cluster.start_filesystem();
        let hung = Hung::mount(&cluster);
        (cluster, hung)
    })
    .await
    .unwrap();
    let leases = cluster.path("leases");
    std::fs::write(&leases, "").unwrap();
    let file = LeaseFile { path: leases.display().to_string(), format: LeaseFormat::Dnsmasq };
    let assignment = Assignment {
        persistent_path: hung.place.display().to_string(),
        lease_files: vec![file],
        ..Assignment::default()
    };
    let (_handle, mut seen, stop) = watch(&cluster, &assignment);
    // The runtime has one thread: if anything blocked it, these sleeps would take much longer.
    let began = std::time::Instant::now();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    std::fs::write(&leases, "9 00:11:22:33:44:55 10.0.0.5 a *\n").unwrap();
    let lease = tokio::time::timeout(Duration::from_secs(5), seen.recv()).await.unwrap();
    assert!(matches!(lease, Some(Seen::Occurrence(told)) if told.point == HookPoint::OnDhcpLeaseUpdate));
    // It answers again, and is told then.
    hung.signal(nix::sys::signal::Signal::SIGCONT);
    let told = next(&mut seen, "the mount", occurrence(HookPoint::OnPersistentAvailable)).await;
    assert_eq!(told.values[..2], [hung.place.display().to_string(), "fuse.ceph-fuse".into()]);
    stop.cancel();
}
