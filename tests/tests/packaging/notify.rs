//! The daemons and systemd: ready, alive, stopping.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hostler_tests::lab::binary;

use super::{read, write};

/// How long a daemon may take for anything here.
const PATIENCE: Duration = Duration::from_secs(30);

/// Within what time systemd wants a sign of life.
const WATCHDOG: Duration = Duration::from_secs(4);

/// How many signs of life must come.
const SIGNS: usize = 3;

/// A static token, and its SHA-256.
const TOKEN: &str = "tried";
const TOKEN_SHA256: &str = "b90bc9390bcd6bad933160c81fb4d7016601531fdbdcfeb8c31f71904bd9673b";

/// A daemon that believes to be started by systemd; killed when the test ends early.
struct Daemon {
    child: Child,
    socket: UnixDatagram,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended by itself where the test went as it should.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Daemon {
    fn start(folder: &Path, name: &str, arguments: &[&str]) -> Self {
        let path = folder.join(format!("{name}.notify"));
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = Command::new(binary(name))
            .args(arguments)
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, socket }
    }

    /// The next message; none in time is a failure.
    fn hear(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("no message in time");
        String::from_utf8_lossy(&buffer[..length]).trim().to_owned()
    }

    /// Hears it say several times that it is there, each time soon enough.
    fn is_alive(&self, name: &str) {
        for _ in 0..SIGNS {
            let asked = Instant::now();
            assert_eq!(self.hear(), "WATCHDOG=1", "{name}");
            assert!(asked.elapsed() < WATCHDOG, "systemd would have killed {name}");
        }
    }

    /// Asks it to end, and hears it say so and do so.
    fn stops(mut self, name: &str) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while self.hear() != "STOPPING=1" {
            assert!(Instant::now() < deadline, "{name} does not say that it stops");
        }
        assert!(self.child.wait().unwrap().success(), "{name} does not end orderly");
    }
}

/// A join token of the manager at `address`.
async fn join_token(address: &str) -> String {
    // It fails only when it was done before.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let request = reqwest::Client::new().post(format!("http://{address}/api/join-tokens"));
    let answer = request.header("X-Auth-Token", TOKEN).json(&serde_json::json!({})).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let made: serde_json::Value = answer.json().await.unwrap();
    made["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn both_daemons_tell_systemd_how_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (manager_dir, agent_dir) = (folder.path().join("manager"), folder.path().join("agent"));
    let config = write(
        folder.path(),
        "manager.toml",
        &format!(
            "state_dir = {manager_dir:?}\n[listen]\nrest = \"127.0.0.1:0\"\nagents = \"127.0.0.1:0\"\n\
             [[auth.static_tokens]]\nname = \"test\"\ntoken_sha256 = \"{TOKEN_SHA256}\"\nroles = [\"admin\"]\n"
        ),
    );
    let manager = Daemon::start(folder.path(), "hostler-manager", &["run", "--config", config.to_str().unwrap()]);
    assert_eq!(manager.hear(), "READY=1", "ready means that the addresses are there");
    let listening: serde_json::Value = serde_json::from_str(&read(&manager_dir.join("listening.json"))).unwrap();

    let token = join_token(listening["rest"].as_str().unwrap()).await;
    let state = agent_dir.to_str().unwrap();
    let join = ["join", "--manager", listening["agents"].as_str().unwrap(), "--token", &token];
    let done = Command::new(binary("hostler-agent")).args(join).args(["--state-dir", state, "--name", "one"]).output();
    let done = done.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let agent = Daemon::start(folder.path(), "hostler-agent", &["run", "--state-dir", state]);
    // It gives signs of life while the scripts before its start run.
    let mut said = agent.hear();
    while said == "WATCHDOG=1" {
        said = agent.hear();
    }
    assert_eq!(said, "READY=1");

    manager.is_alive("the manager");
    agent.is_alive("the agent");
    agent.stops("the agent");
    manager.stops("the manager");
    for dir in [&manager_dir, &agent_dir] {
        let mode = std::fs::metadata(dir).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700, "{} is not for its daemon alone", dir.display());
    }
}
