//! Three hosts with a systemd, the packaged agent and a part of one Ceph cluster each.

use std::time::Duration;

use hostler_tests::ceph;
use hostler_tests::hosts::{File, Host, Lab, Options, Storage};
use hostler_tests::lab::{self, Manager, until};
use serde_json::{Value, json};

use super::session::{Session, upload};

/// The hosts, in the order in which they have their turn.
pub const HOSTS: [&str; 3] = ["rack-1", "rack-2", "rack-3"];

/// How long a session over all of them may take: each is watched for half a minute when its daemons stop, and several times
/// until the cluster was clean for a while.
pub const LONG: Duration = Duration::from_secs(900);

/// What the package does when it is configured: it says so, asks for a reboot when it replaces an older one, and fails where it
/// is told to.
const POSTINST: &str = "echo \"$1 $version\" >>/var/log/tool.configured
if [ -e /root/broken ]; then echo 'the tool is broken'; exit 1; fi
if [ -n \"$2\" ]; then touch /run/reboot-required; echo tool >>/run/reboot-required.pkgs; fi";

/// Every boot leaves its id.
const BOOTS: &str = "[Unit]\nDescription=Notes the boot\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
                     ExecStart=/bin/sh -c 'cat /proc/sys/kernel/random/boot_id >>/var/log/boots'\n\
                     [Install]\nWantedBy=multi-user.target\n";

/// The script of the library that notes where it ran.
const NOTE: &str = "#!/bin/sh\necho \"$SESSION_ID $STEP_ID\" >>/var/log/noted\n";

/// A manager, three hosts, and the cluster that they bear.
pub struct Rack<'a> {
    /// The manager.
    pub manager: Manager,
    /// The hosts.
    pub hosts: Vec<Host<'a>>,
    /// Their cluster, with a pool `data`.
    pub storage: Storage,
}

/// A laboratory in which a rack can be.
pub fn laboratory() -> Option<Lab> {
    if ceph::possible() { Lab::start().unwrap() } else { None }
}

impl<'a> Rack<'a> {
    /// Starts all of it, with version 1 of the package `tool` on each host and version 2 in its archive.
    pub async fn start(lab: &'a Lab) -> Self {
        let mut options = Options::for_ceph();
        options.files.push(File::text("/etc/systemd/system/boots.service", BOOTS));
        let manager = lab.start_manager(lab::Options::default()).await.unwrap();
        let hosts = lab.hosts(&HOSTS, &options).unwrap();
        let storage = Storage::start(lab, &hosts).unwrap();
        storage.pool_create("data").unwrap();
        for host in &hosts {
            host.exec(&["systemctl", "enable", "--quiet", "--now", "boots.service"]).unwrap();
            host.archive("/srv/archive", "site", POSTINST, &["tool=1"]).unwrap();
            host.apt_from(&["/srv/archive"]).unwrap();
            host.exec(&["sh", "-c", "apt-get update -qq && apt-get install -y -qq tool"]).unwrap();
            host.archive("/srv/archive", "site", POSTINST, &["tool=2"]).unwrap();
            host.enlist(&manager).await.unwrap();
        }
        for name in HOSTS {
            let known = until(LONG, "the manager knows the cluster of the host", async || {
                Ok(manager.get(&format!("/api/hosts/{name}")).await?["cluster"] == storage.fsid())
            });
            known.await.unwrap();
        }
        upload(&manager, "note", NOTE).await;
        Self { manager, hosts, storage }
    }

    /// A session that upgrades all packages, runs the script, and boots where something asks for it.
    pub async fn upgrade(&self, more: Value) -> Session {
        let packages =
            json!({ "plugin": "packages", "type": "host", "metadata": { "scope": "upgrade", "refresh": true } });
        let mut wanted = json!({
            "hosts": HOSTS,
            "actions": [packages, super::session::script("note")],
            "policy": { "storage": { "stable_for": 0 } },
        });
        wanted.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        wanted["policy"]["compute_mode"] = "strict".into();
        Session::create(&self.manager, wanted).await
    }

    /// The lines of a file of a host; none if it is not there.
    pub fn lines(&self, host: usize, path: &str) -> Vec<String> {
        self.hosts[host].read(path).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// What of a host's work is written on the host itself: configurations of the package, runs of the script, boots.
    pub fn traces(&self, host: usize) -> [usize; 3] {
        ["/var/log/tool.configured", "/var/log/noted", "/var/log/boots"].map(|path| self.lines(host, path).len())
    }

    /// Nothing of a session is left in the cluster.
    pub fn nothing_left(&self) {
        self.storage.wait_healthy().unwrap();
        let flags = self.storage.flags().unwrap();
        assert!(flags.as_object().is_none_or(serde_json::Map::is_empty), "{flags}");
    }

    /// What people need who wonder why a test failed.
    pub fn logs(&self) -> String {
        let logs = self.hosts.iter().map(|host| format!("---- {}\n{}", host.name(), host.agent_log()));
        let status =
            self.storage.ceph(&["status"]).map_or_else(|error| format!("{error:#}"), |status| status.to_string());
        format!("{status}\n{}", logs.collect::<String>())
    }
}
