//! `hostler audit`: who changed what through the manager (spec/hooks.md §7.12).

use clap::Subcommand;
use serde_json::Value;

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::field::{moment, show};
use crate::output::table::{self, Column};

/// Entries in one answer.
const PAGE: usize = 100;

/// What to do with the audit trail.
#[derive(Subcommand, Debug)]
pub enum AuditCommand {
    /// List calls that could change something, newest first
    List {
        /// Show at most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Leave out so many of the newest
        #[arg(long, default_value_t = 0, value_name = "NUMBER")]
        offset: usize,
    },
    /// Show a call with its body
    Show {
        /// Number of the entry
        id: i64,
    },
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn run(command: AuditCommand, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    match command {
        AuditCommand::List { limit, offset } => {
            let mut found: Vec<Value> = Vec::new();
            while found.len() < limit {
                let (count, begin) = ((limit - found.len()).min(PAGE), offset + found.len());
                let call = client.get("list the audit trail", &["api", "audit"]);
                let call = call.query("limit", Some(&count.to_string())).query("offset", Some(&begin.to_string()));
                let Value::Array(page) = call.json().await? else { break };
                let last = page.len() < count;
                found.extend(page);
                if last {
                    break;
                }
            }
            context.output.list(&found, &columns(), "No calls.")
        }
        AuditCommand::Show { id } => {
            let call = client.get(format!("show audit entry {id}"), &["api", "audit", &id.to_string()]);
            let entry = call.json().await.map_err(|failure| match failure.kind {
                Kind::NotFound => failure.hint("`hostler audit list` shows the newest"),
                _ => failure,
            })?;
            context.output.data(&entry, |theme| table::record(theme, &rows(&entry)))
        }
    }
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("#", |v| show(v, "id")).whole(),
        Column::new("AT", |v| moment(v, "time")).whole(),
        Column::new("WHO", |v| show(v, "username")).whole(),
        Column::new("FROM", |v| show(v, "ip")).whole().spare(),
        Column::new("WHAT", |v| format!("{} {}", show(v, "method"), show(v, "endpoint"))),
        Column::new("STATUS", |v| show(v, "status")).whole(),
        Column::new("OPERATION", |v| show(v, "operation")).spare(),
    ]
}

fn rows(entry: &Value) -> Vec<(&'static str, String)> {
    vec![
        ("Entry", show(entry, "id")),
        ("At", moment(entry, "time")),
        ("Who", show(entry, "username")),
        ("From", show(entry, "ip")),
        ("Call", format!("{} {}", show(entry, "method"), show(entry, "endpoint"))),
        ("Query", show(entry, "queryParams")),
        ("Status", show(entry, "status")),
        ("Category", show(entry, "category")),
        ("Operation", show(entry, "operation")),
        ("Of a hook", show(entry, "fromHook")),
        ("Request id", show(entry, "requestId")),
        ("Body", show(entry, "body")),
    ]
}
