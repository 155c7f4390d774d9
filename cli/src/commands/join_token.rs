//! `hostler join-token`: tokens with which hosts enrol.

use std::time::Duration;

use clap::{Args, Subcommand};
use hostler_common::time::{Clock, SystemClock};
use serde_json::{Map, Value, json};

use super::values;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::field::{UNKNOWN, moment, show, string};
use crate::output::human;
use crate::output::table::{self, Column};

/// What to do with join tokens.
#[derive(Subcommand, Debug)]
pub enum JoinTokenCommand {
    /// Make a token; it is shown this once
    Create(CreateArgs),
    /// List tokens, without the secret part
    List,
    /// Make a token useless; hosts that enrolled with it stay
    Revoke {
        /// Id of the token
        id: String,
    },
}

/// What the token is good for.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// How long it is valid
    #[arg(long, value_name = "TIME", value_parser = values::length, default_value = "1h")]
    expires: Duration,
    /// How many hosts may use it; 0 means any number
    #[arg(long, default_value_t = 1)]
    uses: u32,
    /// Only for a host of this name; repeat for more
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// Only for hosts in this network; repeat for more
    #[arg(long, value_name = "CIDR")]
    network: Vec<String>,
    /// Role that the host gets; repeat for more
    #[arg(long)]
    role: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn run(command: JoinTokenCommand, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    match command {
        JoinTokenCommand::Create(args) => {
            let token = client.post("create a join token", &["api", "join-tokens"]).body(request(&args)).json().await?;
            context.output.data(&token, |theme| table::record(theme, &rows(&token)))?;
            if context.output.for_people() {
                let secret = string(&token, "token").unwrap_or("TOKEN");
                let line = format!("On the host: hostler-agent join --manager HOST:7443 --token {secret}");
                context.output.note(&line);
            }
            Ok(())
        }
        JoinTokenCommand::List => {
            let tokens = client.pages("list join tokens", &["api", "join-tokens"], &[], None).await?;
            context.output.list(&tokens, &columns(), "No join tokens. `hostler join-token create` makes one.")
        }
        JoinTokenCommand::Revoke { id } => {
            let call = client.delete(format!("revoke join token {id}"), &["api", "join-tokens", &id]);
            call.done().await.map_err(|failure| match failure.kind {
                Kind::NotFound => failure.hint("`hostler join-token list` shows all tokens with their ids"),
                _ => failure,
            })?;
            context.output.note(&format!("Join token {id} is revoked."));
            Ok(())
        }
    }
}

fn request(args: &CreateArgs) -> Value {
    let mut body = Map::new();
    if let Some(description) = &args.description {
        body.insert("description".into(), description.as_str().into());
    }
    body.insert("expiresIn".into(), args.expires.as_secs().into());
    body.insert("uses".into(), args.uses.into());
    for (key, values) in [("names", &args.name), ("networks", &args.network), ("roles", &args.role)] {
        if !values.is_empty() {
            body.insert(key.into(), json!(values));
        }
    }
    body.into()
}

fn uses(token: &Value) -> String {
    match token["uses"].as_u64() {
        Some(0) => format!("{} of any", show(token, "used")),
        Some(uses) => format!("{} of {uses}", show(token, "used")),
        None => UNKNOWN.into(),
    }
}

fn limits(token: &Value) -> String {
    let named = [("names", "names"), ("networks", "networks"), ("roles", "gives roles")];
    let parts = named.iter().filter_map(|(key, label)| match show(token, key) {
        text if text == UNKNOWN => None,
        text => Some(format!("{label} {text}")),
    });
    let text = parts.collect::<Vec<_>>().join("; ");
    if text.is_empty() { UNKNOWN.into() } else { text }
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("STATE", |v| show(v, "state")).state(),
        Column::new("USED", uses).whole(),
        Column::new("EXPIRES", |v| {
            string(v, "expiresAt").map_or_else(|| UNKNOWN.into(), |text| human::ago(text, SystemClock.now()))
        })
        .whole(),
        Column::new("DESCRIPTION", |v| show(v, "description")),
        Column::new("LIMITS", limits).spare(),
        Column::new("BY", |v| show(v, "createdBy")).spare(),
        Column::new("ID", |v| show(v, "id")).whole(),
    ]
}

fn rows(token: &Value) -> Vec<(&'static str, String)> {
    vec![
        ("Token", show(token, "token")),
        ("Id", show(token, "id")),
        ("Description", show(token, "description")),
        ("Expires", moment(token, "expiresAt")),
        ("Used", uses(token)),
        ("Limits", limits(token)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_names_only_what_was_asked_for() {
        let mut args = CreateArgs {
            description: None,
            expires: Duration::from_secs(3600),
            uses: 0,
            name: vec![],
            network: vec![],
            role: vec![],
        };
        assert_eq!(request(&args), json!({"expiresIn": 3600, "uses": 0}));
        args.network = vec!["10.0.0.0/8".into()];
        args.description = Some("rack 1".into());
        assert_eq!(
            request(&args),
            json!({"description": "rack 1", "expiresIn": 3600, "uses": 0, "networks": ["10.0.0.0/8"]})
        );
    }

    #[test]
    fn uses_and_limits_in_words() {
        let token = json!({"uses": 0, "used": 3, "names": ["a", "b"], "networks": [], "roles": ["compute"]});
        assert_eq!(uses(&token), "3 of any");
        assert_eq!(limits(&token), "names a, b; gives roles compute");
        assert_eq!(limits(&json!({})), "-");
    }
}
