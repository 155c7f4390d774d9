//! Steps of maintenance that read and change a Ceph cluster, and those that stop its daemons and boot its hosts
//! (spec/maintenance.md §3.7, §8).

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use hostler_common::step::maintenance::{CephDrained, CephHost, CephSample, CephStopAnswer, Daemons};
use hostler_tests::ceph::{Cluster, Options};
use hostler_tests::hosts::{self, File, Host, Lab, MANAGER};
use hostler_tests::lab::{self, until};
use hostler_tests::shell::{self, PATIENCE};
use serde_json::{Value, json};

/// Makes a step as the agent of that host would; gives its exit code, its result and its complaint.
fn step(cluster: &Cluster, host: &str, step: &Value) -> (i32, Value, String) {
    let mut command = cluster.on_host(host, lab::binary("hostler-agent").to_str().unwrap());
    command.args(["step", "--runtime-dir"]).arg(cluster.dir().join("runtime"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(step.to_string().as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let result = serde_json::from_slice(&done.stdout).unwrap_or(Value::Null);
    (done.status.code().unwrap(), result, String::from_utf8(done.stderr).unwrap())
}

/// The same for one that must succeed: what it says is so after it.
fn after(cluster: &Cluster, host: &str, step: &Value) -> Value {
    let (code, result, complaint) = self::step(cluster, host, step);
    assert_eq!(code, 0, "{step}: {complaint}");
    result["after"].clone()
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn sample(cluster: &Cluster, osds: &[i64]) -> CephSample {
    read(after(cluster, "host1", &json!({"step": "ceph_sample", "osds": osds})))
}

fn may_stop(cluster: &Cluster, daemons: &Value) -> CephStopAnswer {
    let mut order = daemons.clone();
    order["step"] = json!("ceph_stop_check");
    read(after(cluster, "host1", &order))
}

#[test]
fn a_cluster_is_read_and_flagged_host_by_host() {
    if !hosts::possible() {
        return;
    }
    let options = Options { mons: 3, mgrs: 2, mds: 2, named: true, ..Options::default() };
    let Some(cluster) = Cluster::start(options).unwrap() else { return };
    cluster.pool_create("data", "rbd").unwrap();
    // Of three copies one may be away, not two.
    cluster.ceph(&["osd", "pool", "set", "data", "min_size", "2"]).unwrap();

    // Which daemons are where, by both views.
    let one: CephHost = read(after(&cluster, "host1", &json!({"step": "ceph_host"})));
    let names = |name: &str| vec![name.to_owned()];
    let daemons = Daemons { osds: vec![0], mons: names("a"), mgrs: names("x"), mdss: names("a"), rgws: vec![] };
    assert_eq!((&one.daemons, one.bucket.as_deref(), &one.mismatch), (&daemons, Some("host1"), &None));
    assert_eq!((one.fsid.as_str(), one.domain.as_deref(), one.cephadm), (cluster.fsid(), Some("host"), false));
    assert_eq!((&one.location["root"], one.upgrading), (&"default".to_owned(), false));
    let nowhere: CephHost = read(after(&cluster, "elsewhere", &json!({"step": "ceph_host"})));
    assert!(nowhere.daemons.is_empty() && nowhere.bucket.is_none() && nowhere.mismatch.is_none(), "{nowhere:?}");
    // The bucket of another host: nothing of the two views is left out, and that they differ is said.
    cluster.ceph(&["osd", "crush", "set", "osd.1", "0.001", "root=default", "host=host3"]).unwrap();
    let three: CephHost = read(after(&cluster, "host3", &json!({"step": "ceph_host"})));
    assert_eq!(three.daemons.osds, [1, 2]);
    assert!(three.mismatch.as_ref().unwrap().contains("osd.1 is in the CRUSH bucket of host3 and runs on host2"));
    cluster.ceph(&["osd", "crush", "set", "osd.1", "0.001", "root=default", "host=host2"]).unwrap();
    cluster.wait_mapped().unwrap();
    cluster.wait_healthy().unwrap();
    noout(&cluster);
    stops_and_samples(&cluster);
    drains(&cluster);
}

fn noout(cluster: &Cluster) {
    let flag =
        |bucket: &str, set: bool| step(cluster, "host1", &json!({"step": "ceph_noout", "bucket": bucket, "set": set}));
    let flags = || cluster.ceph(&["osd", "dump"]).unwrap()["crush_node_flags"]["host2"].clone();
    let (code, result, _) = flag("host2", true);
    assert_eq!(
        (code, &result["changed"], &result["after"], flags()),
        (0, &json!(true), &json!(["noout"]), json!(["noout"]))
    );
    assert_eq!(flag("host2", true).1["changed"], false);
    let two: CephHost = read(after(cluster, "host2", &json!({"step": "ceph_host"})));
    assert_eq!(two.flags, ["noout"]);
    assert_eq!(sample(cluster, &[]).node_flags["host2"], ["noout"]);
    let (code, result, _) = flag("host2", false);
    assert_eq!((code, &result["changed"], flags()), (0, &json!(true), Value::Null));
    let (code, _, complaint) = flag("nowhere", true);
    assert!(code == 3 && complaint.contains("not begun"), "{code} {complaint}");
}

fn stops_and_samples(cluster: &Cluster) {
    let found = sample(cluster, &[0, 1, 2]);
    assert_eq!((found.health.as_str(), found.num_up_osds, found.down.len(), found.out.len()), ("HEALTH_OK", 3, 0, 0));
    assert_eq!((found.mons.len(), found.quorum.len(), found.mgr_standbys.len(), found.mgr_available), (3, 3, 1, true));
    assert_eq!(found.pgs.values().sum::<u64>(), found.num_pgs);
    assert_eq!(found.pgs.keys().collect::<Vec<_>>(), ["active+clean"]);

    let fine = may_stop(cluster, &json!({"osds": [1], "mons": ["b"], "mgrs": ["y"], "mdss": ["b"]}));
    assert!(fine.ok && fine.against.is_empty(), "{fine:?}");
    let two = may_stop(cluster, &json!({"osds": [0, 1]}));
    assert!(!two.ok && two.against[0].contains("unsafe to stop"), "{two:?}");
    for (daemons, wanted) in [
        (json!({"mons": ["a", "b"]}), "would be left in the quorum"),
        (json!({"mgrs": ["x", "y"]}), "no manager would be left"),
        (json!({"osds": [99]}), "there is no osd.99"),
        (json!({"mdss": ["zz"]}), "there is no metadata server zz"),
        (json!({"mons": ["zz"]}), "there is no monitor zz"),
    ] {
        let answer = may_stop(cluster, &daemons);
        assert!(!answer.ok && answer.against[0].contains(wanted), "{daemons}: {answer:?}");
    }

    // While one OSD is down no other may stop, and the sample says so.
    cluster.stop_osd(2).unwrap();
    cluster.wait_check("OSD_DOWN").unwrap();
    cluster.wait_mapped().unwrap();
    assert!(!may_stop(cluster, &json!({"osds": [1]})).ok);
    assert!(
        may_stop(cluster, &json!({"osds": [2]})).ok,
        "one that is down says nothing: that is what the sample is for"
    );
    let found = sample(cluster, &[1, 2]);
    assert_eq!((found.num_up_osds, &found.down, &found.all_down_or_out), (2, &vec![2], &vec![2]));
    let down = found.checks.iter().find(|check| check.code == "OSD_DOWN").unwrap();
    assert!(!down.muted && down.detail[0].contains("osd.2"), "{down:?}");
    let three: CephHost = read(after(cluster, "host3", &json!({"step": "ceph_host"})));
    assert_eq!(three.daemons.osds, [2], "one that is down is left out");
    cluster.start_osd(2).unwrap();
    cluster.wait_healthy().unwrap();

    // Standbys take over.
    let active = sample(cluster, &[]).mgr_active;
    let order = json!({"step": "ceph_daemons", "turn": "hand_over", "daemons": {"mgrs": [active], "mdss": ["a"]}});
    let (code, result, complaint) = step(cluster, "host1", &order);
    assert_eq!((code, &result["changed"]), (0, &json!(true)), "{complaint}");
    assert_ne!(sample(cluster, &[]).mgr_active, active);
    cluster.wait_healthy().unwrap();
}

fn drains(cluster: &Cluster) {
    let drain = |out: bool| json!({"step": "ceph_drain", "osds": [1], "out": out});
    // Three copies on three hosts: nobody could take them.
    let refused: CephDrained = read(after(cluster, "host1", &drain(true)));
    assert!(refused.against.as_ref().unwrap().contains("of type host, and 2 would be left"), "{refused:?}");
    assert!(sample(cluster, &[1]).out.is_empty(), "nothing was changed");
    let pools = cluster.ceph(&["osd", "pool", "ls"]).unwrap();
    for pool in pools.as_array().unwrap() {
        cluster.ceph(&["osd", "pool", "set", pool.as_str().unwrap(), "size", "2"]).unwrap();
    }
    let (code, result, complaint) = step(cluster, "host1", &drain(true));
    assert_eq!((code, &result["changed"]), (0, &json!(true)), "{complaint}");
    assert_eq!(sample(cluster, &[1]).out, [1]);
    shell::wait(PATIENCE, "the OSD is empty", || {
        let drained: CephDrained = read(after(cluster, "host1", &drain(true)));
        anyhow::ensure!(drained.against.is_none(), "{drained:?}");
        Ok(drained.left.is_empty() && drained.pgs == 0)
    })
    .unwrap();
    assert_eq!(step(cluster, "host1", &drain(false)).1["changed"], true);
    assert!(sample(cluster, &[1]).out.is_empty());
}

/// Makes a step with the agent that is in the host.
fn inside(host: &Host<'_>, step: &Value) -> (i32, Value, String) {
    host.write(&File::text("/root/step.json", &step.to_string())).unwrap();
    let done = host.output(&["hostler-agent", "step", "--file", "/root/step.json"]).unwrap();
    let result = serde_json::from_slice(&done.stdout).unwrap_or(Value::Null);
    (done.status.code().unwrap_or(-1), result, String::from_utf8(done.stderr).unwrap())
}

/// Puts an OSD with its data in a file on the host; gives its number.
fn add_osd(host: &Host<'_>, cluster: &Cluster) -> i64 {
    let made = "set -eu; uuid=$(cat /proc/sys/kernel/random/uuid); id=$(ceph osd new $uuid); dir=/var/lib/ceph/osd/ceph-$id; \
                mkdir -p $dir; ceph auth get-or-create osd.$id mon 'allow profile osd' mgr 'allow profile osd' osd 'allow *' -o $dir/keyring; \
                ceph-osd -i $id --mkfs --osd-uuid $uuid --osd-data $dir --keyring $dir/keyring --no-mon-config >/dev/null 2>&1; \
                chown -R ceph:ceph $dir; systemctl start ceph-osd@$id; echo $id";
    let number: i64 = host.exec(&["sh", "-c", made]).unwrap().trim().parse().unwrap();
    shell::wait(PATIENCE, "the new OSD is up", || {
        let dump = cluster.ceph(&["osd", "dump"])?;
        Ok(dump["osds"].as_array().is_some_and(|osds| osds.iter().any(|osd| osd["osd"] == number && osd["up"] == 1)))
    })
    .unwrap();
    number
}

#[test]
fn daemons_of_a_host_stop_and_start_as_units() {
    if !hostler_tests::ceph::possible() {
        return;
    }
    let Some(lab) = Lab::start().unwrap() else { return };
    let place = Some((lab.manager().clone(), MANAGER));
    let cluster = Cluster::start(Options { osds: 2, place, ..Options::default() }).unwrap().unwrap();
    let host = lab.host("store", hosts::Options::for_ceph()).unwrap();
    host.use_cluster(&cluster).unwrap();
    host.install_agent().unwrap();
    let osd = add_osd(&host, &cluster);
    cluster.pool_create("data", "rbd").unwrap();
    cluster.wait_healthy().unwrap();

    let (code, result, complaint) = inside(&host, &json!({"step": "ceph_host"}));
    assert_eq!(code, 0, "{complaint}");
    let found: CephHost = read(result["after"].clone());
    assert_eq!((&found.daemons.osds, found.bucket.as_deref(), &found.mismatch), (&vec![osd], Some("store"), &None));

    let turn = |turn: &str| json!({"step": "ceph_daemons", "turn": turn, "daemons": {"osds": [osd]}});
    let unit = format!("ceph-osd@{osd}");
    let active = || host.output(&["systemctl", "is-active", "--quiet", &unit]).unwrap().status.success();
    let began = std::time::Instant::now();
    let (code, result, complaint) = inside(&host, &turn("stop"));
    assert_eq!((code, &result["changed"]), (0, &json!(true)), "{complaint}");
    assert!(began.elapsed() >= Duration::from_secs(30), "it was not watched");
    assert!(!active() && sample(&cluster, &[osd]).down == [osd]);
    let (code, result, complaint) = inside(&host, &turn("start"));
    assert_eq!((code, &result["changed"]), (0, &json!(true)), "{complaint}");
    assert!(active() && sample(&cluster, &[osd]).down.is_empty());
    cluster.wait_healthy().unwrap();

    // Another one is down: this one stays up, and nothing was begun.
    cluster.stop_osd(0).unwrap();
    cluster.wait_check("OSD_DOWN").unwrap();
    cluster.wait_mapped().unwrap();
    let (code, _, complaint) = inside(&host, &turn("stop"));
    assert!(code == 3 && complaint.contains("may not stop"), "{code} {complaint}");
    assert!(active());
    // A sort of daemon that is not installed here.
    let absent = json!({"step": "ceph_daemons", "turn": "stop", "daemons": {"rgws": ["zz"]}});
    let (code, _, complaint) = inside(&host, &absent);
    assert!(code == 3 && complaint.contains("there is no unit"), "{code} {complaint}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reboot_is_a_job_that_ends_in_the_next_boot() {
    let Some(lab) = Lab::start().unwrap() else { return };
    let manager = lab.start_manager(lab::Options::default()).await.unwrap();
    let host = lab.host("one", hosts::Options::default()).unwrap();
    host.enlist(&manager).await.unwrap();
    let number = manager.get("/api/hosts/one").await.unwrap()["number"].as_i64().unwrap();
    let order = async |step: Value| {
        let path = format!("/api/servers/{number}/steps");
        let answer = manager.call("POST", &path, Some(json!({ "step": step }))).await.unwrap();
        assert!(answer.status < 300, "{answer:?}");
        let path = format!("/api/tasks/{}", answer.body["id"]);
        let ended = until(PATIENCE, "the step ends", async || Ok(manager.get(&path).await?["done"] == true)).await;
        let task = manager.get(&path).await.unwrap();
        assert!(ended.is_ok(), "{task}\n{}", host.logs());
        task
    };

    // Nothing asks for it.
    let boot = host.boot_id().unwrap();
    let task = order(json!({"step": "reboot", "reason": "test", "always": false})).await;
    assert_eq!((&task["state"], &task["result"]["changed"]), (&json!("FINISHED"), &json!(false)), "{task}");
    assert_eq!(host.boot_id().unwrap(), boot);

    let known = manager.get("/api/hosts/one").await.unwrap()["agent"]["bootId"].clone();
    let task = order(json!({"step": "reboot", "reason": "a new kernel", "always": true})).await;
    assert_eq!((&task["state"], &task["result"]["changed"]), (&json!("FINISHED"), &json!(true)), "{task}");
    assert_ne!(host.boot_id().unwrap(), boot, "it did boot");
    let (before, now) = (&task["result"]["before"], &task["result"]["after"]);
    // The kernel's part of it is another one in a container, by who asks; when the first process began is not.
    let began = |boot: &Value| boot.as_str().and_then(|id| Some(id.rsplit_once('.')?.1.to_owned()));
    assert!(began(&known).is_some() && began(&before["boot_id"]) == began(&known), "{known} {task}");
    assert!(before["boot_id"] != now["boot_id"] && now["kernel"].is_string(), "{task}");
    manager.host_is("one", "online").await.unwrap();
    assert_eq!(began(&manager.get("/api/hosts/one").await.unwrap()["agent"]["bootId"]), began(&now["boot_id"]));

    // Something asks for it now; and what is found before says which boot it is.
    host.exec(&["touch", "/run/reboot-required"]).unwrap();
    let task = order(json!({"step": "precheck", "free_mib": 1, "packages_idle": true, "clock_ms": 0})).await;
    let found = &task["result"]["after"];
    assert_eq!((began(&found["boot_id"]), &found["reboot_required"]), (began(&now["boot_id"]), &json!(true)), "{task}");
    let task = order(json!({"step": "reboot", "reason": "it asks", "always": false})).await;
    assert_eq!(task["result"]["changed"], true, "{task}");
    let task = order(json!({"step": "precheck", "free_mib": 4_000_000_000_u64})).await;
    assert_eq!(task["state"], "FAILED", "{task}");
    assert!(task["result"]["error"].as_str().unwrap().contains("MiB of room"), "{task}");
}
