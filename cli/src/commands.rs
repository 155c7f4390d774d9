//! The command groups, one file each. Every file holds its part of the command line, the requests it makes and the
//! columns it shows.

pub mod agent;
pub mod audit;
pub mod ceph;
pub mod clouds_yaml;
pub mod completion;
pub mod credential;
pub mod drift;
pub mod event;
pub mod hook;
pub mod host;
pub mod identity;
pub mod introspect;
pub mod inventory;
pub mod join_token;
pub mod machine;
pub mod maintenance;
pub mod outcome;
pub mod project;
pub mod role;
pub mod rule;
pub mod script;
pub mod secret;
pub mod select;
pub mod step;
pub mod task;
pub mod user;
pub mod values;
pub mod wait;
pub mod webhook;

use crate::args::Command;
use crate::context::Context;
use crate::failure::Failure;

/// Runs one command.
///
/// # Errors
/// Whatever the command reports.
pub async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Up(args) => crate::up::run(&args, context).await,
        Command::Host(command) => host::run(command, context).await,
        Command::Introspect(args) => introspect::run(args, context).await,
        Command::Inventory(command) => inventory::run(command, context).await,
        Command::Rule(command) => rule::run(command, context).await,
        Command::JoinToken(command) => join_token::run(command, context).await,
        Command::Agent(command) => agent::run(command, context).await,
        Command::Script(command) => script::run(command, context).await,
        Command::Hook(command) => hook::run(command, context).await,
        Command::Secret(command) => secret::run(command, context).await,
        Command::Step(command) => step::run(command, context).await,
        Command::Ceph(command) => ceph::run(command, context).await,
        Command::Maintenance(command) => maintenance::run(command, context).await,
        Command::Audit(command) => audit::run(command, context).await,
        Command::Task(command) => task::run(command, context).await,
        Command::Event(command) => event::run(command, context).await,
        Command::Webhook(command) => webhook::run(command, context).await,
        Command::User(command) => user::run(command, context).await,
        Command::Project(command) => project::run(command, context).await,
        Command::Role(command) => role::run(command, context).await,
        Command::Credential(command) => credential::run(command, context).await,
        Command::CloudsYaml(args) => clouds_yaml::run(args, context).await,
        Command::Completion(args) => completion::run(&args),
    }
}
