//! Event sources and steps against the real kernel: mounts and addresses in namespaces of their own, a disk of zram.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;
#[allow(dead_code)]
mod support;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::agent;
use hostler_agent::watch::{Places, Seen, start_in};
use hostler_common::hook::{Assignment, HookPoint, LeaseFile, LeaseFormat, Occurrence};
use hostler_common::step::{DiskPurpose, FormatDisk, OsdMode, Step, StepResult};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

fn run(program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).output().unwrap();
    assert!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// The sources of a host with such an assignment, and where they say what they see.
struct Watching {
    dir: tempfile::TempDir,
    seen: mpsc::Receiver<Seen>,
    handle: hostler_agent::watch::Handle,
    _stop: tokio_util::sync::DropGuard,
}

impl Watching {
    async fn start(assignment: &Assignment) -> Self {
        Self::start_with(assignment, agent()).await
    }

    async fn start_with(assignment: &Assignment, executable: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let places = Places {
            runtime_dir: dir.path().join("run"),
            executable: executable.to_owned(),
            mount_types: vec!["tmpfs".into()],
            ..Places::default()
        };
        let (out, seen) = mpsc::channel(64);
        let stop = CancellationToken::new();
        let handle = start_in(places, assignment, out, stop.clone());
        // The baselines are read.
        tokio::time::sleep(Duration::from_secs(3)).await;
        Self { dir, seen, handle, _stop: stop.drop_guard() }
    }

    async fn next(&mut self, point: HookPoint) -> Occurrence {
        let wait = async {
            loop {
                if let Seen::Occurrence(occurrence) = self.seen.recv().await.unwrap()
                    && occurrence.point == point
                {
                    assert_eq!(occurrence.values.len(), point.parameters().len());
                    return occurrence;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(40), wait).await.unwrap_or_else(|_| panic!("no {point:?}"))
    }

    /// Nothing of that point for a while.
    async fn silent(&mut self, point: HookPoint, limit: Duration) {
        let wait = async {
            loop {
                match self.seen.recv().await.unwrap() {
                    Seen::Occurrence(occurrence) if occurrence.point == point => return occurrence,
                    _ => {}
                }
            }
        };
        if let Ok(occurrence) = tokio::time::timeout(limit, wait).await {
            panic!("{occurrence:?}");
        }
    }
}

/// Whether this is root, without whom there are no namespaces; says so where it is not.
fn root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: this is not root");
    }
    root
}

/// Runs a test of this file in namespaces of its own.
fn apart(test: &str) {
    if !root() {
        return;
    }
    let done = Command::new("unshare")
        .args(["--mount", "--net", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn mounts() {
    apart("mounts_apart");
}

#[tokio::test]
#[ignore = "it mounts: run by `mounts` in namespaces of its own"]
async fn mounts_apart() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().display().to_string();
    let assignment = Assignment { persistent_path: path.clone(), ..Assignment::default() };
    let mut watching = Watching::start(&assignment).await;
    run("mount", &["-t", "tmpfs", "first", &path]);
    let occurrence = watching.next(HookPoint::OnPersistentAvailable).await;
    assert_eq!(occurrence.values, [path.as_str(), "tmpfs", "first"].map(str::to_owned));
    // Others mounts are none of ours, and this one was told.
    let other = tempfile::tempdir().unwrap();
    run("mount", &["-t", "tmpfs", "other", &other.path().display().to_string()]);
    watching.silent(HookPoint::OnPersistentAvailable, Duration::from_secs(2)).await;
    // An agent that starts anew tells nothing; one whose host has another mount does.
    watching.handle.assign(Assignment::default());
    tokio::time::sleep(Duration::from_millis(500)).await;
    watching.handle.assign(assignment);
    watching.silent(HookPoint::OnPersistentAvailable, Duration::from_secs(2)).await;
    run("umount", &[&path]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    run("mount", &["-t", "tmpfs", "second", &path]);
    assert_eq!(watching.next(HookPoint::OnPersistentAvailable).await.values[2], "second");
}

#[test]
fn addresses() {
    apart("addresses_apart");
}

#[tokio::test]
#[ignore = "it changes addresses: run by `addresses` in namespaces of its own"]
async fn addresses_apart() {
    run("ip", &["link", "set", "lo", "up"]);
    let mut watching = Watching::start(&Assignment::default()).await;
    run("ip", &["link", "add", "tapish", "type", "veth", "peer", "name", "vethx"]);
    watching.silent(HookPoint::PostNetworkConfig, Duration::from_secs(4)).await;
    for last in 1..=3 {
        run("ip", &["address", "add", &format!("10.9.8.{last}/32"), "dev", "lo"]);
    }
    let occurrence = watching.next(HookPoint::PostNetworkConfig).await;
    assert_eq!((occurrence.values[0].as_str(), occurrence.values[2].as_str()), ("lo", "ok"));
    let change: serde_json::Value = serde_json::from_slice(&std::fs::read(&occurrence.values[1]).unwrap()).unwrap();
    let addresses = change["after"]["lo"]["addresses"].to_string();
    assert!((1..=3).all(|last| addresses.contains(&format!("10.9.8.{last}/32"))), "all in one: {addresses}");
    // Our own doing.
    let mark = hostler_agent::ours::Mark::begin(&watching.dir.path().join("run"), "network").unwrap();
    run("ip", &["address", "add", "10.9.8.4/32", "dev", "lo"]);
    watching.silent(HookPoint::PostNetworkConfig, Duration::from_secs(4)).await;
    drop(mark);
}

#[tokio::test]
async fn lease_files_that_are_replaced_and_appended_to() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, format| LeaseFile { path: dir.path().join(name).display().to_string(), format };
    let kea =
        "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context\n";
    let old = "100 00:11:22:33:44:55 10.0.0.5 a *\n";
    std::fs::write(dir.path().join("dnsmasq.leases"), old).unwrap();
    std::fs::write(dir.path().join("kea.csv"), kea).unwrap();
    let lease_files = vec![file("dnsmasq.leases", LeaseFormat::Dnsmasq), file("kea.csv", LeaseFormat::Kea)];
    let mut watching = Watching::start(&Assignment { lease_files, ..Assignment::default() }).await;
    // Replaced, as dnsmasq and dhcpd do.
    std::fs::write(dir.path().join("new"), format!("{old}200 00:11:22:33:44:66 10.0.0.6 b *\n")).unwrap();
    std::fs::rename(dir.path().join("new"), dir.path().join("dnsmasq.leases")).unwrap();
    let added = watching.next(HookPoint::OnDhcpLeaseUpdate).await;
    assert_eq!(added.values, ["add", "00:11:22:33:44:66", "10.0.0.6", "b", "200"].map(str::to_owned));
    // Appended to, and not whole at first.
    let mut csv = std::fs::OpenOptions::new().append(true).open(dir.path().join("kea.csv")).unwrap();
    csv.write_all(b"10.0.0.9,00:11:22:33:44:99,,3600,").unwrap();
    watching.silent(HookPoint::OnDhcpLeaseUpdate, Duration::from_secs(2)).await;
    csv.write_all(b"300,1,0,0,c,0,\n").unwrap();
    assert_eq!(watching.next(HookPoint::OnDhcpLeaseUpdate).await.values[1], "00:11:22:33:44:99");
    std::fs::write(dir.path().join("dnsmasq.leases"), old).unwrap();
    let gone = watching.next(HookPoint::OnDhcpLeaseUpdate).await;
    assert_eq!(gone.values[..2], ["del", "00:11:22:33:44:66"].map(str::to_owned));
}

/// A disk of memory; it goes with the value.
struct Zram(u32);

impl Zram {
    fn new() -> Option<Self> {
        let Ok(number) = std::fs::read_to_string("/sys/class/zram-control/hot_add") else {
            eprintln!("SKIPPED: there is no zram here");
            return None;
        };
        let disk = Self(number.trim().parse().unwrap());
        std::fs::write(format!("/sys/block/zram{}/disksize", disk.0), "6G").unwrap();
        Some(disk)
    }

    fn path(&self) -> PathBuf {
        format!("/dev/zram{}", self.0).into()
    }
}

impl Drop for Zram {
    fn drop(&mut self) {
        // A process that was just killed may still hold it.
        for _ in 0..50 {
            std::fs::write(format!("/sys/block/zram{}/reset", self.0), "1").ok();
            if std::fs::write("/sys/class/zram-control/hot_remove", self.0.to_string()).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The first block of an OSD's device.
fn label(osd: &str) -> Vec<u8> {
    let mut label = b"bluestore block device\n6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3\n".to_vec();
    label.extend([2, 1, 0, 0, 0, 0]);
    label.extend([0x6f; 16]);
    label.extend((6_u64 << 30).to_le_bytes());
    label.extend([0; 8]);
    let text = |label: &mut Vec<u8>, text: &str| {
        label.extend((text.len() as u32).to_le_bytes());
        label.extend(text.bytes());
    };
    text(&mut label, "main");
    label.extend(1_u32.to_le_bytes());
    text(&mut label, "whoami");
    text(&mut label, osd);
    label.resize(4096, 0);
    label
}

/// A host whose one disk lies in a file, as the probe takes disks of memory for none, and an agent that probes that host.
fn recorded_host() -> (support::Host, PathBuf) {
    use std::os::unix::fs::PermissionsExt as _;
    let host = support::Host::empty();
    let base = "/sys/devices/pci0000:00/0000:00:1f.2/ata1/sdx";
    for (file, text) in [("size", "12582912"), ("dev", "8:368"), ("queue/rotational", "0"), ("device/model", "M")] {
        host.file(&format!("{base}/{file}"), text);
    }
    host.link("/sys/block/sdx", &format!("../{}", &base[5..]));
    host.link("/sys/class/block/sdx", &format!("../../{}", &base[5..]));
    host.image("/dev/sdx", 6 << 30, &[]);
    let script = host.path("/agent");
    let text = format!("#!/bin/sh\nexec '{}' \"$@\" --root '{}'\n", agent().display(), host.dir.path().display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    (host, script)
}

#[tokio::test]
async fn a_disk_that_becomes_an_osd() {
    let Some(disk) = root().then(Zram::new).flatten() else { return };
    let (host, script) = recorded_host();
    let mut watching = Watching::start_with(&Assignment::default(), &script).await;
    let event = || std::fs::write(format!("/sys/block/zram{}/uevent", disk.0), "change").unwrap();
    event();
    watching.silent(HookPoint::PostFormatDisk, Duration::from_secs(8)).await;
    host.image("/dev/sdx", 6 << 30, &[(0, &label("12"))]);
    event();
    let occurrence = watching.next(HookPoint::PostFormatDisk).await;
    assert_eq!([0, 2, 3, 4].map(|at| occurrence.values[at].as_str()), ["/dev/sdx", "osd", "12", "ok"]);
    event();
    watching.silent(HookPoint::PostFormatDisk, Duration::from_secs(8)).await;
}

fn format(runtime: &Path, step: FormatDisk) -> Result<StepResult, String> {
    let file = runtime.join("step.json");
    std::fs::write(&file, serde_json::to_vec(&Step::FormatDisk(step)).unwrap()).unwrap();
    let mut command = Command::new(agent());
    command.args(["step", "--file"]).arg(&file).arg("--runtime-dir").arg(runtime).stdin(Stdio::null());
    let done = command.output().unwrap();
    if done.status.success() {
        Ok(serde_json::from_slice(&done.stdout).unwrap())
    } else {
        Err(String::from_utf8(done.stderr).unwrap())
    }
}

#[test]
fn a_disk_is_formatted_only_if_it_is_the_planned_one_and_free() {
    let Some(disk) = root().then(Zram::new).flatten() else { return };
    let dir = tempfile::tempdir().unwrap();
    let wanted = FormatDisk {
        device: disk.path().display().to_string(),
        purpose: DiskPurpose::Data,
        serial: None,
        size: Some(6 << 30),
        mode: OsdMode::Raw,
        device_class: None,
        filesystem: Some("ext4".into()),
    };
    let refuse = |step: FormatDisk, reason: &str| {
        let said = format(dir.path(), step).unwrap_err();
        assert!(said.contains("not begun") && said.contains(reason), "{said}");
    };
    refuse(FormatDisk { size: Some(1), ..wanted.clone() }, "bytes and not 1");
    refuse(FormatDisk { serial: Some("S1".into()), ..wanted.clone() }, "serial number");
    refuse(FormatDisk { filesystem: Some("fat".into()), ..wanted.clone() }, "is not one of");
    // A process that has it open, as an OSD would.
    let mut user = Command::new("sleep").arg("60").stdin(std::fs::File::open(disk.path()).unwrap()).spawn().unwrap();
    refuse(wanted.clone(), &format!("process {} (sleep)", user.id()));
    user.kill().unwrap();
    user.wait().unwrap();
    let done = format(dir.path(), wanted.clone()).unwrap();
    assert!(done.changed);
    let place = dir.path().join("m");
    std::fs::create_dir(&place).unwrap();
    run("mount", &[&disk.path().display().to_string(), &place.display().to_string()]);
    let said = format(dir.path(), wanted).unwrap_err();
    run("umount", &[&place.display().to_string()]);
    assert!(said.contains("is mounted at"), "{said}");
}
