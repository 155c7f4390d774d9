//! Programs that a laboratory runs, and waiting for what they bring about. All of this blocks.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// How long anything may take that is local, on a machine that has much else to do.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A command of these words.
#[must_use]
pub fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words.first().copied().unwrap_or("false"));
    command.args(words.iter().skip(1));
    command
}

/// Runs a command to its end, without input; the outcome is the caller's to judge.
///
/// # Errors
/// It cannot be started.
pub fn output(command: &mut Command) -> anyhow::Result<Output> {
    command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))
}

/// Runs a command that must succeed; gives what it wrote to standard output.
///
/// # Errors
/// It cannot be started or does not succeed.
pub fn run(command: &mut Command) -> anyhow::Result<String> {
    let done = output(command)?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{command:?}: {}: {}", done.status, said.trim());
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Runs these words; see [`run`].
///
/// # Errors
/// See [`run`].
pub fn sh(words: &[&str]) -> anyhow::Result<String> {
    run(&mut command(words))
}

/// Asks `done` until it says yes. An error is a no that is named when time is up.
///
/// # Errors
/// It did not within `limit`.
pub fn wait(limit: Duration, what: &str, mut done: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        let answer = done();
        if matches!(answer, Ok(true)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return match answer {
                Err(error) => Err(error.context(format!("not within {limit:?}: {what}"))),
                Ok(_) => bail!("not within {limit:?}: {what}"),
            };
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
