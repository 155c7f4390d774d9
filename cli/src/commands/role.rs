//! `hostler role`: roles, and who has them where.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use super::identity::{self, PROJECTS, ROLES, USERS};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::field::{UNKNOWN, list, show, string};
use crate::output::human;
use crate::output::table::Column;

/// What to do with roles.
#[derive(Subcommand, Debug)]
pub enum RoleCommand {
    /// List the roles; with a user or project, who has which role where
    List {
        /// Only what this user has
        #[arg(long)]
        user: Option<String>,
        /// Only what is given on this project
        #[arg(long)]
        project: Option<String>,
        /// Show who has which role where, for all users and projects
        #[arg(long)]
        assignments: bool,
    },
    /// Give a user a role on a project
    Grant(Assignment),
    /// Take a role from a user on a project
    Revoke(Assignment),
}

/// Who has what where.
#[derive(Args, Debug)]
pub struct Assignment {
    /// Name or id of the role
    role: String,
    /// Name or id of the user
    #[arg(long)]
    user: String,
    /// Name or id of the project
    #[arg(long)]
    project: String,
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn run(command: RoleCommand, context: &Context) -> Result<(), Failure> {
    match command {
        RoleCommand::List { user: None, project: None, assignments: false } => {
            let roles = identity::all(&context.client().await?, ROLES).await?;
            context.output.list(&roles, &role_columns(), "No roles.")
        }
        RoleCommand::List { user, project, .. } => assignments(context, user.as_deref(), project.as_deref()).await,
        RoleCommand::Grant(what) => assign(context, Method::PUT, &what, "granted").await,
        RoleCommand::Revoke(what) => assign(context, Method::DELETE, &what, "revoked").await,
    }
}

async fn assignments(context: &Context, user: Option<&str>, project: Option<&str>) -> Result<(), Failure> {
    let client = context.client().await?;
    let mut call = client.get("list role assignments", &identity::path(&["role_assignments"]));
    call = call.query("include_names", Some("true"));
    if let Some(user) = user {
        call = call.query("user.id", Some(&identity::id(&client, USERS, user).await?));
    }
    if let Some(project) = project {
        call = call.query("scope.project.id", Some(&identity::id(&client, PROJECTS, project).await?));
    }
    let answer = call.json().await?;
    context.output.list(list(&answer, "role_assignments"), &assignment_columns(), "No roles are given.")
}

async fn assign(context: &Context, method: Method, what: &Assignment, done: &str) -> Result<(), Failure> {
    let client = context.client().await?;
    identity::assign(&client, method, &what.role, &what.user, &what.project).await?;
    let Assignment { role, user, project } = what;
    context.output.note(&format!("Role {role} is {done}: user {user}, project {project}."));
    Ok(())
}

fn role_columns() -> Vec<Column> {
    vec![
        Column::new("NAME", |v| show(v, "name")).whole(),
        Column::new("DESCRIPTION", |v| show(v, "description")),
        Column::new("ID", |v| show(v, "id")).whole(),
    ]
}

fn assignment_columns() -> Vec<Column> {
    vec![
        Column::new("USER", |v| name(v, "user")).whole(),
        Column::new("ROLE", |v| name(v, "role")).whole(),
        Column::new("ON", place).whole(),
    ]
}

/// The project, or the whole system.
fn place(assignment: &Value) -> String {
    if assignment["scope"]["system"].is_object() { "(system)".into() } else { name(assignment, "scope.project") }
}

/// The name where the answer has one, else the id.
fn name(assignment: &Value, path: &str) -> String {
    let named = string(assignment, &format!("{path}.name")).or_else(|| string(assignment, &format!("{path}.id")));
    named.map_or_else(|| UNKNOWN.into(), human::clean)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::output::{Theme, table};

    #[test]
    fn assignments_show_names_or_ids() {
        let rows = [
            json!({"user": {"id": "u1", "name": "eve"}, "role": {"id": "r1", "name": "reader"}, "scope": {"project": {"id": "p1"}}}),
            json!({"user": {"id": "u2"}, "role": {"name": "admin"}, "scope": {"system": {"all": true}}}),
        ];
        assert_eq!(
            table::list(&Theme::plain(), &assignment_columns(), &rows),
            "USER  ROLE    ON\neve   reader  p1\nu2    admin   (system)\n"
        );
    }
}
