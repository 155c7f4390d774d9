//! `hostler up` with the real program and two stand-ins beside it: a shell script for the agent, and this test program
//! itself, started again, for the manager.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/stand_in.rs"]
mod support;

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use support::{Answer, Request, StandIn, stderr, stdout};

/// A directory with the three programs, and one for the state.
struct Bench {
    root: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("bin");
        fs::create_dir(&bin).unwrap();
        // A link where possible: a file that was just written can be "busy" while other tests start programs.
        let (built, here) = (env!("CARGO_BIN_EXE_hostler"), bin.join("hostler"));
        fs::hard_link(built, &here).or_else(|_| fs::copy(built, &here).map(drop)).unwrap();
        let own = std::env::current_exe().unwrap();
        let manager = format!(
            "#!/bin/sh\nSTAND_IN_ARGS=\"$*\" exec '{}' stand_in_manager --exact --ignored --nocapture\n",
            own.display()
        );
        let bench = Self { root };
        bench.program("hostler-manager", &manager);
        bench.program("hostler-agent", include_str!("support/agent.sh"));
        bench
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.root.path().join("bin").join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn state(&self, name: &str) -> PathBuf {
        self.root.path().join("state").join(name)
    }

    fn hostler(&self, args: &[&str]) -> Command {
        let mut command = support::command(self.root.path().join("bin/hostler").to_str().unwrap());
        command.args(args).env("HOSTLER_STATE_DIR", self.root.path().join("state"));
        command
    }

    fn up(&self, more: &[&str]) -> Command {
        let listen: &[&str] = if more.contains(&"--listen") { &[] } else { &["--listen", "127.0.0.1:0"] };
        self.hostler(&[&["up", "--agent-listen", "127.0.0.1:0"], listen, more].concat())
    }

    fn once(&self) -> Output {
        self.up(&["--once"]).output().unwrap()
    }

    fn serve(&self) -> Child {
        self.up(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.state(name)).unwrap()).unwrap()
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.state(name)).unwrap_or_default()
    }
}

/// Waits until something is there, for at most twenty seconds.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn pid_in(path: &Path) -> Option<Pid> {
    fs::read_to_string(path).ok()?.trim().parse().ok().map(Pid::from_raw)
}

fn alive(pid: Pid) -> bool {
    // A process that ended but was not waited for yet is no longer alive.
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = state.rsplit(')').next().unwrap_or_default().trim_start().chars().next();
    state.is_some_and(|state| state != 'Z')
}

fn signal(child: &Child, which: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), which).unwrap();
}

#[test]
fn once_shows_the_machine_and_leaves_nothing_running_and_a_second_run_resumes() {
    let bench = Bench::new();
    let output = bench.once();
    assert_eq!(output.status.code(), Some(0), "{}{}", stderr(&output), bench.log("manager.log"));
    let text = stdout(&output);
    assert!(text.starts_with("Hostler was up.\n") && text.contains("Test CPU, 2 threads"), "{text}");
    let up = bench.json("up.json");
    let keys = [
        "url",
        "agent_endpoint",
        "username",
        "password",
        "project",
        "domain",
        "token",
        "join_token",
        "ca_file",
        "clouds_yaml",
    ];
    for key in keys {
        assert!(up[key].as_str().is_some_and(|text| !text.is_empty()), "{key}");
    }
    for name in ["up.json", "clouds.yaml", "secrets.json", "manager.toml", "manager.log", "agent.log"] {
        assert_eq!(fs::metadata(bench.state(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    assert!(fs::read_to_string(bench.state("clouds.yaml")).unwrap().contains("region_name: r1"));
    assert!(!bench.state("agent/running").exists() && bench.log("agent.log").contains("orderly end"));
    assert!(!alive(pid_in(&bench.state("manager/pid")).unwrap()));

    let again = bench.up(&["--once", "-o", "json"]).output().unwrap();
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_eq!(bench.json("up.json"), up, "the same system, at the same addresses");
    assert_eq!(bench.log("agent.log").matches("joined").count(), 1);
    let told: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((&told["host"]["id"], &told["url"]), (&json!("h1"), &up["url"]));
    assert!(!stdout(&again).contains(up["token"].as_str().unwrap()));
}

#[test]
fn an_agent_that_joined_elsewhere_is_told_the_new_address() {
    let bench = Bench::new();
    assert_eq!(bench.once().status.code(), Some(0));
    let before = bench.json("up.json");
    let _taken = TcpListener::bind(before["agent_endpoint"].as_str().unwrap()).unwrap();
    let output = bench.once();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let after = bench.json("up.json");
    assert_ne!(before["agent_endpoint"], after["agent_endpoint"]);
    assert_eq!(before["host"], after["host"]);
    let told = format!("managers [\"{}\"]", after["agent_endpoint"].as_str().unwrap());
    assert!(bench.log("agent.log").contains(&told), "{}", bench.log("agent.log"));
}

#[test]
fn plain_http_beyond_this_machine_must_be_wanted() {
    let bench = Bench::new();
    let output = bench.up(&["--once", "--listen", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("HOSTLER_MANAGER_LISTEN__ALLOW_PLAIN_HTTP=true"));
    assert!(!bench.state("secrets.json").exists());
    let wanted =
        bench.up(&["--once", "--listen", "0.0.0.0:0"]).env("HOSTLER_MANAGER_LISTEN__ALLOW_PLAIN_HTTP", "true").output();
    assert_eq!(wanted.unwrap().status.code(), Some(0));
    assert!(bench.json("up.json")["url"].as_str().unwrap().starts_with("http://127.0.0.1:"));
}

#[test]
fn it_serves_restarts_what_dies_and_stops_in_order() {
    let bench = Bench::new();
    let mut up = bench.serve();
    until("up.json", || bench.state("up.json").exists().then_some(()));
    let output = bench.hostler(&["host", "show", "h1", "-o", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));

    let second = bench.once();
    assert_eq!(second.status.code(), Some(5));
    assert!(stderr(&second).contains(&format!("process {}", up.id())), "{}", stderr(&second));

    for name in ["agent/running", "manager/pid"] {
        let first = until(name, || pid_in(&bench.state(name)));
        kill(first, Signal::SIGKILL).unwrap();
        let next = until("a restart", || pid_in(&bench.state(name)).filter(|pid| *pid != first));
        assert!(alive(next), "{name}");
    }
    let answers = || bench.hostler(&["host", "show", "h1"]).output().unwrap().status.success().then_some(());
    until("the manager at its old address", answers);

    signal(&up, Signal::SIGTERM);
    assert_eq!(up.wait().unwrap().code(), Some(0));
    let mut told = String::new();
    up.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.contains("The agent runs again.") && told.contains("The manager runs again."), "{told}");
    assert!(bench.log("agent.log").contains("orderly end") && !bench.state("agent/running").exists());
    assert!(!alive(pid_in(&bench.state("manager/pid")).unwrap()));
}

#[test]
fn nothing_lingers_when_it_is_killed() {
    let bench = Bench::new();
    let mut up = bench.serve();
    let agent = until("the agent", || pid_in(&bench.state("agent/running")));
    until("up.json", || bench.state("up.json").exists().then_some(()));
    let manager = pid_in(&bench.state("manager/pid")).unwrap();
    up.kill().unwrap();
    up.wait().unwrap();
    until("the daemons' end", || (!alive(agent) && !alive(manager)).then_some(()));
    assert!(bench.log("agent.log").contains("end of input"));
}

#[test]
fn without_an_agent_it_tells_how_to_add_hosts() {
    let bench = Bench::new();
    let output = bench.up(&["--once", "--no-agent"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("Manager") && !bench.state("agent").exists());
    let quiet = bench.up(&["--once", "--quiet"]).output().unwrap();
    assert_eq!(quiet.status.code(), Some(0));
    assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty());
}

#[test]
fn a_manager_that_dies_shows_why() {
    let bench = Bench::new();
    bench.program("hostler-manager", "#!/bin/sh\necho 'address in use: 127.0.0.1:8080'\nexit 1\n");
    let output = bench.once();
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("address in use") && text.contains("manager.log"), "{text}");
    assert!(!bench.state("up.json").exists());
}

#[test]
fn an_agent_that_cannot_enrol_shows_why() {
    let bench = Bench::new();
    bench.program("hostler-agent", "#!/bin/sh\necho 'the join token has expired'\nexit 1\n");
    let output = bench.once();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("the join token has expired"), "{}", stderr(&output));
    assert!(!alive(pid_in(&bench.state("manager/pid")).unwrap()));
}

#[test]
fn missing_daemons_are_explained() {
    let bench = Bench::new();
    fs::remove_file(bench.root.path().join("bin/hostler-agent")).unwrap();
    let output = bench.once();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cargo build --release"), "{}", stderr(&output));
}

/// Not a test: what `hostler-manager` is in the tests above. Ends when its standard input does.
#[test]
#[ignore = "started by the other tests as a program of its own"]
fn stand_in_manager() {
    let args = std::env::var("STAND_IN_ARGS").unwrap();
    let config = args.strip_prefix("run --config ").and_then(|rest| rest.strip_suffix(" --exit-with-parent")).unwrap();
    let config: toml::Table = fs::read_to_string(config).unwrap().parse().unwrap();
    let dir = PathBuf::from(config["state_dir"].as_str().unwrap());
    fs::create_dir_all(&dir).unwrap();
    let bind = |key: &str| TcpListener::bind(config["listen"][key].as_str().unwrap()).unwrap();
    let (rest, agents) = (bind("rest"), bind("agents"));
    let listening =
        json!({"rest": rest.local_addr().unwrap().to_string(), "agents": agents.local_addr().unwrap().to_string()});
    let state = dir.clone();
    let _server = StandIn::on(rest, move |request| manager(&state, request));
    fs::write(dir.join("pid"), std::process::id().to_string()).unwrap();
    fs::write(dir.join("listening.json"), listening.to_string()).unwrap();
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
}

fn manager(dir: &Path, request: &Request) -> Answer {
    let tokens = dir.join("tokens.json");
    let known = fs::read_to_string(&tokens).unwrap_or_else(|_| "[]".into());
    let known: Vec<Value> = serde_json::from_str(&known).unwrap();
    let line = request.line();
    match line.as_str() {
        "GET /readyz" => Answer(200, Vec::new(), "ok".into()),
        "GET /api/join-tokens" => Answer::json(200, json!({"data": known})),
        "POST /api/join-tokens" => {
            assert_eq!(request.body["uses"], 0);
            let id = format!("j{}", known.len());
            let token = json!({"id": id, "token": format!("secret-{id}"), "state": "active"});
            fs::write(&tokens, json!([token]).to_string()).unwrap();
            Answer::json(201, token)
        }
        "POST /identity/v3/auth/tokens" => {
            let told = json!({"token": {"user": {"id": "u"}, "catalog": [{"endpoints": [{"region": "r1"}]}]}});
            let mut answer = Answer::json(201, told);
            answer.1.push(("X-Subject-Token", "t".into()));
            answer
        }
        "POST /api/hosts/h1/introspect" => Answer::json(202, json!({"task": 1})),
        "PATCH /api/hosts/h1" => {
            assert_eq!(request.body, json!({"roles": ["management"]}));
            Answer::json(200, json!({"id": "h1"}))
        }
        "GET /api/tasks/1" => Answer::json(200, json!({"id": 1, "state": "FINISHED", "done": true})),
        "GET /api/hosts/h1/inventories/latest" => {
            Answer::json(200, json!({"inventory": {"cpu": {"model_name": "Test CPU", "count": 2}}}))
        }
        _ if line.starts_with("GET /api/hosts/") => {
            let online = dir.with_file_name("agent").join("running").exists();
            let state = if online { "online" } else { "enrolled" };
            Answer::json(200, json!({"id": "h1", "name": "test-host", "state": state, "agent": {}}))
        }
        other => panic!("{other}"),
    }
}
