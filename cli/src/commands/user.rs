//! `hostler user`: users of the built-in identity service.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::identity::{self, DOMAIN, USERS};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::field::show;
use crate::output::table;
use crate::prompt;

/// What to do with users.
#[derive(Subcommand, Debug)]
pub enum UserCommand {
    /// List users
    List,
    /// Create a user; asks for the password
    Create(CreateArgs),
    /// Delete a user with its credentials
    Delete {
        /// Name or id
        user: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Set a user's password; asks for it
    SetPassword {
        /// Name or id
        user: String,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
}

/// Who.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Name
    name: String,
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
    /// Project that the user works in, and in which it gets the role
    #[arg(long)]
    project: Option<String>,
    /// Role that the user gets on the project
    #[arg(long, requires = "project")]
    role: Option<String>,
    /// Description
    #[arg(long)]
    description: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn run(command: UserCommand, context: &Context) -> Result<(), Failure> {
    match command {
        UserCommand::List => {
            let users = identity::all(&context.client().await?, USERS).await?;
            context.output.list(&users, &identity::columns(), "No users.")
        }
        UserCommand::Create(args) => create(context, args).await,
        UserCommand::Delete { user, yes } => {
            let client = context.client().await?;
            prompt::confirm(yes, &format!("Delete user {user}?")).await?;
            identity::delete(&client, USERS, &user).await?;
            context.output.note(&format!("User {user} is deleted."));
            Ok(())
        }
        UserCommand::SetPassword { user, password_stdin } => {
            let client = context.client().await?;
            let id = identity::id(&client, USERS, &user).await?;
            let password = prompt::new_password(&context.output, &user, password_stdin).await?;
            let body = json!({"user": {"password": password}});
            let doing = format!("set the password of user {user}");
            client.call(Method::PATCH, doing, &identity::path(&["users", &id])).body(body).done().await?;
            context.output.note(&format!("The password of user {user} is set."));
            Ok(())
        }
    }
}

async fn create(context: &Context, args: CreateArgs) -> Result<(), Failure> {
    let client = context.client().await?;
    let project = match &args.project {
        Some(project) => Some(identity::id(&client, identity::PROJECTS, project).await?),
        None => None,
    };
    let password = prompt::new_password(&context.output, &args.name, args.password_stdin).await?;
    let mut body = json!({"name": args.name, "domain_id": DOMAIN, "enabled": true, "password": password});
    if let Some(project) = project {
        body["default_project_id"] = project.into();
    }
    if let Some(description) = &args.description {
        body["description"] = description.as_str().into();
    }
    let user = identity::create(&client, USERS, &args.name, body).await?;
    if let (Some(role), Some(project)) = (&args.role, &args.project) {
        identity::assign(&client, Method::PUT, role, &args.name, project).await?;
    }
    context.output.data(&user, |theme| table::record(theme, &rows(&user)))
}

fn rows(user: &Value) -> Vec<(&'static str, String)> {
    let mut rows = identity::rows(user);
    rows.push(("Default project", show(user, "default_project_id")));
    rows
}
