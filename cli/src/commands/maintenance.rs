//! `hostler maintenance`: hosts that are taken out of service, worked on and brought back (docs/maintenance.md).

mod constraint;
mod control;
mod history;
mod moment;
mod plan;
mod plugin;
mod request;
mod screen;
mod session;
mod show;
mod story;
mod watch;

use std::time::Duration;

use clap::Subcommand;

use super::values;
use crate::context::Context;
use crate::failure::Failure;

/// The states of a session.
const STATES: [&str; 8] = [
    "MAINTENANCE",
    "SCALE_IN",
    "PREPARE_MAINTENANCE",
    "START_MAINTENANCE",
    "PLANNED_MAINTENANCE",
    "MAINTENANCE_COMPLETE",
    "MAINTENANCE_DONE",
    "MAINTENANCE_FAILED",
];

/// What to do with maintenance sessions.
#[derive(Subcommand, Debug)]
pub enum MaintenanceCommand {
    /// Say what a session would do, in which order, and what is in the way; changes nothing
    Plan(Box<plan::PlanArgs>),
    /// Begin a session
    Start(Box<request::StartArgs>),
    /// List sessions, the oldest first
    List {
        /// Only those in this state
        #[arg(long, ignore_case = true, value_parser = STATES)]
        state: Option<String>,
        /// Those that were deleted, rather than the others
        #[arg(long)]
        deleted: bool,
    },
    /// Show a session with its hosts
    Show {
        /// Name or id of the session, or how its id begins; without it, the only one that is not over
        session: Option<String>,
    },
    /// Follow a session until it is over; fails if it fails
    Watch {
        /// Name or id of the session, or how its id begins; without it, the only one that is not over
        session: Option<String>,
        /// How long to follow it; without it, for ever
        #[arg(long, value_name = "TIME", value_parser = values::length)]
        timeout: Option<Duration>,
    },
    /// Show what was done, step by step
    History(history::HistoryArgs),
    /// Finish the steps in flight and begin nothing new
    Pause {
        /// Name or id of the session, or how its id begins
        session: String,
    },
    /// Let a session go on that is paused, or that failed
    Resume {
        /// Name or id of the session, or how its id begins
        session: String,
    },
    /// Try hosts again that failed; what is done on them is not repeated
    Retry {
        /// Name or id of the session, or how its id begins
        session: String,
        /// Hosts; without them, all that failed
        #[arg(value_name = "HOST")]
        hosts: Vec<String>,
    },
    /// Accept hosts as they are: they go back into service and are left out
    Skip {
        /// Name or id of the session, or how its id begins
        session: String,
        /// Hosts that failed, or whose turn has not come
        #[arg(value_name = "HOST", required = true)]
        hosts: Vec<String>,
    },
    /// End a session before it is done: hosts at work finish, the others go back into service
    Abort {
        /// Name or id of the session, or how its id begins
        session: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Approve what a session waits for
    Approve {
        /// Name or id of the session, or how its id begins
        session: String,
    },
    /// Delete a session: everything that it changed is given back, its history stays to be read
    Delete {
        /// Name or id of the session, or how its id begins
        session: String,
        /// Leave the host at work out of service, for repair
        #[arg(long)]
        hold: bool,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// What runs on hosts in a session
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// What instances and groups of instances need
    #[command(subcommand)]
    Constraint(constraint::ConstraintCommand),
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached, a plan cannot be carried out, or a watched session failed.
pub async fn run(command: MaintenanceCommand, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let client = &client;
    match command {
        MaintenanceCommand::Plan(args) => plan::run(context, client, *args).await,
        MaintenanceCommand::Start(args) => request::start(context, client, *args).await,
        MaintenanceCommand::List { state, deleted } => show::list(context, client, state.as_deref(), deleted).await,
        MaintenanceCommand::Show { session } => show::one(context, client, session.as_deref()).await,
        MaintenanceCommand::Watch { session, timeout } => {
            let id = session::find_or_only(client, session.as_deref()).await?;
            watch::run(context, client, &id, timeout).await
        }
        MaintenanceCommand::History(args) => history::run(context, client, args).await,
        MaintenanceCommand::Pause { session } => control::pause(context, client, &session).await,
        MaintenanceCommand::Resume { session } => control::resume(context, client, &session).await,
        MaintenanceCommand::Retry { session, hosts } => control::retry(context, client, &session, hosts).await,
        MaintenanceCommand::Skip { session, hosts } => control::skip(context, client, &session, &hosts).await,
        MaintenanceCommand::Abort { session, yes } => control::abort(context, client, &session, yes).await,
        MaintenanceCommand::Approve { session } => control::approve(context, client, &session).await,
        MaintenanceCommand::Delete { session, hold, yes } => {
            control::delete(context, client, &session, hold, yes).await
        }
        MaintenanceCommand::Plugin(command) => plugin::run(command, context, client).await,
        MaintenanceCommand::Constraint(command) => constraint::run(command, context, client).await,
    }
}
