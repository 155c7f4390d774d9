//! Waiting for a task. The manager may restart meanwhile; tasks survive that, so the wait does too.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::failure::{Failure, Kind};
use crate::output::field::list;

/// The first pause between two looks; the next are longer, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(30);
/// The longest pause between two looks.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// For how long a manager that does not answer is waited for.
const ABSENCE_MAX: Duration = Duration::from_secs(60);

/// Waits until a task is done and returns it; `seen` is shown every state of it.
///
/// # Errors
/// It is not done by the deadline, does not exist, or the manager stays away.
pub async fn for_task(
    client: &Client,
    id: i64,
    timeout: Option<Duration>,
    mut seen: impl FnMut(&Value),
) -> Result<Value, Failure> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut pause = PAUSE_MIN;
    let mut absent_since: Option<Instant> = None;
    let number = id.to_string();
    loop {
        match client.get(format!("watch task {id}"), &["api", "tasks", &number]).json().await {
            Ok(task) => {
                absent_since = None;
                seen(&task);
                if task["done"] == true {
                    return Ok(task);
                }
            }
            Err(failure) => {
                let since = *absent_since.get_or_insert_with(Instant::now);
                if !transient(&failure) || since.elapsed() > ABSENCE_MAX {
                    return Err(failure);
                }
            }
        }
        if deadline.is_some_and(|deadline| Instant::now() + pause > deadline) {
            return Err(Failure::new(Kind::Deadline, format!("task {id} is not done"), "--timeout passed; it goes on")
                .hint(format!("follow it with `hostler task watch {id}`")));
        }
        sleep(pause).await;
        pause = (pause * 3 / 2).min(PAUSE_MAX);
    }
}

/// Whether the same request may well succeed a moment later. A refused token does not count, although it has the same
/// exit code as a manager that is not there.
#[must_use]
pub fn transient(failure: &Failure) -> bool {
    failure.kind == Kind::Unavailable || (failure.kind == Kind::Unreachable && failure.status.is_none())
}

/// Whether a task that is done ended as it should.
#[must_use]
pub fn succeeded(task: &Value) -> bool {
    task["state"] == "FINISHED"
}

/// Why a task ended otherwise, in one line.
#[must_use]
pub fn reason(task: &Value) -> String {
    let said = |value: &Value| value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    said(&task["result"]["error"])
        .or_else(|| said(&task["result"]))
        .or_else(|| said(&task["output"]))
        .or_else(|| said(&list(task, "steps").last()?["detail"]))
        .unwrap_or_else(|| format!("it ended {}", task["state"].as_str().unwrap_or("without a state")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_reason_is_the_most_exact_thing_that_was_said() {
        let task = json!({"state": "FAILED", "output": " \n", "result": null, "steps": [{"detail": "a"}, {"detail": "no CPU"}]});
        assert_eq!(reason(&task), "no CPU");
        assert_eq!(reason(&json!({"state": "FAILED", "output": "out\n", "steps": [{"detail": "a"}]})), "out");
        assert_eq!(reason(&json!({"state": "FAILED", "output": "out", "result": {"error": "exact"}})), "exact");
        assert_eq!(reason(&json!({"state": "CANCELED", "output": ""})), "it ended CANCELED");
    }

    #[test]
    fn a_manager_that_is_away_is_waited_for_but_not_one_that_refuses() {
        let away = Failure::new(Kind::Unreachable, "", "");
        let refused = Failure { status: Some(401), ..away.clone() };
        assert!(transient(&away) && !transient(&refused));
        assert!(
            transient(&Failure::new(Kind::Unavailable, "", "")) && !transient(&Failure::new(Kind::NotFound, "", ""))
        );
    }
}
