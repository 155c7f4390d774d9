//! Start-up in its order: manager, tokens, agent, `up.json`. While it lasts, the death of a daemon ends it with the end of
//! that daemon's log.

use std::path::PathBuf;
use std::time::Duration;

use hostler_common::text::check_host_name;
use hostler_common::time::{Clock, SystemClock};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::daemon::{Daemon, Program};
use super::files::{JoinToken, Secrets, StateDir};
use super::settings::{self, Listen};
use super::{Reporter, System, UpArgs};
use crate::client::Client;
use crate::commands::clouds_yaml;
use crate::connect::{Target, UpFile, parse_url};
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::{field, human};

/// How long the manager may take to be ready, and the agent to be online.
const READY: Duration = Duration::from_secs(30);
/// How long enrolment may take.
const JOIN: Duration = Duration::from_secs(60);
/// The pause between two looks while waiting.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a new join token is valid.
const TOKEN_LIFE: Duration = Duration::from_secs(7 * 86_400);
/// A join token with less time left is replaced.
const TOKEN_LEFT: Duration = Duration::from_secs(86_400);

/// A system that is up.
pub struct Up {
    /// A client with the administrator's token.
    pub client: Client,
    /// What was written to `up.json`.
    pub file: UpFile,
    /// This machine's host, as the manager sees it; `None` without an agent.
    pub host: Option<Value>,
}

/// Brings the system up.
///
/// # Errors
/// A daemon is missing, dies or does not get ready in time; the manager refuses something.
pub async fn run(
    args: &UpArgs,
    context: &Context,
    dir: &StateDir,
    system: &mut System,
    reporter: &mut Reporter,
) -> Result<Up, Failure> {
    let mut secrets = dir.secrets()?;
    for stale in ["up.json", "manager/listening.json"] {
        dir.remove(stale)
            .map_err(|error| Failure::new(Kind::Failed, format!("cannot remove {stale}"), error.to_string()))?;
    }
    reporter.step("starting the manager");
    let listen = start_manager(args, dir, system, &mut secrets).await?;
    let url = format!("http://{}", settings::reachable(listen.rest));
    let client = client(&url, &secrets)?;
    ready(&client, system).await?;
    let join_token = join_token(&client, dir, &mut secrets).await?;
    let endpoint = settings::reachable(listen.agents).to_string();
    let host = match args.no_agent {
        true => None,
        false => Some(start_agent(&client, dir, system, &mut secrets, (&endpoint, &join_token), reporter).await?),
    };
    let file = UpFile {
        url,
        agent_endpoint: endpoint,
        username: settings::ADMIN.into(),
        password: secrets.password.clone(),
        project: settings::PROJECT.into(),
        domain: settings::DOMAIN.into(),
        token: secrets.token.clone(),
        join_token,
        ca_file: dir.join("manager/ca.pem"),
        clouds_yaml: dir.join("clouds.yaml"),
        host: secrets.host.clone().filter(|_| host.is_some()),
    };
    publish(context, &client, dir, &file).await?;
    Ok(Up { client, file, host })
}

/// Starts the manager and waits for the addresses that it got. They are written back into its configuration, so that it
/// gets the same ones when it is restarted.
async fn start_manager(
    args: &UpArgs,
    dir: &StateDir,
    system: &mut System,
    secrets: &mut Secrets,
) -> Result<Listen, Failure> {
    let wanted = Listen {
        rest: settings::prefer(args.listen, secrets.listen),
        agents: settings::prefer(args.agent_listen, secrets.agent_listen),
    };
    let state = dir.join("manager");
    dir.write("manager.toml", &settings::render(&state, wanted, secrets)?)?;
    let config = dir.join("manager.toml");
    let program = Program {
        path: beside("hostler-manager")?,
        args: vec!["run".into(), "--config".into(), config.into(), "--exit-with-parent".into()],
        env: Vec::new(),
        log: dir.join("manager.log"),
    };
    let manager = system.manager.insert(Daemon::start(program)?);
    let listen = tokio::select! {
        listen = addresses(dir) => listen,
        failure = manager.death() => return Err(failure),
    };
    let listen = listen.ok_or_else(|| late("hostler-manager does not get ready", manager))?;
    secrets.listen = Some(listen.rest);
    secrets.agent_listen = Some(listen.agents);
    dir.write("manager.toml", &settings::render(&state, listen, secrets)?)?;
    dir.write_json("secrets.json", secrets)?;
    Ok(listen)
}

/// What the manager says of its sockets, once it does; `None` if it does not in time.
async fn addresses(dir: &StateDir) -> Option<Listen> {
    let deadline = Instant::now() + READY;
    while Instant::now() < deadline {
        // A file that is only half there is read again.
        if let Ok(Some(listen)) = dir.read_json("manager/listening.json") {
            return Some(listen);
        }
        sleep(PAUSE).await;
    }
    None
}

async fn ready(client: &Client, system: &mut System) -> Result<(), Failure> {
    let Some(manager) = &mut system.manager else { return Ok(()) };
    let asking = async {
        let deadline = Instant::now() + READY;
        loop {
            match client.get("ask whether the manager is ready", &["readyz"]).reply().await {
                Ok(_) => return Ok(()),
                Err(failure) if Instant::now() >= deadline => return Err(failure),
                Err(_) => sleep(PAUSE).await,
            }
        }
    };
    let outcome = tokio::select! {
        outcome = asking => outcome,
        failure = manager.death() => return Err(failure),
    };
    outcome.map_err(|failure| Failure {
        why: format!("{}; the end of its log:\n{}", failure.why, manager.log_tail()),
        ..failure
    })
}

/// The join token of an earlier run while it is good for some time, otherwise a new one.
async fn join_token(client: &Client, dir: &StateDir, secrets: &mut Secrets) -> Result<String, Failure> {
    if let Some(known) = &secrets.join_token {
        let tokens = client.pages("list join tokens", &["api", "join-tokens"], &[], None).await?;
        let now = SystemClock.now();
        let good = tokens.iter().any(|token| {
            let expires = field::string(token, "expiresAt").and_then(human::parse);
            token["id"] == known.id.as_str()
                && token["state"] == "active"
                && expires.is_none_or(|expires| expires.since(now) > TOKEN_LEFT)
        });
        if good {
            return Ok(known.token.clone());
        }
    }
    let body = json!({"description": "hostler up", "expiresIn": TOKEN_LIFE.as_secs(), "uses": 0});
    let made = client.post("create a join token", &["api", "join-tokens"]).body(body).json().await?;
    let part = |key| made[key].as_str().map(str::to_owned);
    let (Some(id), Some(token)) = (part("id"), part("token")) else {
        return Err(Failure::new(Kind::Failed, "cannot create a join token", "the answer has no id or token"));
    };
    secrets.join_token = Some(JoinToken { id, token: token.clone() });
    dir.write_json("secrets.json", secrets)?;
    Ok(token)
}

/// Enrols the agent if it is not, starts it and waits until it is online.
async fn start_agent(
    client: &Client,
    dir: &StateDir,
    system: &mut System,
    secrets: &mut Secrets,
    (endpoint, token): (&str, &str),
    reporter: &mut Reporter,
) -> Result<Value, Failure> {
    let (path, log, state) = (beside("hostler-agent")?, dir.join("agent.log"), dir.join("agent"));
    let name = host_name();
    if !state.join("identity.json").exists() {
        reporter.step("enrolling the agent");
        let mut join = vec!["join".into(), "--manager".into(), endpoint.into(), "--token".into(), token.into()];
        join.extend(["--state-dir".into(), state.clone().into(), "--name".into(), name.as_str().into()]);
        let program = Program { path: path.clone(), args: join, env: Vec::new(), log: log.clone() };
        program.complete("enrol this machine's agent", JOIN).await?;
        secrets.host = None;
        dir.write_json("secrets.json", secrets)?;
    }
    reporter.step("waiting for the agent");
    let started = SystemClock.now();
    let run = vec!["run".into(), "--state-dir".into(), state.into(), "--exit-with-parent".into()];
    // The agent remembers where the manager was when it joined; another run may listen elsewhere.
    let env = vec![("HOSTLER_AGENT_MANAGERS", format!("[\"{endpoint}\"]"))];
    let agent = system.agent.insert(Daemon::start(Program { path, args: run, env, log })?);
    let wanted = secrets.host.clone().unwrap_or_else(|| name.clone());
    let host = tokio::select! {
        host = online(client, &wanted, started) => host?,
        failure = agent.death() => return Err(failure),
    };
    let host = host.ok_or_else(|| late(&format!("the agent of host {wanted} does not get online"), agent))?;
    let known = std::mem::replace(&mut secrets.host, host["id"].as_str().map(str::to_owned));
    dir.write_json("secrets.json", secrets)?;
    if known.is_none() {
        make_management(client, &host).await?;
    }
    Ok(host)
}

/// A system of one machine is its own management node: scripts of the manager's hooks run there.
async fn make_management(client: &Client, host: &Value) -> Result<(), Failure> {
    let id = field::string(host, "id").unwrap_or_default();
    let call = client.call(Method::PATCH, "give this machine its role", &["api", "hosts", id]);
    call.body(json!({"roles": ["management"]})).json().await.map(drop)
}

/// The host, once its agent has connected since `started`; `None` if it does not in time.
async fn online(
    client: &Client,
    host: &str,
    started: hostler_common::time::Timestamp,
) -> Result<Option<Value>, Failure> {
    let deadline = Instant::now() + READY;
    while Instant::now() < deadline {
        match client.get(format!("show host {host}"), &["api", "hosts", host]).json().await {
            Ok(found) => {
                let connected = field::string(&found, "agent.connectedAt").and_then(human::parse);
                if found["state"] == "online" && connected.is_none_or(|connected| connected >= started) {
                    return Ok(Some(found));
                }
            }
            Err(failure) if matches!(failure.kind, Kind::NotFound | Kind::Unavailable) => {}
            Err(failure) => return Err(failure),
        }
        sleep(PAUSE).await;
    }
    Ok(None)
}

/// Writes `clouds.yaml`, then `up.json`, whose presence means that everything is ready.
async fn publish(context: &Context, client: &Client, dir: &StateDir, file: &UpFile) -> Result<(), Failure> {
    let region = match client.log_in(&file.login()).await {
        Ok((_, told)) => clouds_yaml::region(&told),
        Err(failure) if failure.kind == Kind::Unreachable && failure.status.is_some() => {
            context
                .output
                .note("The administrator's password was changed; up.json and clouds.yaml have the first one.");
            None
        }
        Err(failure) => return Err(failure),
    };
    let clouds = clouds_yaml::render(clouds_yaml::CLOUD, &file.url, &file.login(), region.as_deref(), None);
    dir.write("clouds.yaml", &clouds)?;
    dir.write_json("up.json", file)
}

fn client(url: &str, secrets: &Secrets) -> Result<Client, Failure> {
    let target =
        Target { url: parse_url(url)?, token: Some(secrets.token.clone()), login: None, ca_file: None, up_file: None };
    Client::new(&target)
}

fn late(what: &str, daemon: &Daemon) -> Failure {
    let why = format!("{} s passed; the end of its log:\n{}", READY.as_secs(), daemon.log_tail());
    Failure::new(Kind::Failed, what, why)
}

/// A program that lies beside this executable.
fn beside(name: &str) -> Result<PathBuf, Failure> {
    let failed = |why: String| {
        Failure::new(Kind::Failed, format!("cannot find {name}"), why)
            .hint("build or install all three programs into one directory: `cargo build --release`")
    };
    let own = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let path = own.with_file_name(name);
    if path.is_file() { Ok(path) } else { Err(failed(format!("there is no {}", path.display()))) }
}

/// This machine's name, made acceptable if need be.
fn host_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    acceptable(&name.to_string_lossy())
}

fn acceptable(name: &str) -> String {
    if check_host_name(name).is_ok() {
        return name.into();
    }
    let kept: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' }).collect();
    let kept = kept.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    match kept {
        "" => "localhost".into(),
        kept if check_host_name(kept).is_ok() => kept.into(),
        kept => format!("host-{}", &kept[..kept.len().min(200)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_gets_an_acceptable_name() {
        for (name, expected) in [
            ("ceph-07", "ceph-07"),
            ("", "localhost"),
            ("--", "localhost"),
            ("my host", "my-host"),
            ("6f1d2c3a0b4e4a5f8c6d7e8f90a1b2c3", "host-6f1d2c3a0b4e4a5f8c6d7e8f90a1b2c3"),
        ] {
            assert_eq!(acceptable(name), expected);
            assert!(check_host_name(&acceptable(name)).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_missing_daemon_is_explained() {
        let failure = beside("hostler-nothing").unwrap_err();
        assert!(failure.hint.unwrap().contains("cargo build"));
    }
}
