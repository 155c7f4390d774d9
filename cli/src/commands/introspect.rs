//! `hostler introspect`: read the facts of hosts now.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{host, values, wait};
use crate::client::Client;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::field::{UNKNOWN, show, string};
use crate::output::human;
use crate::output::table::Column;

/// How many hosts are started or watched at a time; the manager paces the probes themselves.
const AT_A_TIME: usize = 64;

/// Which hosts, and how.
#[derive(Args, Debug)]
pub struct IntrospectArgs {
    /// Names, UUIDs or numbers
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "HOST")]
    hosts: Vec<String>,
    /// Every host whose agent is online
    #[arg(long)]
    all: bool,
    /// Wait until they are finished; fails if one of them failed
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, requires = "wait", value_name = "TIME", value_parser = values::length, default_value = "15m")]
    timeout: Duration,
    /// Read only these sections
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    sections: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// The first failure, after all hosts have been tried.
pub async fn run(args: IntrospectArgs, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let hosts = if args.all { online(context, &client).await? } else { args.hosts.clone() };
    if hosts.is_empty() {
        return Err(Failure::new(Kind::NotFound, "nothing to introspect", "no host is online")
            .hint("`hostler host list` shows all hosts and their states"));
    }
    let (rows, first_failure) = introspect(context, &client, &args, hosts).await?;
    context.output.list(&rows, &columns(), "")?;
    if !args.wait && first_failure.is_none() && context.output.for_people() {
        context.output.note("Started. `hostler task watch TASK` follows one of them; --wait waits for all.");
    }
    first_failure.map_or(Ok(()), Err)
}

/// Runs them all and collects a row for each in the order given, and the first failure in that order.
async fn introspect(
    context: &Context,
    client: &Client,
    args: &IntrospectArgs,
    hosts: Vec<String>,
) -> Result<(Vec<Value>, Option<Failure>), Failure> {
    let progress = context.output.progress();
    let total = hosts.len();
    let gate = Arc::new(Semaphore::new(AT_A_TIME));
    let mut set = JoinSet::new();
    for (position, host) in hosts.into_iter().enumerate() {
        let (client, gate, sections) = (client.clone(), Arc::clone(&gate), args.sections.clone());
        let timeout = args.wait.then_some(args.timeout);
        set.spawn(async move {
            // The semaphore is never closed; if it were, running unpaced would still be right.
            let permit = gate.acquire().await.ok();
            let outcome = one(&client, &host, &sections, timeout).await;
            drop(permit);
            (position, host, outcome)
        });
    }
    let mut results = Vec::with_capacity(total);
    progress.say(if args.wait { "introspecting" } else { "starting" });
    while let Some(joined) = set.join_next().await {
        results.push(joined.map_err(|error| Failure::new(Kind::Failed, "cannot introspect", error.to_string()))?);
        progress.set(results.len() as u64, total as u64);
    }
    results.sort_by_key(|(position, ..)| *position);
    let mut first = None;
    let rows = results.into_iter().map(|(_, host, outcome)| row(&host, outcome, &mut first)).collect();
    Ok((rows, first))
}

/// Starts one introspection and waits for it, if there is a time to wait; the task, or what the start answered.
async fn one(client: &Client, name: &str, sections: &[String], wait: Option<Duration>) -> Result<Value, Failure> {
    let task = start(client, name, sections).await?;
    let Some(timeout) = wait else { return Ok(json!({"id": task, "state": "WAITING"})) };
    wait::for_task(client, task, Some(timeout), |_| ()).await
}

/// Starts an introspection and returns the number of its task.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn start(client: &Client, name: &str, sections: &[String]) -> Result<i64, Failure> {
    let body = if sections.is_empty() { json!({}) } else { json!({"sections": sections}) };
    let doing = format!("introspect host {name}");
    let call = client.post(doing.as_str(), &["api", "hosts", name, "introspect"]).body(body);
    let answer = call.json().await.map_err(host::unknown)?;
    answer["task"]
        .as_i64()
        .ok_or_else(|| Failure::new(Kind::Failed, format!("cannot {doing}"), "the answer names no task"))
}

fn row(host: &str, outcome: Result<Value, Failure>, first: &mut Option<Failure>) -> Value {
    let (task, error) = match outcome {
        Ok(task) => {
            let error = (task["done"] == true && !wait::succeeded(&task)).then(|| {
                Failure::new(Kind::Failed, format!("the introspection of host {host} failed"), wait::reason(&task))
                    .hint(format!("`hostler task show {}` has the whole story", show(&task, "id")))
            });
            (task, error)
        }
        Err(failure) => (Value::Null, Some(failure)),
    };
    let told = error.as_ref().map(|failure| failure.why.clone());
    let state = if task.is_null() { "error".into() } else { task["state"].clone() };
    if let Some(failure) = error {
        first.get_or_insert(failure);
    }
    let seconds = seconds(&task);
    json!({"host": host, "task": task["id"], "state": state, "seconds": seconds, "error": told})
}

fn seconds(task: &Value) -> Option<f64> {
    human::between(string(task, "startedAt")?, string(task, "finishedAt")?).map(|length| length.as_secs_f64())
}

async fn online(context: &Context, client: &Client) -> Result<Vec<String>, Failure> {
    let hosts = client.pages("list hosts", &["api", "hosts"], &[], None).await?;
    let (online, other): (Vec<_>, Vec<_>) = hosts.into_iter().partition(|host| host["state"] == "online");
    if !other.is_empty() {
        let names: Vec<_> = other.iter().map(|host| show(host, "name")).collect();
        context.output.note(&format!("Left out, as they are not online: {}", names.join(", ")));
    }
    Ok(online.iter().map(|host| show(host, "name")).collect())
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("HOST", |v| show(v, "host")).whole(),
        Column::new("STATE", |v| show(v, "state")).state(),
        Column::new("TOOK", |v| {
            v["seconds"]
                .as_f64()
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .map_or_else(|| UNKNOWN.into(), human::duration)
        })
        .whole(),
        Column::new("TASK", |v| show(v, "task")).whole().spare(),
        Column::new("ERROR", |v| show(v, "error")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Theme, table};

    #[test]
    fn each_host_has_a_row_and_the_first_failure_counts() {
        let mut first = None;
        let good = json!({"id": 7, "state": "FINISHED", "done": true, "startedAt": "2026-01-02T03:04:05Z", "finishedAt": "2026-01-02T03:04:05.342Z"});
        let bad = json!({"id": 8, "state": "FAILED", "done": true, "output": "Introspection timeout\n"});
        let rows = vec![
            row("a", Ok(good), &mut first),
            row("b", Ok(bad), &mut first),
            row("c", Err(Failure::new(Kind::NotFound, "cannot introspect host c", "no such host")), &mut first),
        ];
        let failure = first.unwrap();
        assert_eq!((failure.kind, failure.why.as_str()), (Kind::Failed, "Introspection timeout"));
        assert_eq!(
            table::list(&Theme::plain(), &columns(), &rows),
            "HOST  STATE     TOOK    TASK  ERROR\na     FINISHED  0.34 s  7     -\nb     FAILED    -       8     Introspection timeout\nc     error     -       -     no such host\n"
        );
    }
}
