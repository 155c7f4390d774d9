//! Clusters.

use hostler_tests::ceph::{Cluster, Keep, Options};
use hostler_tests::mounted::{self, Mounted};
use serde_json::Value;

#[test]
fn a_cluster_notices_a_dead_osd_and_heals() {
    let options = Options { mons: 3, keep: Keep::File, ..Options::default() };
    let Some(cluster) = Cluster::start(options).unwrap() else { return };
    assert_eq!(cluster.health().unwrap(), ("HEALTH_OK".to_owned(), Vec::new()));

    cluster.kill("osd.1").unwrap();
    cluster.wait_check("OSD_DOWN").unwrap();
    let dump = cluster.ceph(&["osd", "dump"]).unwrap();
    let up: Vec<_> = dump["osds"].as_array().unwrap().iter().map(|osd| osd["up"].as_i64().unwrap()).collect();
    assert_eq!(up, [1, 0, 1]);
    cluster.start_osd(1).unwrap();
    cluster.wait_healthy().unwrap();

    cluster.stop_osd(2).unwrap();
    cluster.wait_check("OSD_DOWN").unwrap();
    cluster.start_osd(2).unwrap();
    cluster.kill_mon('c').unwrap();
    cluster.wait_check("MON_DOWN").unwrap();
    cluster.start_daemon("mon.c").unwrap();
    cluster.wait_healthy().unwrap();
}

#[test]
fn a_frozen_cluster_answers_nobody_and_thaws() {
    let Some(cluster) = Cluster::start(Options { mons: 3, ..Options::default() }).unwrap() else { return };
    cluster.freeze_mons().unwrap();
    let done = cluster.try_ceph(&["health"]).unwrap();
    assert!(!done.status.success(), "{done:?}");
    cluster.thaw_mons().unwrap();
    cluster.wait_healthy().unwrap();
}

#[test]
fn images_and_files_are_real_and_have_snapshots() {
    let Some(cluster) = Cluster::start(Options { osds: 1, mds: 1, ..Options::default() }).unwrap() else { return };
    cluster.pool_create("rbd", "rbd").unwrap();
    cluster.rbd_create("rbd", "disk", 64).unwrap();
    cluster.rbd(&["snap", "create", "rbd/disk@first"]).unwrap();
    let snapshots = cluster.rbd(&["snap", "ls", "rbd/disk", "--format", "json"]).unwrap();
    assert_eq!(snapshots[0]["name"], "first", "{snapshots}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("persistent");
    let mount = Mounted::cephfs(&cluster, &path, "/").unwrap();
    std::fs::write(path.join("kept"), "text").unwrap();
    std::fs::create_dir(path.join(".snap/first")).unwrap();
    std::fs::remove_file(path.join("kept")).unwrap();
    assert_eq!(std::fs::read_to_string(path.join(".snap/first/kept")).unwrap(), "text");
    mount.unmount().unwrap();
    assert_eq!(mounted::kind(&path).unwrap(), None);
}

#[test]
fn clusters_are_strangers_to_each_other() {
    let small = || Options { osds: 1, ..Options::default() };
    let Some(one) = Cluster::start(small()).unwrap() else { return };
    let two = Cluster::start(small()).unwrap().unwrap();
    one.ceph(&["osd", "set", "noout"]).unwrap();
    one.wait_check("OSDMAP_FLAGS").unwrap();
    two.wait_healthy().unwrap();
    let fsid = |cluster: &Cluster| cluster.ceph(&["status"]).unwrap()["fsid"].clone();
    assert_eq!(fsid(&one), Value::from(one.fsid()));
    assert_ne!(fsid(&one), fsid(&two));

    let (folder, pid) = (one.dir().to_owned(), one.pid("osd.0").unwrap());
    drop(one);
    assert!(!folder.exists() && !std::path::Path::new(&format!("/proc/{pid}")).exists(), "it is still there");
    two.wait_healthy().unwrap();
}
