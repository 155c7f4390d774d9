//! Kills for real: of the manager and of agents, in the middle of a run; and a disk that is full.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hostler_tests::lab::{Agent, Manager, Options, skip, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);

/// The process of the probe that runs on the state folder of an agent.
fn probe_of(state_dir: &Path) -> Option<Pid> {
    let wanted = state_dir.to_str()?;
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let id: i32 = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let arguments: Vec<&str> =
            line.split(|byte| *byte == 0).filter_map(|part| std::str::from_utf8(part).ok()).collect();
        (arguments.get(1) == Some(&"probe") && arguments.contains(&wanted)).then(|| Pid::from_raw(id))
    })
}

/// Starts a run and stops its probe at an instant in the middle.
async fn freeze_a_run(manager: &Manager, agent: &Agent) -> Pid {
    let state_dir = agent.state_dir();
    let found = std::thread::spawn(move || {
        for _ in 0..200_000 {
            if let Some(probe) = probe_of(&state_dir)
                && kill(probe, Signal::SIGSTOP).is_ok()
            {
                return Some(probe);
            }
        }
        None
    });
    let start = manager.call("POST", &format!("/v1/introspection/{}", agent.name), None).await.unwrap();
    assert_eq!(start.status, 202, "{start:?}");
    let probe = found.join().unwrap().expect("no probe was seen");
    let status = manager.get(&format!("/v1/introspection/{}", agent.name)).await.unwrap();
    assert_eq!(status["state"], "waiting", "the probe was not stopped in time");
    probe
}

/// How many jobs the agent says that it started.
fn started(agent: &Agent) -> usize {
    agent.log().matches("job started").count()
}

#[tokio::test]
async fn a_probe_outlives_the_agent_and_runs_once() {
    let manager = Manager::start().await.unwrap();
    let mut agent = Agent::start(&manager, "node").await.unwrap();
    manager.introspected("node").await.unwrap();
    let before = started(&agent);
    let probe = freeze_a_run(&manager, &agent).await;
    agent.kill().unwrap();
    manager.host_is("node", "offline").await.unwrap();
    agent.run().unwrap();
    manager.host_is("node", "online").await.unwrap();
    kill(probe, Signal::SIGCONT).unwrap();
    let status = manager.introspected("node").await.unwrap();
    assert_eq!((&status["state"], &status["error"]), (&json!("finished"), &Value::Null), "{status}");
    assert_eq!(started(&agent), before + 1, "{}", agent.log());
    assert!(agent.log().contains("a running job was found"));
}

#[tokio::test]
async fn a_result_survives_the_death_of_the_manager() {
    let mut manager = Manager::start().await.unwrap();
    let agent = Agent::start(&manager, "node").await.unwrap();
    manager.introspected("node").await.unwrap();
    let before = started(&agent);
    let probe = freeze_a_run(&manager, &agent).await;
    manager.kill().unwrap();
    kill(probe, Signal::SIGCONT).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    manager.restart().await.unwrap();
    let status = manager.introspected("node").await.unwrap();
    assert_eq!((&status["state"], &status["error"]), (&json!("finished"), &Value::Null), "{status}");
    assert_eq!(started(&agent), before + 1, "{}", agent.log());
}

#[tokio::test]
async fn a_probe_that_died_with_its_supervisor_is_repeated() {
    let manager = Manager::start().await.unwrap();
    let mut agent = Agent::start(&manager, "node").await.unwrap();
    manager.introspected("node").await.unwrap();
    let probe = freeze_a_run(&manager, &agent).await;
    agent.kill().unwrap();
    // What a power cut leaves: no probe, no supervisor, no end.
    let status = std::fs::read_to_string(format!("/proc/{probe}/status")).unwrap();
    let supervisor = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    kill(Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
    kill(probe, Signal::SIGKILL).unwrap();
    agent.run().unwrap();
    let status = manager.introspected("node").await.unwrap();
    assert_eq!((&status["state"], &status["error"]), (&json!("finished"), &Value::Null), "{status}");
}

#[tokio::test]
async fn an_abort_ends_the_probe() {
    let manager = Manager::start().await.unwrap();
    let agent = Agent::start(&manager, "node").await.unwrap();
    manager.introspected("node").await.unwrap();
    let probe = freeze_a_run(&manager, &agent).await;
    let answer = manager.call("POST", "/v1/introspection/node/abort", None).await.unwrap();
    assert_eq!(answer.status, 202);
    let status = manager.introspected("node").await.unwrap();
    assert_eq!((&status["state"], &status["error"]), (&json!("error"), &json!("Canceled by operator")), "{status}");
    // A stopped process takes TERM only when it goes on; the supervisor's KILL after the grace would take it anyway.
    kill(probe, Signal::SIGCONT).ok();
    until(SOON, "the probe is gone", async || Ok(probe_of(&agent.state_dir()).is_none())).await.unwrap();
    let start = manager.call("POST", "/v1/introspection/node", None).await.unwrap();
    assert_eq!(start.status, 202);
    assert_eq!(manager.introspected("node").await.unwrap()["state"], "finished");
}

#[tokio::test]
async fn an_acknowledged_start_survives_the_death_of_the_manager() {
    let mut manager = Manager::start().await.unwrap();
    let agent = Agent::joined(&manager, "node").await.unwrap();
    for _ in 0..5 {
        let start = manager.call("POST", "/v1/introspection/node", None).await.unwrap();
        manager.kill().unwrap();
        manager.restart().await.unwrap();
        // A first run awaits its first data already; every other one must be there.
        assert!(matches!(start.status, 202 | 400), "{start:?}");
        let status = manager.get("/v1/introspection/node").await.unwrap();
        assert!(matches!(status["state"].as_str(), Some("waiting" | "enrolling" | "starting")), "{status}");
    }
    let mut agent = agent;
    agent.run().unwrap();
    assert_eq!(manager.introspected("node").await.unwrap()["state"], "finished");
}

/// A small file system of its own, unmounted at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "lab"]).arg(dir.path()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0.path()).status().ok();
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_survived() {
    let Some(disk) = SmallDisk::mount() else { return skip("a file system cannot be mounted") };
    let options = Options { state_dir: Some(disk.0.path().join("manager")), ..Options::default() };
    let manager = Manager::with(options).await.unwrap();
    let rule = |n: usize| json!({ "description": format!("{n} {}", "x".repeat(2000)), "actions": [{ "action": "fail", "message": "x" }] });
    let made = manager.call("POST", "/v1/rules", Some(rule(0))).await.unwrap();
    assert_eq!(made.status, 201, "{made:?}");
    let ballast = disk.0.path().join("ballast");
    let mut fill = std::fs::File::create(&ballast).unwrap();
    while std::io::Write::write(&mut fill, &[0; 4096]).is_ok_and(|written| written > 0) {}
    let (mut acknowledged, mut refused) = (1, 0);
    for n in 1..3000 {
        let answer = manager.call("POST", "/v1/rules", Some(rule(n))).await.unwrap();
        match answer.status {
            201 => acknowledged += 1,
            503 => {
                let text = answer.body["error"]["message"].as_str().unwrap_or_default();
                assert!(!text.is_empty(), "{answer:?}");
                refused += 1;
                if refused == 3 {
                    break;
                }
            }
            other => panic!("{other}: {answer:?}"),
        }
    }
    assert_eq!(refused, 3, "the disk never was full");
    let rules = manager.get("/v1/rules").await.unwrap();
    assert_eq!(rules["rules"].as_array().unwrap().len(), acknowledged, "what was acknowledged is there");
    std::fs::remove_file(&ballast).unwrap();
    drop(fill);
    until(SOON, "it recovers by itself", async || {
        Ok(manager.call("POST", "/v1/rules", Some(rule(9999))).await?.status == 201)
    })
    .await
    .unwrap();
    let rules = manager.get("/v1/rules").await.unwrap();
    assert_eq!(rules["rules"].as_array().unwrap().len(), acknowledged + 1);
}
