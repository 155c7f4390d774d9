//! Sessions at a glance, and one with its hosts.

use hostler_common::time::Timestamp;
use serde_json::Value;

use super::screen;
use super::session::{self, called, count};
use crate::client::Client;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::field::{UNKNOWN, list as items, moment, show, string};
use crate::output::table::{self, Column};
use crate::output::{Theme, human};

/// `maintenance list`.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn list(context: &Context, client: &Client, state: Option<&str>, deleted: bool) -> Result<(), Failure> {
    let state = state.map(str::to_ascii_uppercase);
    let sessions = session::all(client, state.as_deref(), deleted).await?;
    let none = "No maintenance sessions. `hostler maintenance start` begins one.";
    context.output.list(&sessions, &columns(), none)
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("ID", |v| show(v, "id").chars().take(8).collect()).whole(),
        Column::new("NAME", |v| show(v, "name")).whole(),
        Column::new("STATE", |v| show(v, "state")).state(),
        Column::new("PHASE", phase).whole(),
        Column::new("DONE", |v| format!("{} %", show(v, "percent"))).whole(),
        Column::new("HOSTS", hosts).whole(),
        Column::new("BEGINS", |v| moment(v, "maintenanceAt")).whole().spare(),
        Column::new("BY", |v| show(v, "createdBy")).whole().spare(),
        Column::new("REASON", |v| string(v, "reason.text").map_or_else(|| UNKNOWN.into(), first_line)),
    ]
}

fn first_line(text: &str) -> String {
    human::clean(text.lines().next().unwrap_or_default())
}

/// What a session is doing, in two words at the most.
pub fn phase(session: &Value) -> String {
    show(session, "phase").replace('_', " ")
}

/// How many hosts there are, and how many of them are not well.
fn hosts(session: &Value) -> String {
    let all: u64 = session["phases"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
    match count(session, &["failed", "held"]) {
        0 => all.to_string(),
        bad => format!("{all}, {bad} failed"),
    }
}

/// `maintenance show`.
///
/// # Errors
/// There is no such session; the manager refuses or is not reached.
pub async fn one(context: &Context, client: &Client, name: Option<&str>) -> Result<(), Failure> {
    let id = session::find_or_only(client, name).await?;
    let mut now = session::now(client, &id).await?;
    let doing = format!("show the hosts of maintenance session {}", called(&now));
    let hosts = client.get(doing, &session::path(&id, &["hosts"])).json().await?;
    now["allHosts"] = hosts["hosts"].clone();
    context.output.data(&now, |theme| {
        let mut text = record(theme, &now);
        text.push_str(&format!("\n{}", table::list(theme, &host_columns(), items(&now, "allHosts"))));
        let at = string(&now, "now").and_then(human::parse).unwrap_or(Timestamp::from_micros(0));
        text + &screen::what_is_up(theme, &now, at)
    })
}

fn host_columns() -> Vec<Column> {
    vec![
        Column::new("#", |v| show(v, "order")).whole(),
        Column::new("HOST", |v| show(v, "hostname")).whole(),
        Column::new("PHASE", |v| show(v, "phase").replace('_', " ")).state(),
        Column::new("ROLES", |v| show(v, "roles")).whole().spare(),
        Column::new("TRY", |v| show(v, "attempts")).whole(),
        Column::new("LAST PLUG-IN", plugin).whole(),
        Column::new("BEGAN", |v| moment(v, "started_at")).whole().spare(),
        Column::new("TOOK", took).whole().spare(),
        Column::new("NOTE", |v| string(v, "reason.text").map_or_else(|| UNKNOWN.into(), first_line)),
    ]
}

fn plugin(host: &Value) -> String {
    match string(host, "plugin_state") {
        Some(state) => format!("{}: {}", show(host, "plugin"), human::clean(&state.to_lowercase())),
        None => show(host, "plugin"),
    }
}

fn took(row: &Value) -> String {
    let both = string(row, "started_at").zip(string(row, "finished_at"));
    both.and_then(|(start, end)| human::between(start, end)).map_or_else(|| UNKNOWN.into(), human::duration)
}

/// A session without its hosts.
#[must_use]
pub fn record(theme: &Theme, now: &Value) -> String {
    let mut rows = vec![
        ("Session", show(now, "id")),
        ("Name", show(now, "name")),
        ("Why", show(now, "description")),
        ("State", show(now, "state")),
        ("Phase", phase(now)),
        ("Done", format!("{} %", show(now, "percent"))),
        ("Hosts", screen::counts(now)),
        ("Begins", moment(now, "maintenanceAt")),
        ("Workflow", show(now, "workflow")),
        ("Begun by", format!("{}, {}", show(now, "createdBy"), moment(now, "createdAt"))),
    ];
    if let Some(text) = string(now, "reason.text") {
        rows.push(("Reason", human::clean_lines(text.trim_end())));
    }
    if now["prevState"].is_string() {
        rows.push(("Goes on from", show(now, "prevState")));
    }
    if now["deletedAt"].is_string() {
        rows.push(("Deleted", moment(now, "deletedAt")));
    }
    table::record(theme, &rows)
}
