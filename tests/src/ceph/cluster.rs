//! Starting a cluster, and asking it.

use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::client;
use super::configuration::{conf, keyring, mon_address, mon_ports, names};
use super::daemons::Daemons;
use super::ports::Ports;
use super::{Options, possible};
use crate::shell::{self, PATIENCE};
use crate::ward::Ward;

/// A running cluster. Dropping it ends it and removes all that it was.
#[derive(Debug)]
pub struct Cluster {
    pub(super) ward: Ward,
    pub(super) daemons: Daemons,
    pub(super) options: Options,
    fsid: String,
    /// The range is taken as long as this is held.
    _ports: Ports,
}

impl Cluster {
    /// Starts a cluster and waits until it is healthy; `None` if that is impossible here, see [`possible`].
    ///
    /// # Errors
    /// It does not get healthy; the logs of the daemons are named.
    pub fn start(options: Options) -> anyhow::Result<Option<Self>> {
        if !possible() {
            return Ok(None);
        }
        let ports = Ports::take()?;
        let first_port = ports.first;
        let fsid = uuid::Uuid::new_v4().to_string();
        let cluster =
            Self { ward: Ward::new("hostler-ceph-")?, daemons: Daemons::default(), options, fsid, _ports: ports };
        match cluster.bring_up(first_port) {
            Ok(()) => Ok(Some(cluster)),
            Err(error) => Err(error.context(cluster.logs())),
        }
    }

    fn bring_up(&self, first_port: u16) -> anyhow::Result<()> {
        self.write_files(first_port)?;
        // OSDs make their stores while the monitors elect: they need none for it.
        std::thread::scope(|scope| {
            let stores: Vec<_> =
                (0..self.options.osds).map(|number| scope.spawn(move || self.make_osd(number))).collect();
            self.start_mons(first_port)?;
            for name in names('x', self.options.mgrs) {
                self.start_daemon(&format!("mgr.{name}"))?;
            }
            let known: anyhow::Result<Vec<_>> =
                stores.into_iter().map(|store| store.join().unwrap_or_else(|_| bail!("a thread failed"))).collect();
            self.register(&known?)
        })?;
        for number in 0..self.options.osds {
            self.start_daemon(&format!("osd.{number}"))?;
        }
        if self.options.mds > 0 {
            self.start_file_system()?;
        }
        self.wait_healthy()
    }

    fn write_files(&self, first_port: u16) -> anyhow::Result<()> {
        let dir = self.dir();
        for name in ["run", "log", "crash"] {
            fs::create_dir(dir.join(name))?;
        }
        let data = (0..self.options.osds).map(|number| format!("osd.{number}"));
        let data = data.chain(names('x', self.options.mgrs).map(|name| format!("mgr.{name}")));
        for name in data.chain(names('a', self.options.mds).map(|name| format!("mds.{name}"))) {
            fs::create_dir(dir.join(name))?;
        }
        let key = shell::sh(&["ceph-authtool", "--gen-print-key"])?;
        fs::write(dir.join("keyring"), keyring(key.trim(), &self.options))?;
        fs::write(self.conf(), conf(dir, &self.fsid, &self.options, self.address(), first_port))?;
        Ok(())
    }

    fn start_mons(&self, first_port: u16) -> anyhow::Result<()> {
        let map = self.dir().join("monmap");
        let mut make = Command::new("monmaptool");
        make.args(["--create", "--fsid", &self.fsid]);
        for (name, port) in names('a', self.options.mons).zip(mon_ports(&self.options, first_port)) {
            make.arg("--addv").arg(name.to_string()).arg(mon_address(self.address(), port));
        }
        shell::run(make.arg(&map))?;
        for name in names('a', self.options.mons) {
            let mut mkfs = self.command("ceph-mon");
            mkfs.args(["--mkfs", "--no-mon-config", "-i", &name.to_string(), "--monmap"]).arg(&map);
            shell::run(mkfs.arg("--keyring").arg(self.dir().join("keyring")))?;
            self.start_daemon(&format!("mon.{name}"))?;
        }
        Ok(())
    }

    /// Makes the store of an OSD; gives the line that makes it known to the monitors.
    fn make_osd(&self, number: u32) -> anyhow::Result<String> {
        let uuid = uuid::Uuid::new_v4().to_string();
        let mut mkfs = self.command("ceph-osd");
        shell::run(mkfs.args(["-i", &number.to_string(), "--mkfs", "--osd-uuid", &uuid, "--no-mon-config"]))?;
        Ok(format!("osd new {uuid} {number}\n"))
    }

    /// Gives many commands to one client, which is much faster than one client each.
    fn register(&self, lines: &[String]) -> anyhow::Result<()> {
        let mut command = self.command("ceph");
        command.args(["--connect-timeout", "60"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = command.spawn()?;
        client.stdin.take().context("no input")?.write_all(lines.concat().as_bytes())?;
        let done = client.wait_with_output()?;
        ensure!(done.status.success(), "OSDs are not taken: {}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    }

    fn start_file_system(&self) -> anyhow::Result<()> {
        for name in names('a', self.options.mds) {
            self.start_daemon(&format!("mds.{name}"))?;
        }
        self.fs_create("cephfs")
    }

    /// The folder with all of the cluster: `log/`, `run/*.asok`, `keyring`, `osd.N/`, ...
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.ward.dir()
    }

    /// `ceph.conf`: with it as `CEPH_CONF`, any client on this machine finds cluster and administrator's key.
    #[must_use]
    pub fn conf(&self) -> PathBuf {
        self.dir().join("ceph.conf")
    }

    /// A configuration for clients and daemons elsewhere, with the usual paths; it names no key.
    ///
    /// # Errors
    /// [`Cluster::conf`] cannot be read.
    pub fn client_conf(&self) -> anyhow::Result<String> {
        let own = fs::read_to_string(self.conf())?;
        let dir = self.dir().display().to_string();
        // What names our folder or our address is our own.
        let shared = own.lines().take_while(|line| *line != "[client]");
        let shared = shared.filter(|line| !line.contains(&dir) && !line.starts_with("public_addr"));
        Ok(shared.map(|line| format!("{line}\n")).collect())
    }

    /// The cluster's id.
    #[must_use]
    pub fn fsid(&self) -> &str {
        &self.fsid
    }

    /// The address that all daemons listen on.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.options.place.as_ref().map_or(Ipv4Addr::LOCALHOST, |(_, address)| *address)
    }

    /// A command where the cluster is, as its administrator.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = match &self.options.place {
            Some((namespace, _)) => namespace.command(program),
            None => Command::new(program),
        };
        command
            .env("CEPH_CONF", self.conf())
            .env_remove("CEPH_ARGS")
            .env_remove("CEPH_KEYRING")
            .current_dir(self.dir());
        command
    }

    /// Runs `ceph` with these words and judges nothing: the exit code is an errno, 1 when there was no connection in 10 s.
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

    /// The overall status, such as `HEALTH_OK`, and the codes of the checks that are not muted.
    ///
    /// # Errors
    /// There is no answer.
    pub fn health(&self) -> anyhow::Result<(String, Vec<String>)> {
        let health = self.ceph(&["health", "detail"])?;
        let checks = health["checks"].as_object().cloned().unwrap_or_default();
        let codes = checks.iter().filter(|(_, check)| check["muted"] != true).map(|(code, _)| code.clone()).collect();
        Ok((health["status"].as_str().context("no status")?.to_owned(), codes))
    }

    /// Waits until the cluster is well: healthy, a manager there, every OSD that was asked for up, every placement group clean.
    ///
    /// # Errors
    /// It is not, for two minutes; the last state is named.
    pub fn wait_healthy(&self) -> anyhow::Result<()> {
        let osds = u64::from(self.options.osds);
        shell::wait(PATIENCE, "the cluster is healthy", || {
            let status = self.ceph(&["status"])?;
            let clean = status["pgmap"]["pgs_by_state"]
                .as_array()
                .is_none_or(|states| states.iter().all(|state| state["state_name"] == "active+clean"));
            let up = status["osdmap"]["num_up_osds"].as_u64().unwrap_or(0);
            let well = status["health"]["status"] == "HEALTH_OK" && status["mgrmap"]["available"] == true;
            ensure!(well && clean && up >= osds, "{} {} {}", status["health"], status["osdmap"], status["pgmap"]);
            Ok(true)
        })
    }

    /// Waits until what is known of placement groups is of the present map: after a change of it, the state of before is told for a
    /// while, health and stop checks included.
    ///
    /// # Errors
    /// It is not, for two minutes.
    pub fn wait_mapped(&self) -> anyhow::Result<()> {
        shell::wait(PATIENCE, "placement groups are where the map says", || {
            let told = self.ceph(&["pg", "dump", "pgs_brief"])?;
            for group in told["pg_stats"].as_array().or(told.as_array()).into_iter().flatten() {
                let id = group["pgid"].as_str().context("a placement group without id")?;
                let mapped = self.ceph(&["pg", "map", id])?;
                ensure!(group["acting"] == mapped["acting"], "{group} {mapped}");
            }
            Ok(true)
        })
    }

    /// Waits until a check of that code is there, and not muted.
    ///
    /// # Errors
    /// It is not, for two minutes.
    pub fn wait_check(&self, code: &str) -> anyhow::Result<()> {
        shell::wait(PATIENCE, code, || {
            let (status, codes) = self.health()?;
            ensure!(codes.iter().any(|other| other == code), "{status} {codes:?}");
            Ok(true)
        })
    }

    /// Asks an OSD to end and waits until it has.
    ///
    /// # Errors
    /// It does not run.
    pub fn stop_osd(&self, number: u32) -> anyhow::Result<()> {
        self.stop(&format!("osd.{number}"))
    }

    /// Starts an OSD that was stopped or killed.
    ///
    /// # Errors
    /// It runs.
    pub fn start_osd(&self, number: u32) -> anyhow::Result<()> {
        self.start_daemon(&format!("osd.{number}"))
    }

    /// Kills a monitor at this instant.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill_mon(&self, name: char) -> anyhow::Result<()> {
        self.kill(&format!("mon.{name}"))
    }

    /// Freezes all monitors: whoever asks the cluster anything hangs.
    ///
    /// # Errors
    /// One does not run.
    pub fn freeze_mons(&self) -> anyhow::Result<()> {
        names('a', self.options.mons).try_for_each(|name| self.freeze(&format!("mon.{name}")))
    }

    /// Undoes [`Cluster::freeze_mons`].
    ///
    /// # Errors
    /// One does not run.
    pub fn thaw_mons(&self) -> anyhow::Result<()> {
        names('a', self.options.mons).try_for_each(|name| self.thaw(&format!("mon.{name}")))
    }

    /// The ends of what the daemons wrote.
    #[must_use]
    pub fn logs(&self) -> String {
        let files = fs::read_dir(self.dir().join("log")).into_iter().flatten().flatten();
        let files = files.filter(|file| file.path().extension().is_some_and(|kind| kind == "out"));
        let shown = files.map(|file| {
            let text = fs::read_to_string(file.path()).unwrap_or_default();
            let lines: Vec<_> = text.lines().rev().take(10).collect();
            format!("---- {}\n{}", file.path().display(), lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
        });
        shown.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            crate::postgres::announce(&self.logs());
        }
        if let Err(error) = self.ward.give_back() {
            crate::postgres::announce(&format!("{error:#}"));
        }
        self.daemons.reap();
    }
}
