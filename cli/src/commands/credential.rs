//! `hostler credential`: application credentials of the user who is logged in.

use std::time::Duration;

use clap::{Args, Subcommand};
use hostler_common::time::{Clock, SystemClock};
use serde_json::{Value, json};

use super::{identity, values};
use crate::client::Client;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::field::{UNKNOWN, list, moment, show};
use crate::output::table::{self, Column};

/// What to do with application credentials.
#[derive(Subcommand, Debug)]
pub enum CredentialCommand {
    /// Create a credential; its secret is shown this once
    Create(CreateArgs),
    /// List credentials, without their secrets
    List,
    /// Delete a credential; who uses it is locked out at once
    Delete {
        /// Name or id
        credential: String,
    },
}

/// What the credential may do, and for how long.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Name
    name: String,
    /// Role it has, of those that the user has; repeat for more; without it, all of them
    #[arg(long)]
    role: Vec<String>,
    /// How long it is valid; without it, for ever
    #[arg(long, value_name = "TIME", value_parser = values::length)]
    expires: Option<Duration>,
    /// Description
    #[arg(long)]
    description: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached, or nobody is logged in.
pub async fn run(command: CredentialCommand, context: &Context) -> Result<(), Failure> {
    let (client, told) = context.user_session().await?;
    let Some(user) = told["user"]["id"].as_str() else {
        return Err(Failure::new(Kind::Failed, "cannot tell whose credentials", "the login names no user"));
    };
    match command {
        CredentialCommand::Create(args) => {
            let call = client.post(format!("create credential {}", args.name), &path(user, None));
            let mut answer = call.body(request(&args)).json().await?;
            let credential = answer["application_credential"].take();
            context.output.data(&credential, |theme| table::record(theme, &rows(&credential)))
        }
        CredentialCommand::List => {
            let found = all(&client, user).await?;
            context.output.list(&found, &columns(), "No credentials. `hostler credential create NAME` makes one.")
        }
        CredentialCommand::Delete { credential } => {
            let found = all(&client, user).await?;
            let named = found.iter().find(|one| one["name"] == credential.as_str() || one["id"] == credential.as_str());
            let Some(id) = named.and_then(|one| one["id"].as_str()) else {
                return Err(Failure::new(
                    Kind::NotFound,
                    format!("cannot delete credential {credential}"),
                    "there is none",
                )
                .hint("`hostler credential list` shows all credentials of this user"));
            };
            client.delete(format!("delete credential {credential}"), &path(user, Some(id))).done().await?;
            context.output.note(&format!("Credential {credential} is deleted."));
            Ok(())
        }
    }
}

async fn all(client: &Client, user: &str) -> Result<Vec<Value>, Failure> {
    let answer = client.get("list credentials", &path(user, None)).json().await?;
    Ok(list(&answer, "application_credentials").to_vec())
}

fn path<'a>(user: &'a str, id: Option<&'a str>) -> Vec<&'a str> {
    identity::path(&["users", user, "application_credentials"]).into_iter().chain(id).collect()
}

fn request(args: &CreateArgs) -> Value {
    let mut body = json!({"name": args.name});
    if let Some(description) = &args.description {
        body["description"] = description.as_str().into();
    }
    if !args.role.is_empty() {
        body["roles"] = args.role.iter().map(|role| json!({"name": role})).collect();
    }
    if let Some(length) = args.expires {
        body["expires_at"] = SystemClock.now().after(length).rfc3339().into();
    }
    json!({"application_credential": body})
}

fn roles(credential: &Value) -> String {
    let names: Vec<_> = list(credential, "roles").iter().map(|role| show(role, "name")).collect();
    if names.is_empty() { UNKNOWN.into() } else { names.join(", ") }
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("NAME", |v| show(v, "name")).whole(),
        Column::new("ROLES", roles),
        Column::new("EXPIRES", |v| moment(v, "expires_at")).whole(),
        Column::new("DESCRIPTION", |v| show(v, "description")),
        Column::new("ID", |v| show(v, "id")).whole(),
    ]
}

fn rows(credential: &Value) -> Vec<(&'static str, String)> {
    vec![
        ("Name", show(credential, "name")),
        ("Id", show(credential, "id")),
        ("Secret", show(credential, "secret")),
        ("Roles", roles(credential)),
        ("Expires", moment(credential, "expires_at")),
        ("Description", show(credential, "description")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_keystones() {
        let mut args = CreateArgs { name: "ci".into(), role: vec!["reader".into()], expires: None, description: None };
        assert_eq!(request(&args), json!({"application_credential": {"name": "ci", "roles": [{"name": "reader"}]}}));
        args.expires = Some(Duration::from_secs(60));
        let expires = request(&args)["application_credential"]["expires_at"].as_str().map(str::to_owned).unwrap();
        let left = expires.parse::<hostler_common::time::Timestamp>().unwrap().since(SystemClock.now());
        assert!(left > Duration::from_secs(50) && left <= Duration::from_secs(60));
    }
}
