//! The process of a daemon: how it speaks before there is a log, how it is asked to end, what systemd hears of it.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use sd_notify::NotifyState;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Says something to whoever started us.
pub fn complain(text: &str) {
    // There is nobody to tell when standard error is closed.
    writeln!(std::io::stderr(), "{text}").ok();
}

/// How the program `name` ends: with the error and all its causes on standard error, if there is one.
#[must_use]
pub fn end(name: &str, done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{name}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Chooses the cryptography of all TLS in this process.
pub fn install_crypto() {
    // It fails only when it was done before.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
}

/// Sees to it that nobody else works on the state directory of `daemon` while the file is open.
///
/// # Errors
/// Somebody does already, or the lock file cannot be made.
pub fn lock_state(state_dir: &Path, daemon: &str) -> anyhow::Result<File> {
    let path = state_dir.join(format!("{daemon}.lock"));
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    file.try_lock().with_context(|| format!("another {daemon} runs on {}", state_dir.display()))?;
    Ok(file)
}

/// A token that is cancelled when the daemon is to end: on TERM or INT, and with `exit_with_parent` also when standard input
/// ends. Called within a runtime.
#[must_use]
pub fn asked_to_end(exit_with_parent: bool) -> CancellationToken {
    let stop = CancellationToken::new();
    tokio::spawn(wait_for_signal(stop.clone()));
    if exit_with_parent {
        let stop = stop.clone();
        std::thread::spawn(move || {
            // Whatever is written to us is not for us.
            std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).ok();
            stop.cancel();
        });
    }
    stop
}

async fn wait_for_signal(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    if let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    }
}

/// What systemd hears of a daemon that is ready: that it is, and then signs of life until this is dropped. Without systemd
/// nothing is said.
#[derive(Debug)]
pub struct Service {
    watchdog: JoinHandle<()>,
}

impl Service {
    /// Says that the daemon is ready, within its runtime.
    #[must_use]
    pub fn ready() -> Self {
        tell(NotifyState::Ready);
        Self { watchdog: tokio::spawn(feed_watchdog()) }
    }

    /// Says that the daemon ends; signs of life go on while it does.
    pub fn stopping(&self) {
        tell(NotifyState::Stopping);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.watchdog.abort();
    }
}

fn tell(state: NotifyState<'_>) {
    // systemd that does not listen loses nothing that we need.
    sd_notify::notify(&[state]).ok();
}

/// Tells systemd that the runtime still turns, twice as often as it asks for.
async fn feed_watchdog() {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    loop {
        tell(NotifyState::Watchdog);
        tokio::time::sleep(period / 2).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_directory_has_one_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let first = lock_state(dir.path(), "manager").unwrap();
        let said = format!("{:#}", lock_state(dir.path(), "manager").unwrap_err());
        assert!(said.starts_with("another manager runs on "), "{said}");
        drop(first);
        lock_state(dir.path(), "manager").unwrap();
    }
}
