//! The first thing a new system does: introspect this machine and show what was found.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::bring_up::Up;
use super::files::StateDir;
use super::{Reporter, UpArgs, summary};
use crate::client::Client;
use crate::commands::{introspect, inventory, wait};
use crate::connect::{default_state_dir, variable};
use crate::failure::{Failure, Kind};
use crate::output::{field, human};

/// How long an introspection that an earlier run left may stand in the way.
const BUSY: Duration = Duration::from_secs(20);
/// How long the introspection may take.
const DEADLINE: Duration = Duration::from_secs(120);

/// Introspects this machine, if it has an agent, and prints the summary. A failed introspection ends `--once`; otherwise it
/// is told and the system stays up.
///
/// # Errors
/// The introspection fails with `--once`, or nothing can be printed.
pub async fn run(args: &UpArgs, up: &Up, dir: &StateDir, reporter: &mut Reporter) -> Result<(), Failure> {
    let found = match &up.host {
        Some(host) => {
            reporter.step("introspecting this machine");
            look(&up.client, &field::show(host, "id")).await.map(Some)
        }
        None => Ok(None),
    };
    reporter.settle();
    let (found, failure) = match found {
        Ok(found) => (found, None),
        Err(failure) => (None, Some(failure)),
    };
    if !args.quiet {
        let facts = summary::Facts {
            up: &up.file,
            host: up.host.as_ref(),
            document: found.as_ref().map(|(document, _)| document),
            took: found.as_ref().map(|(_, took)| *took),
            dir: dir.path(),
            dir_option: dir_option(dir),
            serving: !args.once,
        };
        reporter.output.data(&data(&facts), |theme| summary::render(theme, &facts))?;
    }
    match failure {
        Some(failure) if args.once => Err(failure),
        Some(failure) => {
            reporter.output.note(failure.message().trim_end());
            Ok(())
        }
        None => Ok(()),
    }
}

/// Introspects a host and returns its new inventory and how long that took.
async fn look(client: &Client, host: &str) -> Result<(Value, Duration), Failure> {
    let begin = Instant::now();
    let task = loop {
        match introspect::start(client, host, &[]).await {
            Ok(task) => break task,
            Err(failure) if failure.kind == Kind::Conflict && begin.elapsed() < BUSY => {
                sleep(Duration::from_millis(200)).await;
            }
            Err(failure) => return Err(failure),
        }
    };
    let started = Instant::now();
    let task = wait::for_task(client, task, Some(DEADLINE), |_| ()).await?;
    if !wait::succeeded(&task) {
        let hint = format!("`hostler task show {}` has the whole story", field::show(&task, "id"));
        return Err(
            Failure::new(Kind::Failed, "the introspection of this machine failed", wait::reason(&task)).hint(hint)
        );
    }
    let ends = field::string(&task, "startedAt").zip(field::string(&task, "finishedAt"));
    let took = ends.and_then(|(start, end)| human::between(start, end)).unwrap_or_else(|| started.elapsed());
    Ok((inventory::latest(client, host).await?, took))
}

/// The option that later commands need to find this system; empty for the default directory.
fn dir_option(dir: &StateDir) -> String {
    let default = default_state_dir(&variable, nix::unistd::Uid::effective().is_root());
    let same = default.ok().and_then(|path| std::fs::canonicalize(path).ok()).is_some_and(|path| path == dir.path());
    if same { String::new() } else { format!(" --state-dir {}", summary::shell_word(&dir.path().to_string_lossy())) }
}

/// What programs get to know; no secrets, which are in `up.json`.
fn data(facts: &summary::Facts<'_>) -> Value {
    json!({
        "url": facts.up.url,
        "agentEndpoint": facts.up.agent_endpoint,
        "stateDir": facts.dir.to_string_lossy(),
        "host": facts.host,
        "introspectionSeconds": facts.took.map(|took| took.as_secs_f64()),
        "inventory": facts.document.map(|document| &document["inventory"]),
    })
}
