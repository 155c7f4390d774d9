//! `hostler host identity`: data of another machine that are held back, until somebody accepts or discards them.

use clap::Subcommand;
use serde_json::{Map, Value};

use super::host::unknown;
use crate::client::Client;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::field::{at, moment, show};
use crate::output::table;
use crate::prompt;

/// What to do with a host that shows itself as another machine.
#[derive(Subcommand, Debug)]
pub enum IdentityCommand {
    /// Show which machine a host is, and which it seems to be now
    Show {
        /// Name, UUID or number
        host: String,
    },
    /// The host is another machine now: take its data
    Accept {
        /// Name, UUID or number
        host: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// The data are not of this host: drop them
    Discard {
        /// Name, UUID or number
        host: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn run(command: IdentityCommand, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    match command {
        IdentityCommand::Show { host } => {
            let path = ["api", "hosts", host.as_str(), "identity"];
            let found = client.get(format!("show the identity of host {host}"), &path).json().await.map_err(unknown)?;
            context.output.data(&found, |theme| table::record(theme, &rows(&found)))
        }
        IdentityCommand::Accept { host, yes } => {
            prompt::confirm(yes, &format!("Is host {host} another machine from now on?")).await?;
            let begun = decide(&client, &host, "accept").await?;
            context.output.data(&begun, |_| format!("Task {} processes its data.\n", show(&begun, "task")))
        }
        IdentityCommand::Discard { host, yes } => {
            prompt::confirm(yes, &format!("Drop the data of another machine that host {host} sent?")).await?;
            decide(&client, &host, "discard").await?;
            context.output.note(&format!("The data are dropped; host {host} is the machine that it was."));
            Ok(())
        }
    }
}

/// The answer; null where there is none.
async fn decide(client: &Client, host: &str, word: &str) -> Result<Value, Failure> {
    let path = ["api", "hosts", host, "identity", word];
    let call = client.post(format!("{word} the new identity of host {host}"), &path).body(Value::Object(Map::new()));
    let reply = call.reply().await.map_err(|failure| match failure.kind {
        Kind::NotFound => failure.hint(format!("`hostler host identity show {host}` shows whether data are held back")),
        _ => failure,
    })?;
    Ok(serde_json::from_slice(&reply.body).unwrap_or_default())
}

fn rows(found: &Value) -> Vec<(&'static str, String)> {
    let mut rows = vec![("System UUID", show(found, "known.systemUuid")), ("Serial", show(found, "known.serial"))];
    if at(found, "change").is_object() {
        rows.extend([
            ("Held since", moment(found, "change.heldAt")),
            ("New UUID", show(found, "change.found.systemUuid")),
            ("New serial", show(found, "change.found.serial")),
        ]);
    } else {
        rows.push(("Held back", "nothing".into()));
    }
    rows
}
