//! What is said of a task that was followed to its end, and the exit code that it gives.

use serde_json::{Value, json};

use super::{task, wait};
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::follow::{self, Ended, manner};
use crate::output::field::{show, string};
use crate::output::{human, table};

/// The exit code for a host on which a script took too long.
const TOO_LONG: u8 = 124;
/// The exit code for a host that did not let a script run.
const REFUSED: u8 = 126;
/// The exit code for a run that was cancelled.
const CANCELLED: u8 = 130;
/// The exit code for a host that could not be reached, or of which the outcome is not known.
const UNREACHABLE: u8 = 255;

/// How many hosts a message names.
const NAMED: usize = 10;

/// The largest amount of output that one document carries, in bytes.
const DOCUMENT_MAX: usize = 64 << 20;

/// The exit code that a host gives; 0 if it is as it should be, or was never begun.
fn code(target: &Value) -> u8 {
    match target["state"].as_str() {
        Some("ok" | "skipped") => 0,
        Some("timed_out") => TOO_LONG,
        Some("refused") => REFUSED,
        Some("cancelled") => CANCELLED,
        Some("failed") => match (target["exitCode"].as_i64(), target["signal"].as_i64()) {
            (Some(code), _) if code != 0 => u8::try_from(code).unwrap_or(1),
            (_, Some(signal)) => u8::try_from(128 + signal).unwrap_or(1),
            _ => 1,
        },
        _ => UNREACHABLE,
    }
}

/// The exit code of a run: the greatest of its hosts', at least 1 if it did not finish.
fn worst(task: &Value, targets: &[Value]) -> u8 {
    let least = match task["state"].as_str() {
        Some("FINISHED") => 0,
        Some("CANCELED") => CANCELLED,
        _ => 1,
    };
    targets.iter().map(code).max().unwrap_or(0).max(least)
}

/// Says how a run of a script ended, and fails with the exit code that it gives.
///
/// # Errors
/// It did not end well on some host.
pub async fn of_run(context: &Context, ended: Ended) -> Result<(), Failure> {
    let Ended { task, targets } = ended;
    let code = worst(&task, &targets);
    if !context.output.for_people() {
        let document = document(context, &task, &targets, code).await?;
        context.output.data(&document, |_| String::new())?;
    }
    if code == 0 {
        if context.output.for_people() && targets.len() > 1 {
            context.output.note(&format!("{}: ok on {} hosts.", show(&task, "name"), targets.len()));
        }
        return Ok(());
    }
    let id = show(&task, "id");
    let what = format!("{} (task {id}) {}", show(&task, "name"), how(&task));
    Err(Failure::new(Kind::Script(code), what, story(&task, &targets))
        .hint(format!("`hostler task show {id}` has its output and all hosts")))
}

fn how(task: &Value) -> &'static str {
    if task["state"] == "CANCELED" { "was cancelled" } else { "failed" }
}

/// How many hosts are in which state, and why those are that are not well.
fn story(task: &Value, targets: &[Value]) -> String {
    if let [target] = targets {
        return format!("{} on {}", manner(target), show(target, "name"));
    }
    if targets.is_empty() {
        return wait::reason(task);
    }
    let mut counts: Vec<(String, usize)> = Vec::new();
    for target in targets {
        let state = show(target, "state").replace('_', " ");
        match counts.iter_mut().find(|(known, _)| *known == state) {
            Some((_, count)) => *count += 1,
            None => counts.push((state, 1)),
        }
    }
    let counts: Vec<String> = counts.into_iter().map(|(state, count)| format!("{count} {state}")).collect();
    let bad: Vec<&Value> = targets.iter().filter(|target| code(target) != 0).collect();
    let mut text = format!("{} hosts, {}", targets.len(), counts.join(", "));
    for target in bad.iter().take(NAMED) {
        text.push_str(&format!("\n  {}: {}", show(target, "name"), manner(target)));
    }
    if bad.len() > NAMED {
        text.push_str(&format!("\n  and {} more", bad.len() - NAMED));
    }
    text
}

/// The run as one document: the task without its output, the hosts each with its own.
async fn document(context: &Context, task: &Value, targets: &[Value], code: u8) -> Result<Value, Failure> {
    let client = context.client().await?;
    let id = task["id"].as_i64().unwrap_or_default();
    let (mut shown, mut size) = (Vec::with_capacity(targets.len()), 0);
    for target in targets {
        let mut target = target.clone();
        if target["outputBytes"].as_u64().unwrap_or(0) > 0 && size < DOCUMENT_MAX {
            let [stdout, stderr] = follow::outputs(&client, id, &show(&target, "host")).await?;
            size += stdout.len() + stderr.len();
            target["stdout"] = stdout.into();
            target["stderr"] = stderr.into();
        } else if target["outputBytes"] == 0 {
            target["stdout"] = "".into();
            target["stderr"] = "".into();
        }
        shown.push(target);
    }
    Ok(json!({
        "task": task["id"], "name": task["name"], "state": task["state"], "statusCode": task["statusCode"],
        "exitCode": code, "startedAt": task["startedAt"], "finishedAt": task["finishedAt"], "targets": shown,
    }))
}

/// Says how a change of a host ended, and fails if it did not succeed.
///
/// # Errors
/// It failed.
pub fn of_step(context: &Context, ended: &Ended) -> Result<(), Failure> {
    let task = &ended.task;
    context.output.data(task, |theme| match string(task, "result.detail") {
        Some(detail) => {
            let changed = if task["result"]["changed"] == false { " (nothing had to be changed)" } else { "" };
            format!("{}{changed}\n", human::clean_lines(detail.trim_end()))
        }
        None => table::record(theme, &task::rows(task)),
    })?;
    if wait::succeeded(task) {
        return Ok(());
    }
    let id = show(task, "id");
    Err(Failure::new(Kind::Failed, format!("{} {}", show(task, "name"), how(task)), wait::reason(task))
        .hint(format!("`hostler task show {id}` has its steps and output")))
}

/// Says of a task that was begun where to follow it.
///
/// # Errors
/// Standard output cannot be written.
pub fn begun(context: &Context, task: &Value) -> Result<(), Failure> {
    context.output.data(task, |theme| table::record(theme, &task::rows(task)))?;
    if context.output.for_people() {
        context.output.note(&format!("Begun. `hostler task watch {}` follows it.", show(task, "id")));
    }
    Ok(())
}

/// The number of a task that was begun.
///
/// # Errors
/// The answer has none.
pub fn number(task: &Value, doing: &str) -> Result<i64, Failure> {
    let missing = || Failure::new(Kind::Failed, format!("cannot {doing}"), "the answer names no task");
    task["id"].as_i64().ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str, state: &str, exit: Option<i64>, signal: Option<i64>) -> Value {
        json!({"name": name, "state": state, "exitCode": exit, "signal": signal, "error": null})
    }

    #[test]
    fn the_worst_result_is_the_exit_code() {
        for (code_wanted, target) in [
            (0, target("a", "ok", Some(0), None)),
            (0, target("a", "skipped", None, None)),
            (3, target("a", "failed", Some(3), None)),
            (137, target("a", "failed", None, Some(9))),
            (1, target("a", "failed", Some(0), None)),
            (124, target("a", "timed_out", None, Some(15))),
            (126, target("a", "refused", None, None)),
            (130, target("a", "cancelled", None, Some(15))),
            (255, target("a", "undeliverable", None, None)),
            (255, target("a", "lost", None, None)),
        ] {
            assert_eq!(code(&target), code_wanted, "{target}");
        }
        let (finished, failed) = (json!({"state": "FINISHED"}), json!({"state": "FAILED"}));
        let targets = [target("a", "ok", Some(0), None), target("b", "failed", Some(3), None)];
        assert_eq!((worst(&failed, &targets), worst(&finished, &targets[..1])), (3, 0));
        assert_eq!(worst(&failed, &targets[..1]), 1, "it stopped for another reason");
        assert_eq!(worst(&json!({"state": "CANCELED"}), &targets), 130);
    }

    #[test]
    fn a_story_names_those_that_are_not_well() {
        let mut away = target("c", "undeliverable", None, None);
        away["error"] = "no agent\u{1b}".into();
        let targets = [target("a", "ok", Some(0), None), target("b", "failed", Some(3), None), away];
        assert_eq!(
            story(&Value::Null, &targets),
            "3 hosts, 1 ok, 1 failed, 1 undeliverable\n  b: exited 3\n  c: undeliverable: no agent\u{fffd}"
        );
        assert_eq!(story(&Value::Null, &targets[1..2]), "exited 3 on b");
    }
}
