//! Devices that never answer cost their own facts and nothing else (spec/introspection.md §8.9).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "tests say what they saw and what they skipped")]

#[allow(dead_code)]
mod support;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hostler_agent::probes::{Address, Bmc, HostRoot, Identity, Link, Live, Recorded, Request, Route, Space, collect};
use hostler_agent::sys::clock::Discipline;
use hostler_agent::sys::ethtool::{Driver, LinkSettings};
use hostler_agent::sys::kvm::Kvm;
use hostler_agent::sys::scsi::Power;
use serde_json::json;
use support::{Host, find};

/// A recorded host of which one disk, one interface and the clock hang.
struct Hung(Recorded);

fn hang<T>() -> io::Result<T> {
    std::thread::sleep(Duration::from_secs(600));
    Err(io::ErrorKind::TimedOut.into())
}

impl Live for Hung {
    fn identity(&self) -> io::Result<Identity> {
        self.0.identity()
    }
    fn links(&self) -> io::Result<Vec<Link>> {
        self.0.links()
    }
    fn addresses(&self) -> io::Result<Vec<Address>> {
        self.0.addresses()
    }
    fn routes(&self) -> io::Result<Vec<Route>> {
        self.0.routes()
    }
    fn ethtool_driver(&self, interface: &str) -> io::Result<Driver> {
        if interface == "ens1f1" { hang() } else { self.0.ethtool_driver(interface) }
    }
    fn ethtool_link(&self, interface: &str) -> io::Result<LinkSettings> {
        self.0.ethtool_link(interface)
    }
    fn ethtool_address(&self, interface: &str) -> io::Result<Option<String>> {
        self.0.ethtool_address(interface)
    }
    fn space(&self, place: &str) -> io::Result<Space> {
        self.0.space(place)
    }
    fn clock(&self) -> io::Result<Discipline> {
        hang()
    }
    fn lldpd(&self) -> io::Result<Vec<u8>> {
        self.0.lldpd()
    }
    fn chrony(&self) -> io::Result<Vec<u8>> {
        self.0.chrony()
    }
    fn kvm(&self) -> io::Result<Kvm> {
        self.0.kvm()
    }
    fn power(&self, device: &Path, ata: bool) -> io::Result<Power> {
        if device.ends_with("sda") { hang() } else { self.0.power(device, ata) }
    }
    fn exclusive(&self, device: &Path) -> io::Result<bool> {
        self.0.exclusive(device)
    }
    fn ata_smart(&self, device: &Path) -> io::Result<(Vec<u8>, Option<bool>)> {
        self.0.ata_smart(device)
    }
    fn scsi_log(&self, device: &Path, page: u8) -> io::Result<Vec<u8>> {
        self.0.scsi_log(device, page)
    }
    fn nvme_health(&self, controller: &Path) -> io::Result<Vec<u8>> {
        self.0.nvme_health(controller)
    }
    fn ipmi(&self) -> io::Result<Box<dyn Bmc>> {
        self.0.ipmi()
    }
    fn since_boot(&self) -> u64 {
        self.0.since_boot()
    }
}

#[test]
fn hung_devices_delay_nobody() {
    let host = Host::fixture("x86-storage");
    let recorded = serde_json::from_slice(&std::fs::read(host.path("/live.json")).unwrap()).unwrap();
    let root = HostRoot::with_live(host.dir.path(), Arc::new(Hung(recorded)));
    let began = Instant::now();
    let document = collect(&root, &Request::default());
    assert!(began.elapsed() < Duration::from_millis(4500), "{:?}", began.elapsed());
    let sections = &document["fleet"]["sections"];
    assert_eq!(sections["time"]["status"], "timeout");
    assert_eq!(sections["cpu"]["status"], "ok");
    for section in ["storage", "health", "ceph", "net"] {
        assert_eq!(sections[section]["status"], "partial", "{section}");
        assert!(sections[section]["reason"].as_str().unwrap().contains("timeout"), "{section}");
    }
    assert_eq!(find(&document["fleet"]["storage"]["disks"], "name", "/dev/sda")["status"], "timeout");
    assert_eq!(find(&document["fleet"]["net"]["links"], "name", "ens1f1")["status"], "timeout");
    assert_eq!(document["fleet"]["health"]["disks"]["sda"], json!({"status": "timeout"}));
    // The neighbours of the hung ones are complete.
    assert_eq!(find(&document["fleet"]["storage"]["disks"], "name", "/dev/sdc")["serial"], "S3YJNX0K");
    assert_eq!(find(&document["inventory"]["interfaces"], "name", "ens1f0")["speed_mbps"], 100_000);
    assert_eq!(document["fleet"]["health"]["disks"]["nvme0"]["status"], "ok");
    assert_eq!(document["error"], json!(null));
}
