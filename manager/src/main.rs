//! `hostler-manager`: the manager daemon and its offline commands.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use hostler_manager::assemble;
use hostler_manager::config::{Config, Log};
use hostler_manager::store::Store;
use tokio_util::sync::CancellationToken;

const CONFIG: &str = "/etc/hostler/manager.toml";

/// The manager of Hostler.
#[derive(Parser)]
#[command(name = "hostler-manager", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon.
    Run {
        /// The settings.
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
        /// Exit orderly when standard input ends.
        #[arg(long)]
        exit_with_parent: bool,
    },
    /// Check the settings and exit.
    CheckConfig {
        /// The settings.
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
    },
    /// Write a consistent copy of the store to a new file, also while the manager runs.
    Backup {
        /// The settings.
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
        /// The copy; must not exist.
        target: PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run { config, exit_with_parent } => run(&config, exit_with_parent),
        Command::CheckConfig { config } => check_config(&config),
        Command::Backup { config, target } => backup(&config, &target),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("hostler-manager: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Says something to whoever started us.
fn complain(text: &str) {
    use std::io::Write as _;
    // There is nobody to tell when standard error is closed.
    writeln!(std::io::stderr(), "{text}").ok();
}

fn load(file: &Path) -> anyhow::Result<Config> {
    let config = Config::load(file)?;
    assemble::check(&config).with_context(|| file.display().to_string())?;
    Ok(config)
}

fn check_config(file: &Path) -> anyhow::Result<()> {
    load(file)?;
    complain("the settings are in order");
    Ok(())
}

fn backup(file: &Path, target: &Path) -> anyhow::Result<()> {
    let config = load(file)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Store::open(&assemble::store_options(&config)).await?;
        store.backup(target).await.context("the copy cannot be written")
    })
}

fn start_log(log: &Log) -> anyhow::Result<()> {
    use tracing_subscriber::fmt;
    let filter = tracing_subscriber::EnvFilter::try_new(&log.filter).context("log.filter")?;
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if log.json {
        builder.json().init()
    } else {
        builder.with_ansi(false).init()
    }
    Ok(())
}

fn run(file: &Path, exit_with_parent: bool) -> anyhow::Result<()> {
    // It fails only when it was done before.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let config = load(file)?;
    start_log(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(wait_for_end(stop.clone()));
        if exit_with_parent {
            watch_parent(stop.clone());
        }
        assemble::run(config, stop).await
    });
    runtime.shutdown_background();
    done
}

async fn wait_for_end(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    if let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    }
}

/// Cancels `stop` when standard input ends.
fn watch_parent(stop: CancellationToken) {
    std::thread::spawn(move || {
        // Whatever is written to us is not for us.
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).ok();
        stop.cancel();
    });
}
