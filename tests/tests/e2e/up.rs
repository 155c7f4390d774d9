//! `hostler up`: a whole system by one command.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use hostler_tests::lab::{Daemon, binary, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);
const PORTS: [&str; 4] = ["--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0"];

fn up_once(dir: &Path) -> Output {
    Command::new(binary("hostler")).args(["up", "--once", "--state-dir"]).arg(dir).args(PORTS).output().unwrap()
}

fn up_json(dir: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join("up.json")).unwrap()).unwrap()
}

#[test]
fn once_shows_this_machine_and_a_second_run_resumes() {
    // What else a run writes, and with which rights, is shown by cli/tests/up.rs.
    let dir = tempfile::tempdir().unwrap();
    let first = up_once(dir.path());
    assert!(first.status.success(), "{first:?}");
    let said = String::from_utf8_lossy(&first.stdout);
    for word in ["Host", "CPU", "Memory", "Disks", "NICs"] {
        assert!(said.contains(word), "{said}");
    }
    let before = up_json(dir.path());
    let second = up_once(dir.path());
    assert!(second.status.success(), "{second:?}");
    let after = up_json(dir.path());
    assert_eq!((&before["host"], &before["token"]), (&after["host"], &after["token"]));
}

/// A running `hostler up`.
fn up(dir: &Path) -> Daemon {
    let state = dir.join("state");
    let arguments = [&["up", "--state-dir", state.to_str().unwrap()][..], &PORTS[..]].concat();
    Daemon::start(&binary("hostler"), &arguments, &[], dir.join("up.log")).unwrap()
}

/// The process of the agent that runs on that state folder.
fn agent_of(state: &Path) -> Option<Pid> {
    let wanted = state.join("agent");
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let id: i32 = entry.file_name().to_str()?.parse().ok()?;
        let line = String::from_utf8(std::fs::read(entry.path().join("cmdline")).ok()?).ok()?;
        let arguments: Vec<&str> = line.split('\0').collect();
        (arguments.get(1) == Some(&"run") && arguments.contains(&wanted.to_str()?)).then(|| Pid::from_raw(id))
    })
}

#[tokio::test]
async fn it_restarts_its_agent_and_stops_orderly() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let mut up = up(dir.path());
    until(SOON, "it is up", async || Ok(state.join("up.json").is_file())).await.unwrap();
    let first = agent_of(&state).unwrap();
    kill(first, Signal::SIGKILL).unwrap();
    until(SOON, "another agent runs", async || Ok(agent_of(&state).is_some_and(|agent| agent != first))).await.unwrap();
    up.signal(Signal::SIGINT).unwrap();
    assert_eq!(up.wait(SOON).unwrap(), Some(0), "{}", up.log());
    assert!(agent_of(&state).is_none(), "an agent was left behind");
}

#[tokio::test]
async fn nothing_lingers_when_it_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let mut up = up(dir.path());
    until(SOON, "it is up", async || Ok(state.join("up.json").is_file())).await.unwrap();
    up.kill().unwrap();
    until(SOON, "its agent ends by itself", async || Ok(agent_of(&state).is_none())).await.unwrap();
}

#[test]
fn it_works_as_an_ordinary_user() {
    if !nix::unistd::geteuid().is_root() {
        return; // Then every other test here shows it.
    }
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    // The build may lie where that user cannot look: the three binaries are all that is needed.
    for name in ["hostler", "hostler-manager", "hostler-agent"] {
        std::fs::copy(binary(name), dir.path().join(name)).unwrap();
    }
    std::os::unix::fs::chown(dir.path(), Some(65534), Some(65534)).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(dir.path().join("hostler"))
        .args(["up", "--once", "--state-dir"])
        .arg(dir.path().join("state"))
        .args(PORTS)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
