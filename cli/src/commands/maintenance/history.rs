//! What was done in a session, step by step (spec/maintenance.md §5.7).

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::session;
use crate::client::Client;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::field::{UNKNOWN, list, moment, show, string};
use crate::output::table::{self, Column};
use crate::output::{Theme, human};

/// How many steps one request asks for.
const PAGE: usize = 1000;

/// Show what was done.
#[derive(Args, Debug)]
pub struct HistoryArgs {
    /// Name or id of the session, or how its id begins
    session: String,
    /// Only on this host
    #[arg(long)]
    host: Option<String>,
    /// Only steps in this state
    #[arg(long, ignore_case = true, value_parser = ["RUNNING", "DONE", "FAILED", "SKIPPED", "CANCELLED", "UNKNOWN"])]
    state: Option<String>,
    /// With the end of the output of each
    #[arg(long)]
    with_output: bool,
}

/// Runs the command.
///
/// # Errors
/// There is no such session; the manager refuses or is not reached.
pub async fn run(context: &Context, client: &Client, args: HistoryArgs) -> Result<(), Failure> {
    let id = session::find(client, &args.session).await?;
    let state = args.state.map(|state| state.to_ascii_uppercase());
    let steps = steps(client, &id, args.host.as_deref(), state.as_deref()).await?;
    if steps.is_empty() && context.output.for_people() {
        context.output.note("No steps.");
        return Ok(());
    }
    context.output.data(&Value::from(steps.as_slice()), |theme| {
        if args.with_output { with_output(theme, &steps) } else { table::list(theme, &columns(), &steps) }
    })
}

async fn steps(client: &Client, id: &str, host: Option<&str>, state: Option<&str>) -> Result<Vec<Value>, Failure> {
    let doing = "show the history of the maintenance session";
    let (mut all, mut after) = (Vec::new(), None::<i64>);
    loop {
        let (limit, from) = (PAGE.to_string(), after.map(|number| number.to_string()));
        let call = client.get(doing, &session::path(id, &["steps"])).query("limit", Some(&limit));
        let page = call.query("after", from.as_deref()).query("host", host).query("state", state).json().await?;
        let Some(found) = page["steps"].as_array() else {
            return Err(Failure::new(Kind::Failed, format!("cannot {doing}"), "the answer has no steps"));
        };
        all.extend(found.iter().cloned());
        match page["next"].as_i64().filter(|next| after.is_none_or(|after| *next > after)) {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("#", |v| show(v, "id")).whole(),
        Column::new("BEGAN", |v| moment(v, "started_at")).whole(),
        Column::new("HOST", |v| show(v, "host")).whole(),
        Column::new("KIND", |v| show(v, "kind")).whole().spare(),
        Column::new("STEP", |v| show(v, "name")).whole(),
        Column::new("TRY", |v| show(v, "attempt")).whole().spare(),
        Column::new("STATE", |v| show(v, "state")).state(),
        Column::new("TOOK", took).whole(),
        Column::new("NOTE", note),
    ]
}

fn took(step: &Value) -> String {
    let took = step["duration_ms"].as_u64().map(Duration::from_millis);
    took.map_or_else(|| UNKNOWN.into(), human::duration)
}

/// Why it failed, else what it says of itself.
fn note(step: &Value) -> String {
    let said = ["error.text", "result.detail", "result.message", "instance_id"];
    let found = said.into_iter().find_map(|path| string(step, path));
    found.map_or_else(|| UNKNOWN.into(), |text| human::clean(text.lines().next().unwrap_or_default()))
}

/// Every step with the end of its output below it.
fn with_output(theme: &Theme, steps: &[Value]) -> String {
    let mut text = String::new();
    for step in steps {
        let head = format!(
            "{}  {}  {}  {} (attempt {}): {}",
            moment(step, "started_at"),
            show(step, "host"),
            show(step, "kind"),
            show(step, "name"),
            show(step, "attempt"),
            show(step, "state")
        );
        text.push_str(&format!("{}\n", theme.bold(&head)));
        if let Some(error) = string(step, "error.text") {
            text.push_str(&format!("  error: {}\n", human::clean(error.lines().next().unwrap_or_default())));
        }
        for line in string(step, "result.output").unwrap_or_default().lines() {
            text.push_str(&format!("  | {}\n", human::plain(line)));
        }
        let facts = list(step, "result.facts");
        if !facts.is_empty() {
            text.push_str(&format!("  facts: {}\n", show(step, "result.facts")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn steps_say_why_they_failed_and_what_they_printed() {
        let step = json!({"id": 4, "host": "a", "kind": "plugin", "name": "script", "attempt": 2, "state": "FAILED",
            "started_at": "2031-04-12 22:00:00", "duration_ms": 2500, "result": {"output": "one\n\u{1b}[31mtwo\n"},
            "error": {"code": "step.failed", "text": "it ended with status 3\nmore"}});
        let text = table::list(&Theme::plain(), &columns(), std::slice::from_ref(&step));
        assert!(text.contains("FAILED  2.50 s  it ended with status 3\n"), "{text}");
        let text = with_output(&Theme::plain(), &[step]);
        assert!(
            text.contains("script (attempt 2): FAILED\n  error: it ended with status 3\n  | one\n  | two\n"),
            "{text}"
        );
    }
}
