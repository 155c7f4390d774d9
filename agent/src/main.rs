//! `hostler-agent`: the daemon of a host, and the helpers that it starts of itself.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use hostler_agent::config::{Config, is_address};
use hostler_agent::daemon::Daemon;
use hostler_agent::identity::Identity;
use hostler_agent::operator::Operator;
use hostler_agent::process::{Folder, supervise};
use hostler_agent::shared_identity::SharedIdentity;
use hostler_agent::{files, lldp, probes, steps, sys};
use hostler_daemon::process::{self, Service};
use tokio::sync::oneshot;

const STATE_DIR: &str = "/var/lib/hostler-agent";

/// The agent of Hostler on one host.
#[derive(Parser)]
#[command(name = "hostler-agent", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Join a manager: exchange a join token for the identity of this host.
    Join {
        /// Where a manager is; may be given several times, the first that answers is asked.
        #[arg(long = "manager", value_name = "HOST:PORT", required = true, value_parser = parse_address)]
        managers: Vec<String>,
        /// The join token (hostler join-token create).
        #[arg(long, env = "HOSTLER_JOIN_TOKEN", hide_env_values = true)]
        token: String,
        /// Where the identity and the journal are kept.
        #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
        state_dir: PathBuf,
        /// The name of this host [default: the machine's host name].
        #[arg(long)]
        name: Option<String>,
    },
    /// Run the daemon.
    Run {
        /// Where the identity and the journal are kept.
        #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
        state_dir: PathBuf,
        /// The settings [default: /etc/hostler/agent.toml, if it is there].
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Exit orderly when standard input ends.
        #[arg(long)]
        exit_with_parent: bool,
    },
    /// Check the settings and exit.
    CheckConfig {
        /// The settings [default: /etc/hostler/agent.toml, if it is there].
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Read the facts of this host and print them; the daemon starts this.
    #[command(hide = true)]
    Probe {
        #[command(flatten)]
        arguments: probes::Arguments,
    },
    /// Make a change and print what became of it; the daemon starts this.
    #[command(hide = true)]
    Step {
        #[command(flatten)]
        arguments: steps::Arguments,
    },
    /// Run the program of a job; the daemon starts this.
    #[command(hide = true)]
    Supervise {
        /// The folder of the program.
        folder: PathBuf,
    },
}

fn parse_address(text: &str) -> Result<String, String> {
    if is_address(text) { Ok(text.to_owned()) } else { Err("must be HOST:PORT".into()) }
}

fn main() -> ExitCode {
    process::install_crypto();
    let done = match Arguments::parse().command {
        Command::Join { managers, token, state_dir, name } => join(&state_dir, &managers, &token, name),
        Command::Run { state_dir, config, exit_with_parent } => run(state_dir, config.as_deref(), exit_with_parent),
        Command::CheckConfig { config } => check_config(config.as_deref()),
        Command::Probe { arguments } => probe(arguments),
        Command::Step { arguments } => {
            return steps::run_cli(arguments, &mut std::io::stdout().lock(), &mut std::io::stderr().lock());
        }
        Command::Supervise { folder } => supervise::run(&Folder::new(folder)).context("a program cannot be supervised"),
    };
    process::end("hostler-agent", done)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // One thread: the agent is idle nearly always, and its work is done by programs of its own.
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")
}

fn join(state_dir: &Path, managers: &[String], token: &str, name: Option<String>) -> anyhow::Result<()> {
    let name = match name {
        Some(name) => name,
        None => sysinfo::System::host_name().context("this machine has no host name; give --name")?,
    };
    let identity = runtime()?.block_on(hostler_agent::join::join(state_dir, managers, token, &name))?;
    process::complain(&format!("joined as {} ({})", identity.name, identity.host));
    Ok(())
}

fn check_config(config: Option<&Path>) -> anyhow::Result<()> {
    let config = Config::load(config)?;
    if let Some(pki) = config.pki {
        Operator::open(pki).context("pki")?;
    }
    process::complain("the settings are in order");
    Ok(())
}

fn probe(arguments: probes::Arguments) -> anyhow::Result<()> {
    // The host has better things to do (spec/introspection.md §6.2); a probe that may not step back still looks.
    sys::step_back().ok();
    probes::run_cli(arguments, &mut std::io::stdout().lock()).context("the facts cannot be told")
}

fn run(state_dir: PathBuf, config: Option<&Path>, exit_with_parent: bool) -> anyhow::Result<()> {
    let config = Config::load(config)?;
    config.log.start()?;
    let (identity, name, joined) = identify(&config, &state_dir)?;
    // Two agents on one journal would run jobs twice.
    let _lock = process::lock_state(&state_dir, "agent")?;
    let managers = if config.managers.is_empty() { joined } else { config.managers.clone() };
    let runtime = runtime()?;
    runtime.block_on(async {
        let stop = process::asked_to_end(exit_with_parent);
        tokio::spawn(listen_for_neighbours(state_dir.clone()));
        let (ready, started) = oneshot::channel();
        let daemon = Daemon::new(state_dir, identity, &config, ready).await?;
        let service = Service::begin();
        tokio::spawn(async move {
            wait_for_start(started).await;
            tracing::info!(host = name, version = env!("CARGO_PKG_VERSION"), "agent started");
            process::tell_ready();
        });
        daemon.run(managers, stop).await;
        service.stopping();
        tracing::info!("agent stopped");
        anyhow::Ok(())
    })?;
    // A thread may still wait for a program that goes on without us.
    runtime.shutdown_background();
    Ok(())
}

/// Who this agent is, by what name, and which managers it joined.
fn identify(config: &Config, state_dir: &Path) -> anyhow::Result<(SharedIdentity, String, Vec<String>)> {
    if let Some(pki) = &config.pki {
        let operator = Operator::open(pki.clone()).context("pki")?;
        files::make_folder(state_dir).with_context(|| state_dir.display().to_string())?;
        let name = operator.name();
        return Ok((SharedIdentity::of_operator(operator), name, Vec::new()));
    }
    let identity = Identity::load(state_dir)?
        .with_context(|| format!("{} has no identity; run hostler-agent join first", state_dir.display()))?;
    let (name, managers) = (identity.name.clone(), identity.managers.clone());
    Ok((SharedIdentity::new(state_dir.to_owned(), identity), name, managers))
}

/// Hears LLDP for as long as the agent runs. Without the capability for that the probe says so in its section.
async fn listen_for_neighbours(state_dir: PathBuf) {
    if let Err(error) = lldp::listen(state_dir).await {
        tracing::info!(%error, "LLDP neighbours are not heard");
    }
}

/// Waits for the end of the scripts before the start, and tells systemd that it takes longer for as long as they run: package
/// managers in them may wait for each other for minutes (spec/hooks.md §7.3).
async fn wait_for_start(mut started: oneshot::Receiver<()>) {
    let each = Duration::from_secs(10);
    while tokio::time::timeout(each, &mut started).await.is_err() {
        process::tell_longer(each * 3);
    }
}
