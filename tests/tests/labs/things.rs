//! Leases, disks, mounts.

use std::path::Path;

use hostler_tests::ceph::{self, Cluster};
use hostler_tests::dhcp::Dhcp;
use hostler_tests::disk::Zram;
use hostler_tests::hosts::{Host, Lab, MANAGER, Options};
use hostler_tests::mounted::{self, Mounted};
use hostler_tests::shell::{self, PATIENCE};
use serde_json::Value;

#[test]
fn a_client_gets_a_lease_and_gives_it_back() {
    let Some(lab) = Lab::start().unwrap() else { return };
    let Some(dhcp) = Dhcp::start(&lab).unwrap() else { return };
    let client = dhcp.client(&lab, "node7").unwrap();
    assert_eq!(client.address.octets()[..3], [10, 99, 0]);
    let leases = std::fs::read_to_string(dhcp.leases()).unwrap();
    let line = leases.lines().find(|line| line.contains(&client.mac)).unwrap();
    assert!(line.contains(" node7 ") && line.contains(&client.address.to_string()), "{leases}");
    let acknowledged = || dhcp.log().matches("DHCPACK").count();
    let before = acknowledged();
    client.renew().unwrap();
    shell::wait(PATIENCE, "the lease is renewed", || Ok(acknowledged() > before)).unwrap();
    let mac = client.mac.clone();
    client.release().unwrap();
    let gone = || Ok(!std::fs::read_to_string(dhcp.leases())?.contains(&mac));
    shell::wait(PATIENCE, "the lease is gone", gone).unwrap();
}

#[test]
fn mounts_come_and_go() {
    if !hostler_tests::hosts::possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("persistent");
    let mount = Mounted::tmpfs(&path).unwrap();
    assert_eq!(mounted::kind(&path).unwrap().as_deref(), Some("tmpfs"));
    let other = folder.path().join("other");
    let bind = Mounted::bind(&path, &other).unwrap();
    std::fs::write(path.join("file"), "text").unwrap();
    assert!(other.join("file").exists());
    bind.unmount().unwrap();
    drop(mount);
    assert_eq!((mounted::kind(&path).unwrap(), mounted::kind(&other).unwrap()), (None, None));
}

/// What `ceph-volume` says of the disk.
fn inventory(host: &Host<'_>, device: &str) -> Value {
    serde_json::from_str(&host.exec(&["ceph-volume", "inventory", device, "--format", "json"]).unwrap()).unwrap()
}

#[test]
fn a_disk_becomes_an_osd_in_a_host_and_is_a_disk_again() {
    if !ceph::possible() {
        return;
    }
    let (Some(lab), Some(disk)) = (Lab::start().unwrap(), Zram::new(6).unwrap()) else { return };
    let place = Some((lab.manager().clone(), MANAGER));
    let cluster = Cluster::start(ceph::Options { osds: 1, place, ..ceph::Options::default() }).unwrap().unwrap();
    let host = lab.host("store", Options { devices: vec![disk.path()], ..Options::for_ceph() }).unwrap();
    host.use_cluster(&cluster).unwrap();
    assert_eq!(host.exec(&["ceph", "fsid"]).unwrap().trim(), cluster.fsid(), "the host reaches the cluster");

    let device = disk.path();
    let device = device.to_str().unwrap();
    assert_eq!(inventory(&host, device)["available"], true);
    host.exec(&["ceph-volume", "raw", "prepare", "--bluestore", "--data", device]).unwrap();
    assert_eq!(inventory(&host, device)["available"], false);
    let listed: Value =
        serde_json::from_str(&host.exec(&["ceph-volume", "raw", "list", "--format", "json"]).unwrap()).unwrap();
    let listed = listed.as_object().unwrap().values().next().unwrap().clone();
    assert_eq!((&listed["osd_id"], &listed["device"]), (&Value::from(1), &Value::from(device)), "{listed}");

    host.exec(&["ceph-volume", "raw", "activate", "--device", device, "--no-systemd"]).unwrap();
    host.exec(&["systemctl", "start", "ceph-osd@1"]).unwrap();
    shell::wait(PATIENCE, "the new OSD is up", || {
        let dump = cluster.ceph(&["osd", "dump"])?;
        Ok(dump["osds"].as_array().is_some_and(|osds| osds.iter().any(|osd| osd["osd"] == 1 && osd["up"] == 1)))
    })
    .unwrap();
    let place = cluster.ceph(&["osd", "find", "1"]).unwrap();
    assert_eq!(place["crush_location"]["host"], "store", "{place}");

    host.exec(&["systemctl", "stop", "ceph-osd@1"]).unwrap();
    cluster.ceph(&["osd", "out", "1"]).unwrap();
    cluster.ceph(&["osd", "purge", "1", "--yes-i-really-mean-it"]).unwrap();
    host.exec(&["umount", "/var/lib/ceph/osd/ceph-1"]).unwrap();
    host.exec(&["ceph-volume", "lvm", "zap", device]).unwrap();
    assert_eq!(inventory(&host, device)["available"], true);
    drop(host);
    let device = disk.path();
    drop(disk);
    assert!(!Path::new("/sys/block").join(device.file_name().unwrap()).exists(), "the disk is still there");
}
