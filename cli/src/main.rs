//! `hostler`: the operator's command line. It speaks only the manager's REST API, and starts a whole system on one
//! machine with `hostler up`.
//!
//! Data goes to standard output and everything else to standard error; exit codes are those of [`failure::EXIT_CODES`].

mod args;
mod client;
mod commands;
mod connect;
mod context;
mod failure;
mod follow;
mod output;
mod prompt;
mod up;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::context::Context;
use crate::failure::{Failure, Kind};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to tell if standard error cannot be written; the exit code still says it.
            drop(std::io::stderr().lock().write_all(failure.message().as_bytes()));
            ExitCode::from(failure.kind.exit_code())
        }
    }
}

fn start(cli: Cli) -> Result<(), Failure> {
    let trouble = |why: String| Failure::new(Kind::Failed, "cannot start", why);
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| trouble("another cryptography provider is installed already".into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| trouble(error.to_string()))?;
    let outcome = runtime.block_on(interruptible(cli));
    // A prompt that was interrupted still blocks its thread on the terminal.
    runtime.shutdown_background();
    outcome
}

/// Runs the command until it ends or Ctrl-C is pressed; `up` sees to Ctrl-C itself, because it has things to stop.
async fn interruptible(cli: Cli) -> Result<(), Failure> {
    let context = Context::new(cli.output, cli.connect);
    if let Command::Up(args) = &cli.command {
        return up::run(args, &context).await;
    }
    tokio::select! {
        outcome = commands::run(cli.command, &context) => outcome,
        () = context.interrupted() => Err(Failure::interrupted()),
    }
}
