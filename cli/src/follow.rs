//! Follows a task that runs on hosts until it has ended: shows what it does, asks at Ctrl-C whether it is to stop, and
//! survives a manager that restarts meanwhile.

mod ledger;
mod lines;
mod printer;
mod session;

use serde_json::Value;

use crate::client::Client;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::progress::Progress;
use crate::output::{Output, Sink};
use crate::prompt;
use session::Session;

pub use session::{manner, outputs};

/// A task that has ended.
pub struct Ended {
    /// The task.
    pub task: Value,
    /// Its hosts, where it ran a script; none otherwise.
    pub targets: Vec<Value>,
}

/// Follows a task to its end. What a script writes is shown while it is written, unless people do not read our output.
///
/// # Errors
/// The manager refuses or stays away; or Ctrl-C was pressed and the task is left running.
pub async fn run(context: &Context, id: i64) -> Result<Ended, Failure> {
    let guard = context.take_interrupts();
    let client = context.client().await?;
    let progress = context.output.progress();
    let mut session = Session::new(context, client.clone(), &progress, id);
    let mut work = std::pin::pin!(session.run());
    let mut asked_to_stop = false;
    let outcome = loop {
        tokio::select! {
            done = &mut work => break done,
            pressed = tokio::signal::ctrl_c() => match pressed {
                Err(error) => break Err(Failure::new(Kind::Failed, "cannot wait for signals", error.to_string())),
                Ok(()) if asked_to_stop => break Err(left(id, "it was asked to stop and has not stopped yet")),
                Ok(()) => match decide(context.output, &progress, id).await? {
                    Wish::GoOn => {}
                    Wish::Leave => break Err(left(id, "it goes on")),
                    Wish::Cancel => {
                        cancel(&client, id).await?;
                        progress.note(&context.output, "Asked to stop; waiting until it has. Ctrl-C leaves it.");
                        asked_to_stop = true;
                    }
                },
            },
        }
    };
    drop(guard);
    outcome
}

/// What somebody wants who pressed Ctrl-C.
enum Wish {
    GoOn,
    Leave,
    Cancel,
}

/// Asks; a second Ctrl-C, or nobody to ask, leaves the task running.
async fn decide(output: Output, progress: &Progress, id: i64) -> Result<Wish, Failure> {
    if !prompt::somebody() {
        return Ok(Wish::Leave);
    }
    progress.hide();
    output.note("");
    let question = format!("Task {id}: [c]ancel it, [l]eave it running, or Enter to go on watching? ");
    let wish = tokio::select! {
        answer = prompt::choice(&question) => match answer?.as_str() {
            "c" | "cancel" | "y" | "yes" => Wish::Cancel,
            "l" | "leave" | "q" | "quit" => Wish::Leave,
            _ => Wish::GoOn,
        },
        _ = tokio::signal::ctrl_c() => {
            output.note("");
            Wish::Leave
        }
    };
    if output.is_terminal(Sink::Err) {
        progress.show();
    }
    Ok(wish)
}

async fn cancel(client: &Client, id: i64) -> Result<(), Failure> {
    let call = client.post(format!("cancel task {id}"), &["api", "tasks", &id.to_string(), "cancel"]);
    match call.done().await {
        // It ended while we asked.
        Err(failure) if failure.kind == Kind::Conflict => Ok(()),
        done => done,
    }
}

fn left(id: i64, why: &str) -> Failure {
    Failure::new(Kind::Interrupted, format!("task {id} was left"), why)
        .hint(format!("`hostler task watch {id}` follows it again, `hostler task cancel {id}` stops it"))
}
