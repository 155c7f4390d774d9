//! `hostler step`: changes of a host that its agent knows how to make (spec/hooks.md §7), and what `hostler ceph` has in
//! common with it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use hostler_common::step::{NetworkChange, NetworkFile, Step, UnitAction, UnitChange};
use serde_json::{Value, json};

use super::{outcome, script, select, values};
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::follow;
use crate::prompt;

/// What all changes have in common.
#[derive(Args, Clone, Copy, Debug)]
pub struct StepArgs {
    /// Leave the hooks out that would run before and after it
    #[arg(long)]
    skip_hooks: bool,
    /// Only begin it; do not wait
    #[arg(short, long)]
    detach: bool,
}

impl StepArgs {
    /// Whether anything is said.
    pub fn given(self) -> bool {
        self.skip_hooks || self.detach
    }
}

/// What is done to a unit or daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Action {
    /// Start it
    Start,
    /// Stop it
    Stop,
    /// Stop it and start it
    Restart,
}

impl From<Action> for UnitAction {
    fn from(action: Action) -> Self {
        match action {
            Action::Start => Self::Start,
            Action::Stop => Self::Stop,
            Action::Restart => Self::Restart,
        }
    }
}

/// What to do to a host.
#[derive(Subcommand, Debug)]
pub enum StepCommand {
    /// Start, stop or restart a systemd unit and wait until that is done
    Unit {
        /// What
        #[arg(value_enum)]
        action: Action,
        /// Host: name, UUID or number
        host: String,
        /// The unit with its suffix, such as chrony.service
        unit: String,
        /// How.
        #[command(flatten)]
        step: StepArgs,
    },
    /// Replace files of the network configuration, apply them, and put them back if the host loses the manager
    Network(NetworkArgs),
    /// Make a change that is written down as JSON, as in POST /api/servers/{id}/steps
    Run {
        /// Host: name, UUID or number
        host: String,
        /// File with the step, or - for standard input
        file: PathBuf,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// How.
        #[command(flatten)]
        step: StepArgs,
    },
}

/// A change of the network configuration.
#[derive(Args, Debug)]
pub struct NetworkArgs {
    /// Host: name, UUID or number
    host: String,
    /// Interface that is concerned
    #[arg(long, value_delimiter = ',', required = true, value_name = "NAME,...")]
    interface: Vec<String>,
    /// File on the host, and the file here with what it is to contain
    #[arg(long, value_name = "PATH=FILE", value_parser = values::pair, required_unless_present = "remove")]
    file: Vec<(String, String)>,
    /// File on the host to remove
    #[arg(long, value_name = "PATH")]
    remove: Vec<String>,
    /// How long the host has to reach the manager afterwards
    #[arg(long, value_name = "TIME", value_parser = values::length, default_value = "60s")]
    confirm: Duration,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// How.
    #[command(flatten)]
    step: StepArgs,
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached, or the change failed.
pub async fn run(command: StepCommand, context: &Context) -> Result<(), Failure> {
    match command {
        StepCommand::Unit { action, host, unit, step } => {
            let change = Step::Unit(UnitChange { unit, action: action.into() });
            take(context, &host, &change, step).await
        }
        StepCommand::Network(args) => network(context, args).await,
        StepCommand::Run { host, file, yes, step } => {
            let doing = format!("change host {host}");
            let text = script::text(&doing, &file)?;
            let wrong = |error: serde_json::Error| {
                Failure::new(Kind::Usage, format!("cannot {doing}"), format!("{}: {error}", file.display()))
                    .hint("the file has to hold one step, such as {\"step\": \"unit\", \"unit\": \"x.service\", \"action\": \"restart\"}")
            };
            let change: Step = serde_json::from_str(&text).map_err(wrong)?;
            if matches!(change, Step::FormatDisk(_)) {
                prompt::insist(yes, &doing, &format!("Destroy all data of the disk on {host}?")).await?;
            }
            take(context, &host, &change, step).await
        }
    }
}

async fn network(context: &Context, args: NetworkArgs) -> Result<(), Failure> {
    let doing = format!("change the network of host {}", args.host);
    let mut files = Vec::new();
    for (path, file) in args.file {
        let contents = Some(script::text(&doing, &PathBuf::from(file))?);
        files.push(NetworkFile { path, contents });
    }
    files.extend(args.remove.into_iter().map(|path| NetworkFile { path, contents: None }));
    let confirm_s = u32::try_from(args.confirm.as_secs()).unwrap_or(u32::MAX);
    let interfaces = args.interface.join(", ");
    prompt::confirm(args.yes, &format!("Change the configuration of {interfaces} on {}?", args.host)).await?;
    let change = Step::Network(NetworkChange { interfaces: args.interface, files, confirm_s });
    take(context, &args.host, &change, args.step).await
}

/// Has an agent make a change, and follows it to its end.
///
/// # Errors
/// The manager refuses or is not reached, or the change failed.
pub async fn take(context: &Context, host: &str, step: &Step, args: StepArgs) -> Result<(), Failure> {
    let doing = format!("change host {host}");
    let client = context.client().await?;
    let number = select::number(&client, host).await?.to_string();
    let step = serde_json::to_value(step)
        .map_err(|error| Failure::new(Kind::Failed, format!("cannot {doing}"), error.to_string()))?;
    let mut body = json!({ "step": step });
    if args.skip_hooks {
        body["skipHooks"] = Value::Bool(true);
    }
    let call = client.post(doing.as_str(), &["api", "servers", &number, "steps"]).body(body);
    let task = call.json().await?;
    if args.detach {
        return outcome::begun(context, &task);
    }
    let id = outcome::number(&task, &doing)?;
    if context.output.for_people() {
        context.output.note(&format!("Task {id}: {}", crate::output::field::show(&task, "name")));
    }
    outcome::of_step(context, &follow::run(context, id).await?)
}
