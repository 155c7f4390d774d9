//! `hostler ceph flag`: flags of the cluster (spec/hooks.md §4.2).

use clap::{Args, Subcommand};
use hostler_common::step::{CephFlag, Step};
use reqwest::Method;
use serde_json::Value;

use super::super::step::{self, StepArgs};
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::field::{UNKNOWN, show};
use crate::output::table::Column;

/// What to do with flags.
#[derive(Subcommand, Debug)]
pub enum FlagCommand {
    /// List the flags and which are set
    List {
        /// The cluster's id, where several are watched
        #[arg(long, value_name = "FSID")]
        cluster: Option<String>,
    },
    /// Set a flag
    Set(FlagArgs),
    /// Unset a flag
    Unset(FlagArgs),
}

/// Which flag, and who does it.
#[derive(Args, Debug)]
pub struct FlagArgs {
    /// The flag, such as noout
    flag: String,
    /// The cluster's id, where several are watched
    #[arg(long, value_name = "FSID", conflicts_with = "on")]
    cluster: Option<String>,
    /// Host that does it; without it, the one that watches the cluster
    #[arg(long, value_name = "HOST")]
    on: Option<String>,
    /// How, with --on.
    #[command(flatten)]
    step: StepArgs,
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached, or the change failed.
pub async fn run(command: FlagCommand, context: &Context) -> Result<(), Failure> {
    match command {
        FlagCommand::List { cluster } => list(context, cluster.as_deref()).await,
        FlagCommand::Set(args) => change(context, args, true).await,
        FlagCommand::Unset(args) => change(context, args, false).await,
    }
}

async fn list(context: &Context, cluster: Option<&str>) -> Result<(), Failure> {
    let client = context.client().await?;
    let call = client.get("list the flags of the cluster", &["api", "maintenance", "flags"]);
    let answer = call.query("cluster", cluster).json().await.map_err(hinted)?;
    let flags = answer.as_array().cloned().unwrap_or_default();
    context.output.list(&flags, &columns(), "No flags.")
}

async fn change(context: &Context, args: FlagArgs, set: bool) -> Result<(), Failure> {
    let FlagArgs { flag, cluster, on, step } = args;
    if let Some(host) = on {
        return step::take(context, &host, &Step::CephFlag(CephFlag { flag, set }), step).await;
    }
    if step.given() {
        let why = "--skip-hooks and --detach need a host";
        return Err(Failure::new(Kind::Usage, format!("cannot change flag {flag}"), why).hint("name it with --on"));
    }
    let (verb, word) = if set { ("set", "set") } else { ("unset", "no longer set") };
    let client = context.client().await?;
    let call = client.call(Method::PUT, format!("{verb} {flag}"), &["api", "maintenance", "flags", &flag, verb]);
    call.query("cluster", cluster.as_deref()).done().await.map_err(hinted)?;
    context.output.note(&format!("{flag} is {word}."));
    Ok(())
}

fn hinted(failure: Failure) -> Failure {
    match failure.kind {
        Kind::NotFound => failure.hint("`hostler ceph flag list` shows the flags"),
        Kind::Rejected => failure.hint("name the cluster with --cluster FSID"),
        _ => failure,
    }
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("FLAG", |v| show(v, "name")).whole(),
        Column::new("SET", state).whole(),
        Column::new("WHAT IT DOES", |v| show(v, "description")),
    ]
}

fn state(flag: &Value) -> String {
    flag["currentState"].as_bool().map_or(UNKNOWN, |set| if set { "yes" } else { "no" }).into()
}
