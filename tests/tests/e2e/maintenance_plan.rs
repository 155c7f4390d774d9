//! What the command line says of a plan over hosts with instances whose owners have rules (spec/maintenance.md §3.4, §3.5).
//!
//! The manager is whole and heard on sockets, but runs in this process: its compute side is in memory.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use hostler_common::id::HostId;
use hostler_core::maintenance::instance::{Instance, InstanceState, Size};
use hostler_manager::assemble;
use hostler_manager::config::Config;
use hostler_manager::engine::compute::{ComputeSide, Memory};
use hostler_tests::lab::{binary, until};
use hostler_tests::swarm::agent::Shared;
use hostler_tests::swarm::crew::{Crew, Muster};
use hostler_tests::swarm::document::Template;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::site::SOON;

const TOKEN: &str = "plan-admin-token";
const PROJECT: &str = "7c1d9be24f6a4d0f8b35a6e2c9410d77";

struct Site {
    url: String,
    compute: Arc<Memory>,
    crew: Crew,
    manager: tokio::task::JoinHandle<anyhow::Result<()>>,
    stop: CancellationToken,
    // The last one: it goes when all others are gone.
    dir: tempfile::TempDir,
}

impl Site {
    /// A manager and so many hosts of 16 vCPUs and 64 GiB.
    async fn start(hosts: u32) -> Self {
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let dir = tempfile::tempdir().unwrap();
        let hash = hex::encode(Sha256::digest(TOKEN));
        let state_dir = dir.path().join("manager");
        let settings = format!(
            "state_dir = {state_dir:?}\n[listen]\nrest = \"127.0.0.1:0\"\nagents = \"127.0.0.1:0\"\n\
             [[auth.static_tokens]]\nname = \"plan\"\ntoken_sha256 = \"{hash}\"\nroles = [\"admin\"]\n"
        );
        std::fs::write(dir.path().join("manager.toml"), settings).unwrap();
        let config = Config::load(&dir.path().join("manager.toml")).unwrap();
        let (compute, stop) = (Arc::new(Memory::default()), CancellationToken::new());
        let side = ComputeSide(Arc::clone(&compute) as _);
        let manager = tokio::spawn(assemble::run_with(config, side, stop.clone()));
        let (url, agents) = listening(&state_dir.join("listening.json")).await;
        let token = output(&url, &["join-token", "create", "--uses", &hosts.to_string(), "-o", "json"]);
        let token: Value = serde_json::from_slice(&token.stdout).unwrap();
        let muster = Muster {
            manager: agents,
            token: token["token"].as_str().unwrap().to_owned(),
            state_dir: dir.path().join("agents"),
            agents: hosts,
            at_once: 2,
        };
        let shared = Arc::new(Shared::new(Template::generated(6), Duration::ZERO));
        let crew = Crew::muster(&muster, &shared).await.unwrap();
        let site = Self { url, compute, crew, manager, stop, dir };
        until(SOON, "all hosts are there", async || {
            let list: Value = serde_json::from_str(&site.says(&["host", "list", "-o", "json"]))?;
            let list = list.as_array().or_else(|| list["hosts"].as_array()).cloned().unwrap_or_default();
            Ok(list.iter().filter(|host| host["state"] == "online").count() == hosts as usize)
        })
        .await
        .unwrap();
        for host in site.crew.hosts.clone() {
            site.compute.add_host(host, Size { vcpus: 16, memory_mib: 64 << 10, disk_gib: 0 });
        }
        site
    }

    /// The host with that number.
    fn host(&self, number: usize) -> HostId {
        let list: Value = serde_json::from_str(&self.says(&["host", "list", "-o", "json"])).unwrap();
        let list = list.as_array().or_else(|| list["hosts"].as_array()).cloned().unwrap();
        let name = format!("swarm-{number:05}");
        let host = list.iter().find(|host| host["name"] == name.as_str()).unwrap();
        host["id"].as_str().unwrap().parse().unwrap()
    }

    fn put(&self, id: &str, host: usize, vcpus: u32, group: Option<&str>, needs: &[&str]) {
        self.compute.put(Instance {
            id: id.into(),
            name: id.into(),
            project: PROJECT.into(),
            host: self.host(host),
            state: InstanceState::Active,
            size: Size { vcpus, memory_mib: u64::from(vcpus) << 11, disk_gib: 0 },
            can_live_migrate: true,
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
            group: group.map(str::to_owned),
            busy: false,
        });
    }

    fn output(&self, words: &[&str]) -> Output {
        output(&self.url, words)
    }

    fn says(&self, words: &[&str]) -> String {
        let output = self.output(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn end(self) {
        self.crew.dismiss().await;
        self.stop.cancel();
        self.manager.await.unwrap().unwrap();
        drop(self.dir);
    }
}

async fn listening(file: &Path) -> (String, String) {
    until(SOON, "the manager listens", async || Ok(file.is_file())).await.unwrap();
    let listening: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let at = |key: &str| listening[key].as_str().unwrap().to_owned();
    (format!("http://{}", at("rest")), at("agents"))
}

fn output(url: &str, words: &[&str]) -> Output {
    let mut command = Command::new(binary("hostler"));
    command.args(words).env_remove("HOSTLER_STATE_DIR");
    command.envs([("HOSTLER_URL", url), ("HOSTLER_TOKEN", TOKEN)]).output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_explains_order_parallelism_and_what_is_in_the_way() {
    let site = Site::start(5).await;
    // Three replicas that may not share a host, of which one at a time may be impacted; a few others; one host is empty.
    for host in 0..3 {
        site.put(&format!("db-{host}"), host, 4, Some("9d0f7c7e-0000-4000-8000-00000000000d"), &[]);
    }
    site.put("web-1", 1, 2, None, &[]);
    site.put("web-2", 3, 2, None, &[]);
    let project = format!("project_id={PROJECT}");
    let group = ["maintenance", "constraint", "set", "group", "9d0f7c7e-0000-4000-8000-00000000000d", &project];
    let rules = ["group_name=db", "anti_affinity_group=true", "max_instances_per_host=1", "max_impacted_members=1"];
    site.says(&[&group[..], &rules, &["recovery_time=60", "resource_mitigation=true"]].concat());

    let plan = ["maintenance", "plan", "--all", "--packages=security", "--reboot", "--parallel", "2"];
    let text = site.says(&plan);
    println!("{text}");
    for part in [
        "5 hosts in ",
        "at most 2 hosts at a time\n",
        "packages security",
        "every host, after everything else",
        "it has no instances",
        "Why not more at once\n",
        "Where instances go\n",
        "db-0      ",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    // No two hosts with members of the group are at work at once, and the plan says that this is why.
    let told: Value = serde_json::from_str(&site.says(&[&plan[..], &["-o", "json"]].concat())).unwrap();
    let hosts = told["plan"]["hosts"].as_array().unwrap();
    let with_members: Vec<&Value> = hosts
        .iter()
        .filter(|host| {
            let moved = host["landings"].as_array().unwrap();
            moved.iter().any(|landing| landing["instance"].as_str().unwrap().starts_with("db-"))
        })
        .collect();
    let mut waves: Vec<u64> = with_members.iter().map(|host| host["wave"].as_u64().unwrap()).collect();
    let all = waves.len();
    waves.dedup();
    assert_eq!((all, waves.len()), (3, 3), "{told}");
    let why = "at most 1 member of the group db may be impacted at once";
    assert!(text.contains(why), "nothing says that the group keeps hosts apart:\n{text}");

    // One that nothing else can take is in the way, and the exit code says so.
    site.put("gpu-1", 3, 2, None, &["gpu"]);
    let refused = site.output(&plan);
    let text = String::from_utf8(refused.stdout).unwrap();
    println!("{text}{}", String::from_utf8_lossy(&refused.stderr));
    assert_eq!(refused.status.code(), Some(5), "{text}");
    for part in ["blocked", "In the way\n", "instance gpu-1: "] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    site.end().await;
}
