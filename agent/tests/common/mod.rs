//! A small Ceph cluster for tests: one monitor, one manager daemon, two OSDs in memory, all in a temporary folder. Tests that
//! need it say so and do nothing where Ceph is not installed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, dead_code)]

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hostler_agent::ceph::Access;
use hostler_agent::watch::{Handle, Places, Seen, start_in};
use hostler_common::hook::Assignment;
use hostler_common::step::{Step, StepResult};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A running cluster; it ends with the value.
pub struct Cluster {
    pub dir: tempfile::TempDir,
    pub fsid: String,
    daemons: Vec<Child>,
}

/// Whether Ceph is installed; says so where it is not.
pub fn installed() -> bool {
    let there = ["ceph-mon", "ceph-mgr", "ceph-osd", "ceph", "rbd", "monmaptool"]
        .iter()
        .all(|name| Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok());
    if !there {
        eprintln!("SKIPPED: Ceph is not installed");
    }
    there
}

/// Waits until something holds.
pub fn wait_for(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < end, "{what} did not happen within {limit:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Cluster {
    /// Brings a cluster up and waits until it is healthy.
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("hc").tempdir().unwrap();
        let fsid = uuid::Uuid::now_v7().to_string();
        let mut cluster = Self { dir, fsid, daemons: Vec::new() };
        cluster.configure();
        cluster.daemon("ceph-mon", &["-i", "a"]);
        cluster.daemon("ceph-mgr", &["-i", "x"]);
        let uuids: Vec<String> = (0..2).map(|_| uuid::Uuid::now_v7().to_string()).collect();
        for (number, uuid) in uuids.iter().enumerate() {
            std::fs::create_dir_all(cluster.path(&format!("osd.{number}"))).unwrap();
            cluster.tool("ceph-osd", &["-i", &number.to_string(), "--mkfs", "--osd-uuid", uuid, "--no-mon-config"]);
        }
        for (number, uuid) in uuids.iter().enumerate() {
            cluster.ceph(&["osd", "new", uuid, &number.to_string()]);
            cluster.start_osd(number);
        }
        wait_for("a healthy cluster", Duration::from_secs(90), || {
            let status = cluster.status();
            status["osdmap"]["num_up_osds"] == 2 && status["mgrmap"]["available"] == true
        });
        cluster
    }

    fn configure(&self) {
        let (fsid, dir, port) = (&self.fsid, self.dir.path().display(), free_port());
        let conf = format!(
            "[global]\nfsid = {fsid}\nmon_host = [v2:127.0.0.1:{port}]\npublic_addr = 127.0.0.1\n\
             keyring = {dir}/keyring\nrun_dir = {dir}/run\nadmin_socket = {dir}/run/$name.asok\nlog_file = {dir}/$name.log\n\
             mon_data = {dir}/mon\nmgr_data = {dir}/mgr\nmds_data = {dir}/mds\nosd_data = {dir}/osd.$id\nosd_objectstore = memstore\n\
             memstore_device_bytes = 1073741824\nauth_allow_insecure_global_id_reclaim = false\nmon_data_avail_warn = 2\n\
             mon_data_avail_crit = 1\nosd_pool_default_pg_autoscale_mode = off\nosd_pool_default_pg_num = 8\n\
             osd_pool_default_size = 2\nosd_pool_default_min_size = 1\nmon_allow_pool_delete = true\n\
             osd_crush_chooseleaf_type = 0\nmon_tick_interval = 1\nmon_lease = 3\nmgr_stats_period = 1\nmgr_tick_period = 1\n\
             paxos_propose_interval = 0.05\nosd_heartbeat_interval = 1\nosd_heartbeat_grace = 8\n\
             mon_osd_min_down_reporters = 1\n[client]\nadmin_socket =\nlog_file = /dev/null\n"
        );
        std::fs::write(self.path("ceph.conf"), conf).unwrap();
        for folder in ["mon", "mgr", "run"] {
            std::fs::create_dir_all(self.path(folder)).unwrap();
        }
        let keyring = self.path("keyring").display().to_string();
        let all = "allow *";
        self.tool("ceph-authtool", &["-C", &keyring, "-g", "-n", "mon.", "--cap", "mon", all]);
        let admin = ["--cap", "mon", all, "--cap", "osd", all, "--cap", "mgr", all, "--cap", "mds", all];
        self.tool("ceph-authtool", &[&[keyring.as_str(), "-g", "-n", "client.admin"], &admin[..]].concat());
        let mgr = ["--cap", "mon", "allow profile mgr", "--cap", "osd", all, "--cap", "mds", all];
        self.tool("ceph-authtool", &[&[keyring.as_str(), "-g", "-n", "mgr.x"], &mgr[..]].concat());
        for number in 0..2 {
            let name = format!("osd.{number}");
            let osd = ["--cap", "mon", "allow profile osd", "--cap", "mgr", "allow profile osd", "--cap", "osd", all];
            self.tool("ceph-authtool", &[&[keyring.as_str(), "-g", "-n", &name], &osd[..]].concat());
        }
        let map = self.path("monmap").display().to_string();
        let address = format!("[v2:127.0.0.1:{port}]");
        self.tool("monmaptool", &["--create", "--fsid", fsid, "--addv", "a", &address, &map]);
        self.tool("ceph-mon", &["--mkfs", "-i", "a", "--monmap", &map, "--keyring", &keyring, "--no-mon-config"]);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn conf(&self) -> PathBuf {
        self.path("ceph.conf")
    }

    pub fn access(&self) -> Access {
        Access { conf: Some(self.conf()), ..Access::default() }
    }

    fn daemon(&mut self, program: &str, arguments: &[&str]) {
        let log = std::fs::File::create(self.path(&format!("{program}-{}.out", arguments.join("")))).unwrap();
        let child = Command::new(program)
            .arg("-f")
            .args(arguments)
            .env("CEPH_CONF", self.conf())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        self.daemons.push(child);
    }

    pub fn start_osd(&mut self, number: usize) {
        let location = format!("root=default host=host{number}");
        self.daemon("ceph-osd", &["-i", &number.to_string(), "--crush-location", &location]);
    }

    /// Adds a file system `fs` with its metadata server.
    pub fn start_filesystem(&mut self) {
        let keyring = self.path("keyring").display().to_string();
        let caps = ["--cap", "mon", "allow profile mds", "--cap", "osd", "allow *", "--cap", "mds", "allow"];
        self.tool("ceph-authtool", &[&[keyring.as_str(), "-g", "-n", "mds.m"], &caps[..]].concat());
        self.ceph(&["auth", "import", "-i", &keyring]);
        std::fs::create_dir_all(self.path("mds")).unwrap();
        self.ceph(&["osd", "pool", "create", "meta", "8"]);
        self.ceph(&["osd", "pool", "create", "data", "8"]);
        self.ceph(&["fs", "new", "fs", "meta", "data"]);
        self.daemon("ceph-mds", &["-i", "m"]);
        wait_for("an active metadata server", Duration::from_secs(60), || {
            self.ceph(&["mds", "stat"]).contains("up:active")
        });
    }

    /// Kills every monitor: nobody answers any more.
    pub fn kill_monitors(&mut self) {
        self.daemons[0].kill().unwrap();
        self.daemons[0].wait().unwrap();
    }

    /// Runs a program of Ceph that must succeed; answers with what it wrote.
    pub fn tool(&self, program: &str, arguments: &[&str]) -> String {
        let done = Command::new(program).args(arguments).env("CEPH_CONF", self.conf()).output().unwrap();
        let complaint = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{program} {arguments:?}: {complaint}");
        String::from_utf8(done.stdout).unwrap()
    }

    pub fn ceph(&self, arguments: &[&str]) -> String {
        self.tool("ceph", &[&["--connect-timeout", "20"], arguments].concat())
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ceph(&[arguments, &["--format", "json"]].concat())).unwrap()
    }

    pub fn status(&self) -> Value {
        self.json(&["status"])
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            // It may have ended.
            daemon.kill().ok();
        }
        for daemon in &mut self.daemons {
            daemon.wait().ok();
        }
    }
}

/// The agent's executable.
pub fn agent() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_hostler-agent"))
}

/// Runs a step as the daemon does; answers with its result, or with the reason.
pub fn step(cluster: &Cluster, step: &Step) -> Result<StepResult, String> {
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
        assert!(matches!(done.status.code(), Some(1 | 3)), "{done:?}");
        Err(String::from_utf8(done.stderr).unwrap())
    }
}

/// Starts the event sources as the daemon does, which look for snapshots every half second.
pub fn watch(cluster: &Cluster, assignment: &Assignment) -> (Handle, mpsc::Receiver<Seen>, CancellationToken) {
    let places = Places {
        ceph: cluster.access(),
        runtime_dir: cluster.path("runtime"),
        executable: agent().to_owned(),
        snapshots_every: Duration::from_millis(500),
        ..Places::default()
    };
    let (out, seen) = mpsc::channel(64);
    let stop = CancellationToken::new();
    (start_in(places, assignment, out, stop.clone()), seen, stop)
}
