//! The wire form of a task.

use std::collections::HashMap;

use hostler_common::text::clip;
use hostler_common::time::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::Croit;
use crate::store::task::{StepRecord, Task, TaskState};

/// Longest detail of a step, in bytes.
const DETAIL_MAX: usize = 64 << 10;

/// `TaskResponse`, with what we have beyond it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct TaskView {
    pub(super) id: i64,
    kind: String,
    name: String,
    state: &'static str,
    pub(super) done: bool,
    status_code: i32,
    started_at: Value,
    started_by: String,
    finished_at: Option<Value>,
    object: Option<String>,
    host: Option<String>,
    progress: Option<Progress>,
    output: String,
    result: Option<Value>,
    cancelled: bool,
    question: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<Vec<StepView>>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Progress {
    complete: i64,
    total: i64,
}

/// A line of a task's history.
#[derive(Clone, Debug, Serialize)]
struct StepView {
    at: String,
    what: String,
    host: Option<String>,
    outcome: String,
    detail: String,
}

impl TaskView {
    /// The view of a task; `names` are those of the hosts that tasks without a word of their own are about.
    pub(super) fn of(croit: &Croit, task: Task, names: &HashMap<String, String>) -> Self {
        let legacy = croit.api.config.croit.legacy_times;
        let moment = |at: Timestamp| if legacy { json!(at.as_micros() / 1000) } else { json!(at.rfc3339()) };
        let host = task.host.map(|host| host.to_string());
        let now = croit.api.engine.clock.now();
        let question = task.question.as_ref().map(|question| {
            let millis =
                |from: Timestamp| u64::try_from(question.expires_at.since(from).as_millis()).unwrap_or(u64::MAX);
            json!({
                "message": question.message, "defaultResponse": question.default,
                "responseOptions": question.options, "token": question.token,
                "priority": if question.urgent { "Urgent" } else { "Standard" },
                "timeout": millis(question.asked_at), "timeLeft": millis(now),
            })
        });
        Self {
            id: task.id.0,
            state: task.state.name(),
            done: task.state.is_final(),
            status_code: status_code(&task),
            kind: task.kind,
            name: task.name,
            started_at: moment(task.started_at),
            started_by: task.started_by,
            finished_at: task.finished_at.map(moment),
            object: task.object.or_else(|| host.as_ref().map(|host| names.get(host).unwrap_or(host).clone())),
            host,
            progress: (task.total > 0).then_some(Progress { complete: task.complete, total: task.total }),
            output: task.output,
            result: task.result,
            cancelled: task.cancelled,
            question,
            steps: None,
        }
    }

    /// The same with the task's history.
    pub(super) fn with_steps(mut self, steps: Vec<StepRecord>) -> Self {
        let view = |step: StepRecord| StepView {
            at: step.at.rfc3339(),
            what: step.what,
            host: step.host.map(|host| host.to_string()),
            outcome: step.outcome,
            detail: clip(&step.detail, DETAIL_MAX).to_owned(),
        };
        self.steps = Some(steps.into_iter().map(view).collect());
        self
    }
}

/// The one number that says how a task ended (spec/hooks.md §9). Tasks that have no code of their own fail with 1.
fn status_code(task: &Task) -> i32 {
    match task.state {
        TaskState::Waiting | TaskState::Running => 0,
        TaskState::Canceled => -256,
        TaskState::Failed if task.status_code == 0 => 1,
        TaskState::Finished | TaskState::Failed => task.status_code,
    }
}

/// The last bytes of a text, from a character's beginning on.
pub(super) fn tail(text: &str, max: usize) -> &str {
    let mut begin = text.len().saturating_sub(max);
    while !text.is_char_boundary(begin) {
        begin += 1;
    }
    &text[begin..]
}

/// A text without the sequences that steer terminals.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '\u{1b}' {
            plain.push(c);
            continue;
        }
        match rest.next() {
            // A control sequence ends with its first letter or another sign from `@` on.
            Some('[') => while rest.next().is_some_and(|c| !('\u{40}'..='\u{7e}').contains(&c)) {},
            // The title of a window and the like end with a bell or with a sequence of their own.
            Some(']') => {
                while rest.next_if(|c| *c != '\u{7}' && *c != '\u{1b}').is_some() {}
                rest.next_if_eq(&'\u{7}');
            }
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_keep_characters_whole() {
        assert_eq!(tail("abc", 5), "abc");
        assert_eq!(tail("abc", 2), "bc");
        assert_eq!(tail("aéb", 2), "b");
        assert_eq!(tail("", 2), "");
    }

    #[test]
    fn sequences_of_terminals_go() {
        assert_eq!(plain("\u{1b}[31mred\u{1b}[0m and \u{1b}[1;32mgreen"), "red and green");
        assert_eq!(plain("a\u{1b}]0;title\u{1b}\\b\u{1b}"), "ab");
        assert_eq!(plain("a\u{1b}]0;t\u{7}b"), "ab");
    }
}
