//! `hostler project`: projects of the built-in identity service.

use clap::Subcommand;
use serde_json::json;

use super::identity::{self, DOMAIN, PROJECTS};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::table;
use crate::prompt;

/// What to do with projects.
#[derive(Subcommand, Debug)]
pub enum ProjectCommand {
    /// List projects
    List,
    /// Create a project
    Create {
        /// Name
        name: String,
        /// Description
        #[arg(long)]
        description: Option<String>,
    },
    /// Delete a project with the roles given on it
    Delete {
        /// Name or id
        project: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn run(command: ProjectCommand, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    match command {
        ProjectCommand::List => {
            let projects = identity::all(&client, PROJECTS).await?;
            context.output.list(&projects, &identity::columns(), "No projects.")
        }
        ProjectCommand::Create { name, description } => {
            let mut body = json!({"name": name, "domain_id": DOMAIN, "enabled": true});
            if let Some(description) = description {
                body["description"] = description.into();
            }
            let project = identity::create(&client, PROJECTS, &name, body).await?;
            context.output.data(&project, |theme| table::record(theme, &identity::rows(&project)))
        }
        ProjectCommand::Delete { project, yes } => {
            prompt::confirm(yes, &format!("Delete project {project}?")).await?;
            identity::delete(&client, PROJECTS, &project).await?;
            context.output.note(&format!("Project {project} is deleted."));
            Ok(())
        }
    }
}
