//! `hostler maintenance constraint`: what instances and groups of instances need while hosts are worked on
//! (spec/maintenance.md §1.10, §1.11).

use clap::{Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Map, Value};

use crate::client::Client;
use crate::commands::values;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::field::{UNKNOWN, list, show};
use crate::output::table::{self, Column};

/// Whose needs they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Of {
    /// Of one instance.
    Instance,
    /// Of a group of instances.
    Group,
}

impl Of {
    /// The resource of the dialect.
    fn resource(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Group => "instance_group",
        }
    }
}

/// What to do with constraints.
#[derive(Subcommand, Debug)]
pub enum ConstraintCommand {
    /// List what instances and groups need
    List {
        /// Only those of this project
        #[arg(long, value_name = "ID")]
        project: Option<String>,
    },
    /// Say what an instance or a group needs, as a whole
    Set {
        /// Whose needs
        #[arg(value_enum)]
        of: Of,
        /// Id of the instance or group
        id: String,
        /// What it needs: project_id, group_id, max_interruption_time, migration_type, lead_time, resource_mitigation;
        /// for groups anti_affinity_group, max_instances_per_host, max_impacted_members, recovery_time
        #[arg(value_name = "KEY=VALUE", value_parser = values::pair)]
        needs: Vec<(String, String)>,
    },
    /// Forget what an instance or a group needs
    Rm {
        /// Whose needs
        #[arg(value_enum)]
        of: Of,
        /// Id of the instance or group
        id: String,
    },
}

fn path<'a>(of: Of, id: &[&'a str]) -> Vec<&'a str> {
    [&["maintenance", "v1", of.resource()], id].concat()
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn run(command: ConstraintCommand, context: &Context, client: &Client) -> Result<(), Failure> {
    match command {
        ConstraintCommand::List { project } => all(context, client, project.as_deref()).await,
        ConstraintCommand::Set { of, id, needs } => {
            let doing = format!("say what {} {id} needs", of.resource().replace('_', " "));
            // The dialect reads numbers and truth values from texts as well.
            let body: Map<String, Value> = needs.into_iter().map(|(key, value)| (key, value.into())).collect();
            let kept = client.call(Method::PUT, doing, &path(of, &[&id])).body(body.into()).json().await?;
            context.output.data(&kept, |theme| {
                let rows = kept.as_object().into_iter().flatten();
                let rows: Vec<(&str, String)> = rows.map(|(key, _)| (key.as_str(), show(&kept, key))).collect();
                table::record(theme, &rows)
            })
        }
        ConstraintCommand::Rm { of, id } => {
            let doing = format!("forget what {} {id} needs", of.resource().replace('_', " "));
            client.delete(doing, &path(of, &[&id])).done().await.map_err(unknown)?;
            context.output.note(&format!("Nobody knows any more what {id} needs."));
            Ok(())
        }
    }
}

fn unknown(failure: Failure) -> Failure {
    match failure.kind {
        Kind::NotFound => failure.hint("`hostler maintenance constraint list` shows all"),
        _ => failure,
    }
}

async fn all(context: &Context, client: &Client, project: Option<&str>) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for (of, key) in [(Of::Instance, "instances"), (Of::Group, "instance_groups")] {
        let call = client.get("list constraints", &path(of, &[])).query("project_id", project);
        let found = call.json().await?;
        rows.extend(list(&found, key).iter().cloned());
    }
    let none = "No constraints. `hostler maintenance constraint set instance ID KEY=VALUE...` makes one.";
    context.output.list(&rows, &columns(), none)
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("OF", |v| if v["instance_id"].is_string() { "instance" } else { "group" }.into()).whole(),
        Column::new("ID", |v| if v["instance_id"].is_string() { show(v, "instance_id") } else { show(v, "group_id") })
            .whole(),
        Column::new("PROJECT", |v| show(v, "project_id")).whole().spare(),
        Column::new("NEEDS", needs),
    ]
}

/// What is asked for, in words.
fn needs(row: &Value) -> String {
    let mut words = Vec::new();
    let mut say = |key: &str, word: &dyn Fn(String) -> String| {
        let value = show(row, key);
        if value != UNKNOWN {
            words.push(word(value));
        }
    };
    if row["instance_id"].is_string() {
        say("migration_type", &|kind| kind.to_lowercase().replace('_', " "));
        say("lead_time", &|seconds| format!("{seconds} s notice"));
        say("max_interruption_time", &|seconds| format!("at most {seconds} s interruption"));
        say("group_id", &|group| format!("in group {group}"));
    } else {
        say("max_impacted_members", &|count| format!("at most {count} impacted at once"));
        say("max_instances_per_host", &|count| match count.as_str() {
            "0" => "any number on a host".into(),
            count => format!("at most {count} on a host"),
        });
        say("recovery_time", &|seconds| format!("{seconds} s to recover"));
        if row["anti_affinity_group"] == true {
            words.push("all on different hosts".into());
        }
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn needs_are_said_in_words() {
        let instance = json!({"instance_id": "i", "migration_type": "LIVE_MIGRATE", "lead_time": 40, "group_id": null});
        assert_eq!(needs(&instance), "live migrate, 40 s notice");
        let group = json!({"group_id": "g", "max_impacted_members": 1, "max_instances_per_host": 0, "anti_affinity_group": true});
        assert_eq!(needs(&group), "at most 1 impacted at once, any number on a host, all on different hosts");
    }
}
