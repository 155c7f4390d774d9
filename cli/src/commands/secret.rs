//! `hostler secret`: values that scripts get as files and that nobody reads back.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use reqwest::Method;
use serde_json::json;

use super::script;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::field::{moment, show};
use crate::output::table::Column;
use crate::prompt;

/// What to do with secrets.
#[derive(Subcommand, Debug)]
pub enum SecretCommand {
    /// Store a value under a name, in place of one that is there
    Put {
        /// Name
        name: String,
        /// File with the value, byte for byte, or - for standard input; without it, it is asked for
        #[arg(short, long)]
        file: Option<PathBuf>,
    },
    /// List secrets without their values
    List,
    /// Remove a secret
    Rm {
        /// Name
        name: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached, or there is no value.
pub async fn run(command: SecretCommand, context: &Context) -> Result<(), Failure> {
    match command {
        SecretCommand::Put { name, file } => put(context, &name, file.as_deref()).await,
        SecretCommand::List => {
            let path = ["api", "secrets"];
            let found = context.client().await?.counted_pages("list secrets", &path, &json!({}), usize::MAX).await?;
            context.output.list(&found, &columns(), "No secrets. `hostler secret put NAME` stores one.")
        }
        SecretCommand::Rm { name, yes } => {
            let client = context.client().await?;
            prompt::confirm(yes, &format!("Remove secret {name}?")).await?;
            let call = client.delete(format!("remove secret {name}"), &["api", "secrets", &name]);
            call.done().await.map_err(|failure| match failure.kind {
                Kind::NotFound => failure.hint("`hostler secret list` shows all secrets"),
                _ => failure,
            })?;
            context.output.note(&format!("Secret {name} is removed."));
            Ok(())
        }
    }
}

async fn put(context: &Context, name: &str, file: Option<&Path>) -> Result<(), Failure> {
    let doing = format!("store secret {name}");
    let value = match file {
        Some(file) => script::text(&doing, file)?,
        None => prompt::secret(&context.output, &format!("Value of {name}")).await?,
    };
    let client = context.client().await?;
    client.call(Method::PUT, doing, &["api", "secrets", name]).body(json!({ "value": value })).done().await?;
    context.output.note(&format!("Secret {name} is stored. Scripts get it with --secret FILE={name}."));
    Ok(())
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("NAME", |v| show(v, "name")).whole(),
        Column::new("CHANGED", |v| moment(v, "updatedAt")).whole(),
        Column::new("BY", |v| show(v, "updatedBy")),
        Column::new("CREATED", |v| moment(v, "createdAt")).whole().spare(),
    ]
}
