//! `hostler agent`: the agents of hosts.

use clap::Subcommand;
use serde_json::{Map, Value};

use super::host::unknown;
use crate::context::Context;
use crate::failure::Failure;
use crate::prompt;

/// What to do with agents.
#[derive(Subcommand, Debug)]
pub enum AgentCommand {
    /// Cut an agent off at once and for good
    Revoke {
        /// Name, UUID or number of its host
        host: String,
        /// Why, for the record
        #[arg(long)]
        reason: Option<String>,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn run(command: AgentCommand, context: &Context) -> Result<(), Failure> {
    let AgentCommand::Revoke { host, reason, yes } = command;
    let client = context.client().await?;
    prompt::confirm(yes, &format!("Cut off the agent of host {host} for good?")).await?;
    let mut body = Map::new();
    if let Some(reason) = reason {
        body.insert("reason".into(), reason.into());
    }
    let path = ["api", "hosts", host.as_str(), "agent", "revoke"];
    let call = client.post(format!("revoke the agent of host {host}"), &path).body(Value::Object(body));
    call.done().await.map_err(unknown)?;
    context
        .output
        .note(&format!("The agent of host {host} is revoked. To use the host again, enrol it with a new join token."));
    Ok(())
}
