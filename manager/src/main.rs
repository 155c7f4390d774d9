//! `hostler-manager`: the manager daemon and its offline commands.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use hostler_daemon::process;
use hostler_manager::assemble;
use hostler_manager::config::Config;
use hostler_manager::store::Store;

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
    process::install_crypto();
    let done = match Arguments::parse().command {
        Command::Run { config, exit_with_parent } => run(&config, exit_with_parent),
        Command::CheckConfig { config } => check_config(&config),
        Command::Backup { config, target } => backup(&config, &target),
    };
    process::end("hostler-manager", done)
}

fn load(file: &Path) -> anyhow::Result<Config> {
    let config = Config::load(file)?;
    assemble::check(&config).with_context(|| file.display().to_string())?;
    Ok(config)
}

fn check_config(file: &Path) -> anyhow::Result<()> {
    load(file)?;
    process::complain("the settings are in order");
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

fn run(file: &Path, exit_with_parent: bool) -> anyhow::Result<()> {
    let config = load(file)?;
    config.log.start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        let stop = process::asked_to_end(exit_with_parent);
        assemble::run(config, stop).await
    });
    runtime.shutdown_background();
    done
}
