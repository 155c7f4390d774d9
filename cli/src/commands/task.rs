//! `hostler task`: long-running things that somebody asked for.

use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{outcome, values, wait};
use crate::client::Client;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::follow;
use crate::output::field::{UNKNOWN, list, moment, show, string};
use crate::output::table::{self, Column};
use crate::output::{Theme, human};

/// Whether a task runs a script on hosts, by order or because something happened.
pub fn runs_script(task: &Value) -> bool {
    matches!(task["kind"].as_str(), Some("script" | "hook"))
}

/// What to do with tasks.
#[derive(Subcommand, Debug)]
pub enum TaskCommand {
    /// List tasks, newest first
    List {
        /// Only tasks in this state
        #[arg(long, ignore_case = true, value_parser = ["WAITING", "RUNNING", "FINISHED", "FAILED", "CANCELED"])]
        state: Option<String>,
        /// Only tasks of this kind
        #[arg(long)]
        kind: Option<String>,
        /// Only tasks of this host
        #[arg(long)]
        host: Option<String>,
        /// Show at most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show a task with its steps and output
    Show {
        /// Number of the task
        id: i64,
    },
    /// Follow a task until it is done; fails if the task failed
    Watch {
        /// Number of the task
        id: i64,
        /// How long to follow it; without it, for ever
        #[arg(long, value_name = "TIME", value_parser = values::length)]
        timeout: Option<Duration>,
    },
    /// Ask a task to stop
    Cancel {
        /// Number of the task
        id: i64,
    },
    /// Answer the question that a task asks; `task show` has it
    Answer {
        /// Number of the task
        id: i64,
        /// One of the answers that are offered
        response: String,
    },
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached, or a watched task failed.
pub async fn run(command: TaskCommand, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    match command {
        TaskCommand::List { state, kind, host, limit } => {
            let state = state.map(|state| state.to_ascii_uppercase());
            let condition = condition(state.as_deref(), kind.as_deref(), host.as_deref());
            let tasks = client.counted_pages("list tasks", &["api", "tasks"], &condition, limit).await?;
            context.output.list(&tasks, &columns(), "No tasks.")
        }
        TaskCommand::Show { id } => {
            let call = client.get(format!("show task {id}"), &["api", "tasks", &id.to_string()]);
            let task = call.json().await.map_err(unknown)?;
            context.output.data(&task, |theme| record(theme, &task))
        }
        TaskCommand::Watch { id, timeout: None } => follow_run(context, &client, id).await,
        TaskCommand::Watch { id, timeout } => watch(context, &client, id, timeout).await,
        TaskCommand::Cancel { id } => {
            let path = ["api", "tasks", &id.to_string(), "cancel"];
            client.post(format!("cancel task {id}"), &path).done().await.map_err(unknown)?;
            context.output.note(&format!("Task {id} is asked to stop. `hostler task watch {id}` shows when it has."));
            Ok(())
        }
        TaskCommand::Answer { id, response } => answer(context, &client, id, &response).await,
    }
}

/// Which tasks are listed. A host is named by its name, or by its UUID where it is gone.
fn condition(state: Option<&str>, kind: Option<&str>, host: Option<&str>) -> Value {
    let mut all = Vec::new();
    let pairs = [("state", state), ("kind", kind)];
    all.extend(pairs.into_iter().filter_map(|(name, value)| Some(json!({ name: { "_eq": value? } }))));
    if let Some(host) = host {
        all.push(json!({ "_or": [{ "object": { "_eq": host } }, { "host": { "_eq": host } }] }));
    }
    Value::Array(all)
}

async fn answer(context: &Context, client: &Client, id: i64, response: &str) -> Result<(), Failure> {
    let doing = || format!("answer task {id}");
    let number = id.to_string();
    let task = client.get(doing(), &["api", "tasks", &number]).json().await.map_err(unknown)?;
    let Some(token) = task["question"]["token"].as_str() else {
        return Err(Failure::new(Kind::Conflict, format!("cannot {}", doing()), "it asks nothing"));
    };
    let body = json!({ "token": token, "response": response });
    client.post(doing(), &["api", "tasks", &number, "answer"]).body(body).done().await.map_err(unknown)?;
    context.output.note(&format!("Task {id} goes on with {response:?}."));
    Ok(())
}

/// Follows a task without an end in sight: one that runs a script with its output, like `script run` does.
async fn follow_run(context: &Context, client: &Client, id: i64) -> Result<(), Failure> {
    let task = client.get(format!("watch task {id}"), &["api", "tasks", &id.to_string()]).json().await;
    if !runs_script(&task.map_err(unknown)?) {
        return watch(context, client, id, None).await;
    }
    outcome::of_run(context, follow::run(context, id).await?).await
}

async fn watch(context: &Context, client: &Client, id: i64, timeout: Option<Duration>) -> Result<(), Failure> {
    let progress = context.output.progress();
    let mut told = 0;
    let outcome = wait::for_task(client, id, timeout, |task| {
        progress.say(format!("{} {}", show(task, "name"), show(task, "state")));
        let complete = task["progress"]["complete"].as_u64().unwrap_or(0);
        progress.set(complete, task["progress"]["total"].as_u64().unwrap_or(0));
        let steps = list(task, "steps");
        for step in steps.iter().skip(told) {
            progress.note(&context.output, &step_line(step));
        }
        told = told.max(steps.len());
    });
    let task = outcome.await.map_err(unknown)?;
    drop(progress);
    context.output.data(&task, |theme| table::record(theme, &rows(&task)))?;
    if wait::succeeded(&task) {
        return Ok(());
    }
    Err(Failure::new(Kind::Failed, format!("task {id} did not finish"), wait::reason(&task))
        .hint(format!("`hostler task show {id}` has its steps and output")))
}

/// Adds to "no such task" where to find those that are there.
pub fn unknown(failure: Failure) -> Failure {
    if failure.kind == Kind::NotFound { failure.hint("`hostler task list` shows the newest tasks") } else { failure }
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("TASK", |v| show(v, "id")).whole(),
        Column::new("STATE", |v| show(v, "state")).state(),
        Column::new("NAME", |v| show(v, "name")),
        Column::new("OBJECT", |v| show(v, "object")).spare(),
        Column::new("DONE", progress).whole().spare(),
        Column::new("STARTED", |v| moment(v, "startedAt")).whole(),
        Column::new("TOOK", took).whole().spare(),
        Column::new("BY", |v| show(v, "startedBy")).spare(),
    ]
}

fn step_columns() -> Vec<Column> {
    vec![
        Column::new("AT", |v| moment(v, "at")).whole(),
        Column::new("HOST", |v| show(v, "host")).spare(),
        Column::new("STEP", |v| show(v, "what")),
        Column::new("OUTCOME", |v| show(v, "outcome")).state(),
        Column::new("DETAIL", |v| show(v, "detail")),
    ]
}

/// The lines of a record of a task.
pub fn rows(task: &Value) -> Vec<(&'static str, String)> {
    vec![
        ("Task", show(task, "id")),
        ("State", show(task, "state")),
        ("Name", show(task, "name")),
        ("Kind", show(task, "kind")),
        ("Object", show(task, "object")),
        ("Done", progress(task)),
        ("Started", format!("{} by {}", moment(task, "startedAt"), show(task, "startedBy"))),
        ("Finished", moment(task, "finishedAt")),
        ("Took", took(task)),
        ("Question", question(task)),
        ("Result", show(task, "result")),
    ]
}

/// What a task asks, and the answers that it offers.
pub fn question(task: &Value) -> String {
    let asked = &task["question"];
    let Some(message) = string(asked, "message") else { return UNKNOWN.into() };
    let options: Vec<&str> = list(asked, "responseOptions").iter().filter_map(Value::as_str).collect();
    format!("{message} ({})", options.join(", "))
}

fn record(theme: &Theme, task: &Value) -> String {
    let mut text = table::record(theme, &rows(task));
    let steps = list(task, "steps");
    if !steps.is_empty() {
        text.push_str(&format!("\n{}\n{}", theme.bold("Steps"), table::list(theme, &step_columns(), steps)));
    }
    if let Some(output) = string(task, "output") {
        text.push_str(&format!("\n{}\n{}\n", theme.bold("Output"), human::clean_lines(output.trim_end())));
    }
    text
}

/// A step in one line.
pub fn step_line(step: &Value) -> String {
    let parts = ["at", "host", "what", "outcome", "detail"].map(|key| match key {
        "at" => moment(step, key),
        _ => show(step, key),
    });
    parts.into_iter().filter(|part| part != UNKNOWN).collect::<Vec<_>>().join("  ")
}

fn progress(task: &Value) -> String {
    let part = |key: &str| task["progress"][key].as_u64();
    match (part("complete"), part("total")) {
        (Some(complete), Some(total)) => format!("{complete}/{total}"),
        _ => UNKNOWN.into(),
    }
}

fn took(task: &Value) -> String {
    let ends = string(task, "startedAt").zip(string(task, "finishedAt"));
    ends.and_then(|(start, end)| human::between(start, end)).map_or_else(|| UNKNOWN.into(), human::duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed() {
        assert_eq!(condition(None, None, None), json!([]));
        assert_eq!(
            condition(Some("FAILED"), Some("script"), Some("a")),
            json!([{"state": {"_eq": "FAILED"}}, {"kind": {"_eq": "script"}},
                   {"_or": [{"object": {"_eq": "a"}}, {"host": {"_eq": "a"}}]}])
        );
    }

    #[test]
    fn questions_are_shown_with_their_answers() {
        let task = json!({"question": {"message": "Go on?", "responseOptions": ["continue", "stop"]}});
        assert_eq!(question(&task), "Go on? (continue, stop)");
        assert_eq!(question(&json!({"question": null})), UNKNOWN);
    }

    #[test]
    fn a_task_with_steps_and_output() {
        let task = json!({
            "id": 7, "kind": "introspection", "name": "Introspect ceph-07", "state": "FAILED", "done": true,
            "startedAt": "2026-01-02T03:04:05Z", "startedBy": "admin", "finishedAt": "2026-01-02T03:04:07Z", "object": "ceph-07",
            "progress": {"complete": 1, "total": 2}, "output": "line one\nline\u{1b} two\n", "result": null,
            "steps": [{"at": "2026-01-02T03:04:06Z", "what": "probe", "host": "ceph-07", "outcome": "failed", "detail": "gone"}],
        });
        let text = record(&Theme::plain(), &task);
        for part in [
            "State     FAILED",
            "Done      1/2",
            "Took      2.00 s",
            "2026-01-02 03:04:06Z  ceph-07  probe  failed   gone",
            "line one\nline\u{fffd} two\n",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert_eq!(step_line(&task["steps"][0]), "2026-01-02 03:04:06Z  ceph-07  probe  failed  gone");
        assert_eq!(wait::reason(&task), "line one\nline\u{1b} two");
    }
}
