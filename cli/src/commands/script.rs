//! `hostler script`: the library of scripts, and running them on hosts (spec/hooks.md §4, §10).

mod edit;
pub(super) mod library;
mod run;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::Client;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::field::{list, moment, show};
use crate::output::table::Column;
use crate::output::{human, write_out};
use crate::prompt;
pub use library::find;

/// The text of a file, or of standard input for `-`, at most as large as a script may be.
///
/// # Errors
/// It cannot be read, is no text, or is larger.
pub fn text(doing: &str, file: &Path) -> Result<String, Failure> {
    library::read(doing, file)
}

/// What to do with scripts.
#[derive(Subcommand, Debug)]
pub enum ScriptCommand {
    /// Add a script to the library
    Add {
        /// File with the script, or - for standard input
        file: PathBuf,
        /// Its name; without it, that of the file
        #[arg(long)]
        name: Option<String>,
        /// Where there is a script of that name, make a revision of it
        #[arg(long)]
        replace: bool,
    },
    /// Change a script with $VISUAL or $EDITOR, or from a file
    Edit {
        /// Name or number
        script: String,
        /// Take the contents from this file, or - for standard input
        #[arg(short, long)]
        file: Option<PathBuf>,
        /// Give it this name
        #[arg(long)]
        rename: Option<String>,
    },
    /// List scripts
    List,
    /// Print a script
    Show {
        /// Name or number
        script: String,
        /// Which revision; without it, the newest
        #[arg(long, value_name = "NUMBER")]
        revision: Option<u32>,
    },
    /// Remove a script
    Rm {
        /// Name or number
        script: String,
        /// Remove its hooks too
        #[arg(long)]
        force: bool,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Run a script on hosts; the exit code is the worst of theirs
    Run(Box<run::RunArgs>),
    /// List the revisions of a script
    Revisions {
        /// Name or number
        script: String,
    },
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached, a file cannot be read, or a script that was run failed.
pub async fn run(command: ScriptCommand, context: &Context) -> Result<(), Failure> {
    match command {
        ScriptCommand::Add { file, name, replace } => add(context, &file, name, replace).await,
        ScriptCommand::Edit { script, file, rename } => edit::run(context, &script, file.as_deref(), rename).await,
        ScriptCommand::List => show_all(context).await,
        ScriptCommand::Show { script, revision } => show_one(context, &script, revision).await,
        ScriptCommand::Rm { script, force, yes } => remove(context, &script, force, yes).await,
        ScriptCommand::Run(args) => run::run(context, *args).await,
        ScriptCommand::Revisions { script } => revisions(context, &script).await,
    }
}

async fn add(context: &Context, file: &Path, name: Option<String>, replace: bool) -> Result<(), Failure> {
    let name = match (name, file.file_name().and_then(|name| name.to_str())) {
        (Some(name), _) => name,
        (None, Some(name)) if name != "-" => name.to_owned(),
        (None, _) => {
            return Err(
                Failure::new(Kind::Usage, "cannot add a script", "it has no name").hint("give it one with --name")
            );
        }
    };
    let doing = format!("add script {name}");
    let contents = library::read(&doing, file)?;
    let client = context.client().await?;
    if replace && let Some(script) = find(&client, &name).await? {
        let path = ["api", "events", "hook-scripts", &script.id.to_string()];
        client.call(Method::PATCH, doing, &path).body(json!({ "contents": contents })).done().await?;
        return told(context, &client, script.id, "changed").await;
    }
    let body = json!({ "name": name, "contents": contents });
    let made = client.post(doing.as_str(), &["api", "events", "hook-scripts"]).body(body).json().await;
    let made = made.map_err(|failure| match failure.why.contains("already exists") {
        true => failure.hint(format!("--replace makes a revision of it, or `hostler script edit {name}`")),
        false => failure,
    })?;
    told(context, &client, made["id"].as_i64().unwrap_or_default(), "added").await
}

/// Shows a script that was made or changed.
async fn told(context: &Context, client: &Client, id: i64, what: &str) -> Result<(), Failure> {
    let condition = json!({ "id": { "_eq": id.to_string() } });
    let found = client.counted_pages("show the script", &["api", "events", "hook-scripts"], &condition, 1).await?;
    let script = found.into_iter().next().unwrap_or_else(|| json!({ "id": id }));
    context.output.data(&script, |_| {
        format!("Script {} is {what}: number {id}, revision {}.\n", show(&script, "name"), show(&script, "revision"))
    })
}

async fn show_all(context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let path = ["api", "events", "hook-scripts"];
    let scripts = client.counted_pages("list scripts", &path, &json!({}), usize::MAX).await?;
    context.output.list(&scripts, &columns(), "No scripts. `hostler script add FILE` adds one.")
}

async fn show_one(context: &Context, name: &str, revision: Option<u32>) -> Result<(), Failure> {
    let client = context.client().await?;
    let script = library::existing(&client, name).await?;
    let contents = library::contents(&client, &script, revision).await?;
    if !context.output.for_people() {
        let document = json!({ "id": script.id, "name": script.name, "contents": contents });
        return context.output.data(&document, |_| String::new());
    }
    if context.output.is_terminal(crate::output::Sink::Out) {
        let lines: Vec<String> = contents.lines().map(human::plain).collect();
        return write_out(format!("{}\n", lines.join("\n")).as_bytes());
    }
    write_out(contents.as_bytes())
}

async fn remove(context: &Context, name: &str, force: bool, yes: bool) -> Result<(), Failure> {
    let client = context.client().await?;
    let script = library::existing(&client, name).await?;
    let hooks = if force { " with its hooks" } else { "" };
    prompt::confirm(yes, &format!("Remove script {} and all its revisions{hooks}?", script.name)).await?;
    let id = script.id.to_string();
    let call = client.delete(format!("remove script {name}"), &["api", "events", "scripts", &id]);
    call.query("force", force.then_some("true")).done().await.map_err(|failure| match failure.kind {
        Kind::Conflict => failure.hint("`hostler hook list` shows its hooks, --force removes them too"),
        _ => failure,
    })?;
    context.output.note(&format!("Script {} is removed.", script.name));
    Ok(())
}

async fn revisions(context: &Context, name: &str) -> Result<(), Failure> {
    let client = context.client().await?;
    let script = library::existing(&client, name).await?;
    let path = ["api", "events", "scripts", &script.id.to_string(), "revisions"];
    let found = client.get(format!("list the revisions of script {name}"), &path).json().await?;
    let found = found.as_array().cloned().unwrap_or_default();
    context.output.list(&found, &revision_columns(), "No revisions.")
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("#", |v| show(v, "id")).whole(),
        Column::new("NAME", |v| show(v, "name")).whole(),
        Column::new("REVISION", |v| show(v, "revision")).whole(),
        Column::new("HOOKS", hooks),
    ]
}

fn hooks(script: &Value) -> String {
    let names: Vec<String> = list(script, "hooks").iter().map(|hook| show(hook, "event")).collect();
    if names.is_empty() { crate::output::field::UNKNOWN.into() } else { names.join(", ") }
}

fn revision_columns() -> Vec<Column> {
    vec![
        Column::new("REVISION", |v| show(v, "revision")).whole(),
        Column::new("AT", |v| moment(v, "at")).whole(),
        Column::new("BY", |v| show(v, "author")),
        Column::new("NAME", |v| show(v, "name")),
        Column::new("SIZE", |v| v["size"].as_u64().map_or_else(String::new, human::bytes)).whole(),
        Column::new("SHA-256", |v| show(v, "sha256")).whole().spare(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Theme, table};

    #[test]
    fn scripts_are_listed_with_their_hooks() {
        let items = [
            json!({"id": 1, "name": "a.sh", "revision": 2, "hooks": [{"event": "OnAudit"}, {"event": "PreFormatDisk"}]}),
            json!({"id": 12, "name": "b", "revision": 1, "hooks": []}),
        ];
        assert_eq!(
            table::list(&Theme::plain(), &columns(), &items),
            "#   NAME  REVISION  HOOKS\n1   a.sh  2         OnAudit, PreFormatDisk\n12  b     1         -\n"
        );
    }
}
