//! Following a session until it is over: a picture on a terminal, lines elsewhere. The exit code is its outcome.

use std::time::Duration;

use hostler_common::time::Timestamp;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::session::{self, called, hosts_in};
use super::{screen, story};
use crate::client::Client;
use crate::commands::wait;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::field::{show, string};
use crate::output::{Output, Sink, human};

/// How often it is looked.
const PAUSE: Duration = Duration::from_millis(500);

/// For how long a manager that does not answer is waited for: sessions go on while it starts anew.
const ABSENCE_MAX: Duration = Duration::from_secs(300);

/// Follows a session to its end.
///
/// # Errors
/// It failed or was deleted before it was done, is not over by the deadline, does not exist, or the manager stays away.
pub async fn run(context: &Context, client: &Client, id: &str, timeout: Option<Duration>) -> Result<(), Failure> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut view = View::new(context.output);
    let mut absent_since: Option<Instant> = None;
    loop {
        match session::now(client, id).await {
            Ok(now) => {
                absent_since = None;
                view.show(&now)?;
                if over(&now) {
                    view.end(&now)?;
                    return outcome(&now);
                }
            }
            Err(failure) => {
                let since = *absent_since.get_or_insert_with(Instant::now);
                if !wait::transient(&failure) || since.elapsed() > ABSENCE_MAX {
                    view.close();
                    return Err(failure);
                }
                view.away();
            }
        }
        if deadline.is_some_and(|deadline| Instant::now() + PAUSE > deadline) {
            view.close();
            let what = format!("maintenance session {id} is not over");
            return Err(Failure::new(Kind::Deadline, what, "--timeout passed; it goes on")
                .hint(format!("follow it with `hostler maintenance watch {id}`")));
        }
        sleep(PAUSE).await;
    }
}

/// Whether nothing happens to it until somebody asks for something.
fn over(now: &Value) -> bool {
    now["phase"] == "over"
}

/// Success, or why not.
fn outcome(now: &Value) -> Result<(), Failure> {
    let called = called(now);
    let what = |how: &str| format!("maintenance session {called} {how}");
    if now["state"] == "MAINTENANCE_DONE" {
        return Ok(());
    }
    if now["deletedAt"].is_string() {
        let hosts = hosts_in(now, &["done"]).len();
        return Err(Failure::new(
            Kind::Failed,
            what("was deleted before it was done"),
            format!("{hosts} hosts were done"),
        ));
    }
    let text = string(now, "reason.text").unwrap_or("it does not say why");
    let mut why = human::clean_lines(text.trim_end());
    let failed = hosts_in(now, &["failed"]);
    if !failed.is_empty() {
        why.push_str(&format!("\n  failed: {}", failed.join(", ")));
    }
    Err(Failure::new(Kind::Failed, what("failed"), why).hint(format!(
        "`hostler maintenance history {called} --with-output` has what was printed; then `retry {called}`, `skip {called} HOST` or \
         `delete {called}`"
    )))
}

/// Where a session is shown.
struct View {
    output: Output,
    before: Option<Value>,
    /// The picture, where there is a terminal.
    picture: Option<ProgressBar>,
    away: bool,
}

impl View {
    fn new(output: Output) -> Self {
        let picture = (output.for_people() && output.draws()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
            let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
            bar.with_style(style)
        });
        Self { output, before: None, picture, away: false }
    }

    fn show(&mut self, now: &Value) -> Result<(), Failure> {
        self.away = false;
        let at = moment(now);
        if let Some(picture) = &self.picture {
            picture.set_message(screen::frame(&self.output.theme_now(), now, at).trim_end().to_owned());
        } else if self.output.for_people() {
            for line in story::lines(self.before.as_ref(), now, at) {
                let stamp = human::moment(&show(now, "now"));
                self.output.pass(Sink::Out, format!("{stamp} {line}\n").as_bytes())?;
            }
        } else if self.before.as_ref().map(lasting) != Some(lasting(now)) {
            self.output.item(now, |_| String::new())?;
        }
        self.before = Some(now.clone());
        Ok(())
    }

    /// The manager does not answer.
    fn away(&mut self) {
        if self.away {
            return;
        }
        self.away = true;
        let text = "The manager does not answer; the session goes on when it is back. Waiting for it.";
        match &self.picture {
            Some(picture) => picture.suspend(|| self.output.note(text)),
            None => self.output.note(text),
        }
    }

    /// Leaves the last picture on the terminal.
    fn end(&self, now: &Value) -> Result<(), Failure> {
        self.close();
        match self.picture {
            Some(_) => {
                let last = screen::frame(&self.output.theme_now(), now, moment(now));
                self.output.pass(Sink::Out, last.as_bytes())
            }
            None => Ok(()),
        }
    }

    fn close(&self) {
        if let Some(picture) = &self.picture {
            picture.finish_and_clear();
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.close();
    }
}

fn moment(now: &Value) -> Timestamp {
    string(now, "now").and_then(human::parse).unwrap_or(Timestamp::from_micros(0))
}

/// What of a look is not different at every look.
fn lasting(now: &Value) -> Value {
    let mut now = now.clone();
    if let Some(fields) = now.as_object_mut() {
        fields.remove("now");
        fields.remove("endsAt");
    }
    now
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_exit_code_is_the_outcome() {
        let session = |state: &str, deleted: Value| {
            json!({"id": "aaaa1111-x", "name": "s", "state": state, "phase": "over", "deletedAt": deleted,
                "reason": {"text": "host b: status 3"}, "hostsByPhase": [{"phase": "failed", "count": 1, "names": ["b"]}]})
        };
        assert!(outcome(&session("MAINTENANCE_DONE", Value::Null)).is_ok());
        let failed = outcome(&session("MAINTENANCE_FAILED", Value::Null)).unwrap_err();
        assert_eq!(failed.kind, Kind::Failed);
        assert!(failed.why.contains("status 3") && failed.why.contains("failed: b"), "{failed}");
        assert!(outcome(&session("START_MAINTENANCE", "2031-04-12T22:00:00Z".into())).is_err());
    }
}
