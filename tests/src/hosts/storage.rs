//! A Ceph cluster that hosts bear: its daemons are units of their systemds, as on machines of a fleet, and go down with them.
//!
//! Each host has a monitor and an OSD, the first two a manager; all are enabled, so they come back with their host. Three hosts
//! use about 0.8 GiB. Pools have a copy on each of three hosts and need two of them. Clients of the test run in the lab's own
//! namespace, beside the manager of the fleet.

mod writer;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{File, Host, Lab};
use crate::ceph::COMMON;
use crate::ceph::client::{self, Keyring};
use crate::namespace::Namespace;
use crate::shell::{self, PATIENCE};

pub use writer::{Sight, Writer, Written};

/// Makes the monitor of a host and starts it. Argument: its name, which is the host's.
const MON: &str = "
set -eu
ceph-mon --mkfs -i \"$1\" --monmap /etc/ceph/monmap --keyring /etc/ceph/keyring
chown -R ceph:ceph /var/lib/ceph/mon
systemctl enable --quiet --now ceph-mon.target ceph-mon@\"$1\"";

/// Makes the manager of a host and starts it. Argument: its name, which is the host's.
const MGR: &str = "
set -eu
install -d -o ceph -g ceph /var/lib/ceph/mgr/ceph-\"$1\"
install -o ceph -g ceph -m 600 /etc/ceph/keyring /var/lib/ceph/mgr/ceph-\"$1\"/keyring
systemctl enable --quiet --now ceph-mgr.target ceph-mgr@\"$1\"";

/// Makes the OSD of a host and starts it. Arguments: its number, its UUID.
const OSD: &str = "
set -eu
dir=/var/lib/ceph/osd/ceph-$1
install -d -o ceph -g ceph $dir
install -o ceph -g ceph -m 600 /etc/ceph/keyring $dir/keyring
ceph-osd -i \"$1\" --mkfs --osd-uuid \"$2\" --osd-data $dir --keyring $dir/keyring --no-mon-config >/var/log/ceph/mkfs.log 2>&1 ||
    { cat /var/log/ceph/mkfs.log >&2; exit 1; }
chown -R ceph:ceph $dir
ceph osd new \"$2\" \"$1\"
systemctl enable --quiet --now ceph-osd.target ceph-osd@\"$1\"";

/// A running cluster of hosts. Its daemons end with the hosts; dropping this removes what clients need.
#[derive(Debug)]
pub struct Storage {
    namespace: Namespace,
    fsid: String,
    hosts: usize,
    // With `ceph.conf` and the keys, for clients.
    dir: tempfile::TempDir,
}

impl Storage {
    /// Makes a cluster of hosts that run and have the packages of [`super::Options::for_ceph`]; waits until it is healthy.
    ///
    /// # Errors
    /// It does not get healthy.
    pub fn start(lab: &Lab, hosts: &[Host<'_>]) -> anyhow::Result<Self> {
        let fsid = uuid::Uuid::new_v4().to_string();
        let storage = Self { namespace: lab.manager().clone(), fsid, hosts: hosts.len(), dir: tempfile::tempdir()? };
        storage.write(hosts)?;
        each(hosts, |_, host| host.exec(&["sh", "-c", MON, "mon", host.name()]).map(drop))?;
        for host in hosts.iter().take(2) {
            host.exec(&["sh", "-c", MGR, "mgr", host.name()])?;
        }
        shell::wait(PATIENCE, "the monitors agree", || {
            let quorum = storage.ceph(&["quorum_status"])?;
            Ok(quorum["quorum_names"].as_array().is_some_and(|names| names.len() == hosts.len()))
        })?;
        // The numbers are given out here, so all of them can begin at once.
        each(hosts, |number, host| {
            let uuid = uuid::Uuid::new_v4().to_string();
            host.exec(&["sh", "-c", OSD, "osd", &number.to_string(), &uuid]).map(drop)
        })?;
        storage.wait_healthy()?;
        Ok(storage)
    }

    /// The configuration, the keys and the map of monitors, here and on the hosts.
    fn write(&self, hosts: &[Host<'_>]) -> anyhow::Result<()> {
        let key = shell::sh(&["ceph-authtool", "--gen-print-key"])?;
        let keys = keyring(key.trim(), hosts);
        let conf = self.conf(hosts);
        let map = self.dir.path().join("monmap");
        let mut make = Command::new("monmaptool");
        make.args(["--create", "--fsid", &self.fsid]);
        for host in hosts {
            make.args(["--addv", host.name(), &mon_address(host)]);
        }
        shell::run(make.arg(&map))?;
        fs::write(self.dir.path().join("keyring"), &keys)?;
        let own = format!("{conf}keyring = {}\n", self.dir.path().join("keyring").display());
        fs::write(self.client_conf(), own)?;
        let map = fs::read(map)?;
        each(hosts, |_, host| {
            host.write(&File::text("/etc/ceph/ceph.conf", &conf))?;
            for path in ["/etc/ceph/keyring", "/etc/ceph/ceph.client.admin.keyring"] {
                host.write(&File { path: path.into(), bytes: keys.clone().into_bytes(), mode: 0o600 })?;
            }
            host.write(&File { path: "/etc/ceph/monmap".into(), bytes: map.clone(), mode: 0o644 })
        })
    }

    /// What daemons and clients read. All that is said of files are the usual paths, so hosts need no more.
    fn conf(&self, hosts: &[Host<'_>]) -> String {
        let mons: Vec<_> = hosts.iter().map(mon_address).collect();
        format!(
            "[global]\nfsid = {}\nmon_host = {}\npublic_network = 10.99.0.0/24\n{COMMON}osd_objectstore = bluestore\n\
             osd_pool_default_size = 3\nosd_pool_default_min_size = 2\n[client]\nadmin_socket =\nlog_file = /dev/null\n",
            self.fsid,
            mons.join(",")
        )
    }

    fn client_conf(&self) -> PathBuf {
        self.dir.path().join("ceph.conf")
    }

    /// The cluster's id.
    #[must_use]
    pub fn fsid(&self) -> &str {
        &self.fsid
    }

    /// A program in the lab's own namespace that finds the cluster as its administrator.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.namespace.command(program);
        command.env("CEPH_CONF", self.client_conf()).env_remove("CEPH_ARGS").env_remove("CEPH_KEYRING");
        command
    }

    /// Runs `ceph` with these words and judges nothing.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn try_ceph(&self, words: &[&str]) -> anyhow::Result<Output> {
        client::attempt(self.command("timeout"), words)
    }

    /// Runs `ceph` with these words and `-f json`; null where it writes nothing.
    ///
    /// # Errors
    /// It fails, or writes something that is no JSON.
    pub fn ceph(&self, words: &[&str]) -> anyhow::Result<Value> {
        client::json(words, |words| self.try_ceph(words))
    }

    /// Waits until it is healthy with all of its daemons.
    ///
    /// # Errors
    /// It is not, for two minutes; the last state is named.
    pub fn wait_healthy(&self) -> anyhow::Result<()> {
        shell::wait(PATIENCE, "the cluster of the hosts is healthy", || {
            let status = self.ceph(&["status"])?;
            let groups = status["pgmap"]["pgs_by_state"].as_array().cloned().unwrap_or_default();
            let clean = groups.iter().all(|state| state["state_name"] == "active+clean");
            let up = status["osdmap"]["num_up_osds"].as_u64().context("no status")?;
            let well = status["health"]["status"] == "HEALTH_OK" && status["mgrmap"]["available"] == true;
            ensure!(
                well && clean && up >= self.hosts as u64,
                "{} {} {}",
                status["health"],
                status["osdmap"],
                status["pgmap"]
            );
            Ok(true)
        })
    }

    /// A pool with a copy on each of three hosts, of which two must be there.
    ///
    /// # Errors
    /// It cannot be made, or is not healthy in two minutes.
    pub fn pool_create(&self, name: &str) -> anyhow::Result<()> {
        self.ceph(&["osd", "pool", "create", name, "8", "8"])?;
        self.ceph(&["osd", "pool", "application", "enable", name, "test"])?;
        self.wait_healthy()
    }

    /// Flags of CRUSH buckets: `{"one": ["noout"]}`.
    ///
    /// # Errors
    /// There is no answer.
    pub fn flags(&self) -> anyhow::Result<Value> {
        Ok(self.ceph(&["osd", "dump"])?["crush_node_flags"].clone())
    }
}

/// Does something to all hosts at once.
fn each(hosts: &[Host<'_>], what: impl Fn(usize, &Host<'_>) -> anyhow::Result<()> + Sync) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let what = &what;
        let all: Vec<_> =
            hosts.iter().enumerate().map(|(number, host)| scope.spawn(move || what(number, host))).collect();
        all.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("a thread failed"))?)
    })
}

fn mon_address(host: &Host<'_>) -> String {
    let address = host.address();
    format!("[v2:{address}:3300,v1:{address}:6789]")
}

/// The keys of everybody.
fn keyring(key: &str, hosts: &[Host<'_>]) -> String {
    let mut keyring = Keyring::new(key);
    for (number, host) in hosts.iter().enumerate() {
        let osd = [("mon", "allow profile osd"), ("mgr", "allow profile osd"), ("osd", "allow *")];
        keyring.add(&format!("osd.{number}"), &osd);
        let mgr = [("mon", "allow profile mgr"), ("osd", "allow *"), ("mds", "allow *")];
        keyring.add(&format!("mgr.{}", host.name()), &mgr);
    }
    keyring.text()
}
