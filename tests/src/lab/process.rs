//! A process that was started here and is ended here.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Place;

/// A running process with its log.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `program` with its output appended to `log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let output = File::options().create(true).append(true).open(&log)?;
        let child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| program.display().to_string())?;
        Ok(Self { child, log })
    }

    /// Starts `program` in a namespace, if one is given.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_at(
        place: Option<&Place>,
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let Some(place) = place else { return Self::start(program, arguments, environment, log) };
        let prefix = place.namespace.prefix();
        let mut words: Vec<&str> = prefix.iter().map(String::as_str).collect();
        words.push(program.to_str().context("a path that is no text")?);
        words.extend(arguments);
        Self::start(Path::new(words[0]), &words[1..], environment, log)
    }

    /// Its process number.
    #[must_use]
    pub fn id(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(0)
    }

    /// What it wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill(Pid::from_raw(self.id()), signal)?)
    }

    /// Its exit code, once it ended; `None` if it was ended by a signal.
    ///
    /// # Errors
    /// It did not end within `limit`.
    pub fn wait(&mut self, limit: Duration) -> anyhow::Result<Option<i32>> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            anyhow::ensure!(began.elapsed() < limit, "it did not end within {limit:?}; its log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills it at this instant and waits until it is gone.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::SIGTERM).ok();
            if self.wait(Duration::from_secs(10)).is_err() {
                self.kill().ok();
            }
        }
        if std::thread::panicking() {
            println!("---- {} ----\n{}", self.log.display(), self.log());
        }
    }
}
