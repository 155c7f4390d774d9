//! Scripts on a swarm: on all hosts at once, and on one after the other.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::rest::Rest;

/// How often a task is asked for while its end is awaited.
const WATCH: Duration = Duration::from_millis(10);

/// Writes one byte and ends, as the agents of a swarm do with whatever they are given.
pub const SCRIPT: &str = "#!/bin/sh\nprintf x\n";

/// What came of one script on many hosts.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// From the request until it was accepted.
    pub accepted: Duration,
    /// From the request until the task had ended: every result is durable.
    pub ended: Duration,
}

async fn execute(rest: &Rest, servers: &[i64], script: &str) -> anyhow::Result<i64> {
    execute_with(rest, servers, json!({ "maxConcurrency": "100%", "script": script })).await
}

/// Begins a script on all of `servers`; `more` are further fields of the order. Answers with the number of its task.
///
/// # Errors
/// It is refused.
pub async fn execute_with(rest: &Rest, servers: &[i64], more: Value) -> anyhow::Result<i64> {
    let mut order = json!({ "args": [], "servers": servers, "script": SCRIPT });
    if let (Some(order), Value::Object(more)) = (order.as_object_mut(), more) {
        order.extend(more);
    }
    let task = rest.post("/api/events/scripts/execute", &order).await?;
    task["id"].as_i64().ok_or_else(|| anyhow::anyhow!("a task without number: {task}"))
}

/// Runs `script` on all of `servers` and waits until the task has ended.
///
/// # Errors
/// It is refused, does not end within `patience`, or did not end as it should on every host.
pub async fn everywhere(rest: &Rest, servers: &[i64], script: &str, patience: Duration) -> anyhow::Result<Round> {
    let begun = Instant::now();
    let task = execute(rest, servers, script).await?;
    let accepted = begun.elapsed();
    let path = format!("/api/tasks/{task}");
    let (ended, shown) = loop {
        let shown = rest.get(&path).await?;
        if shown["done"] == true {
            break (begun.elapsed(), shown);
        }
        anyhow::ensure!(begun.elapsed() < patience, "task {task} is at {}", shown["progress"]);
        tokio::time::sleep(WATCH).await;
    };
    anyhow::ensure!(shown["statusCode"] == 0, "task {task} ended with {}", shown["statusCode"]);
    let targets = shown["result"]["servers"].as_array().map_or(&[][..], Vec::as_slice);
    let good = targets.iter().filter(|target| target["state"] == "ok").count();
    anyhow::ensure!(good == servers.len(), "task {task}: {good} of {} are ok", servers.len());
    Ok(Round { accepted, ended })
}

/// Runs a script on one server; how long it took from the request until the first byte of its output was here.
///
/// # Errors
/// It is refused, or wrote nothing.
pub async fn first_byte(rest: &Rest, server: i64) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let task = execute(rest, &[server], SCRIPT).await?;
    rest.first_byte(&format!("/api/tasks/{task}/output?server={server}&follow=true")).await?;
    Ok(begun.elapsed())
}

/// The numbers of all hosts that belong to a swarm.
///
/// # Errors
/// The manager does not answer.
pub async fn servers(rest: &Rest) -> anyhow::Result<Vec<i64>> {
    numbers(rest, |server| server.to_string().contains("\"swarm-")).await
}

/// The numbers of all hosts.
///
/// # Errors
/// The manager does not answer.
pub async fn all_servers(rest: &Rest) -> anyhow::Result<Vec<i64>> {
    numbers(rest, |_| true).await
}

async fn numbers(rest: &Rest, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Vec<i64>> {
    let list = rest.get("/api/servers").await?;
    let servers = list.as_array().map_or(&[][..], Vec::as_slice);
    Ok(servers.iter().filter(|server| wanted(server)).filter_map(|server| server["id"].as_i64()).collect())
}

/// Requests for pages of the list of tasks, each with a name: what lists in browsers and programs ask for.
#[must_use]
pub fn pages() -> Vec<(&'static str, Value)> {
    let sorted = |column: &str, order: &str| json!([{ "column": column, "order": order }]);
    vec![
        ("newest", json!({ "limit": 50 })),
        ("started_desc", json!({ "limit": 50, "sortBy": sorted("startedAt", "DESC") })),
        ("started_asc", json!({ "limit": 50, "sortBy": sorted("startedAt", "ASC") })),
        ("id_asc", json!({ "limit": 50, "sortBy": sorted("id", "ASC") })),
        ("name", json!({ "limit": 50, "sortBy": sorted("name", "ASC") })),
        ("state", json!({ "limit": 50, "sortBy": sorted("state", "DESC") })),
        ("failed", json!({ "limit": 50, "where": { "state": { "_eq": "FAILED" } } })),
        ("not_ended", json!({ "limit": 50, "where": { "done": { "_eq": "false" } } })),
        ("by_user", json!({ "limit": 50, "where": { "startedBy": { "_eq": "user-3" } } })),
        ("named", json!({ "limit": 50, "where": { "name": { "_contains": "rotate" } } })),
        ("search", json!({ "limit": 50, "where": { "_search": "rotate" } })),
        ("deep", json!({ "limit": 50, "after": 90_000, "sortBy": sorted("startedAt", "DESC") })),
    ]
}

/// Asks for one page of tasks so often, one request after the other.
///
/// # Errors
/// The manager does not answer.
pub async fn page(rest: &Rest, page: &Value, times: u32) -> anyhow::Result<Vec<Duration>> {
    let text = page.to_string();
    let mut took = Vec::new();
    for _ in 0..times {
        let begun = Instant::now();
        rest.query("/api/tasks", &[("pagination", &text)]).await?;
        took.push(begun.elapsed());
    }
    Ok(took)
}
