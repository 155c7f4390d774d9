//! Programs that outlive the agent (design §4).
//!
//! A program runs under a supervisor: this same executable, started as `supervise DIR` in a session of its own. The
//! supervisor puts the program into something of its own ([`contain`]), captures output, enforces the deadline, ends all of
//! the program when asked, and leaves the end in `DIR`.
//! As long as it lives it holds a lock on `DIR/lock`, so an agent that was restarted knows without process ids whether
//! a program still runs, and waits for its end by waiting for the lock.

pub mod bell;
pub mod capture;
pub mod contain;
pub mod live;
pub mod mask;
pub mod merge;
mod output;
mod service;
pub mod stage;
pub mod supervise;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use hostler_common::job::{self, Captured, JobState, Merged, Outcome, Stream};
use hostler_common::time::{Clock as _, SystemClock, Timestamp};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use self::contain::{Contained, Kind, Limits, Usage};
use self::stage::Script;
use crate::files::{read_json, write_json, write_plain, write_synced};

/// What a supervisor is to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Program {
    /// The program and its arguments; nothing of it is interpreted.
    pub argv: Vec<String>,
    /// How long it may run.
    pub deadline: Duration,
    /// How long it has between TERM and KILL.
    pub grace: Duration,
    /// How many of the first bytes of its standard output are kept.
    pub stdout_head: usize,
    /// How many of the last bytes of its standard output are kept, where there are more.
    pub stdout_tail: usize,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
    /// The only way in which it may be contained; `None` for the best that works on this host.
    #[serde(default)]
    pub within: Option<Kind>,
    /// The script that it is, if it is one; then `argv` and the limits of its output mean nothing.
    #[serde(default)]
    pub script: Option<Script>,
    /// Whether it is there to change the host: then the sandbox of the agent's unit is not for it.
    #[serde(default)]
    pub changes_host: bool,
    /// Variables that it finds besides `PATH` and `LANG`; a script has its own.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Of a program that says on its standard error why it fails: the exit code by which it says that it changed nothing.
    #[serde(default)]
    pub refuses_by: Option<i32>,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// A final state.
    pub state: JobState,
    /// The exit code, if it ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Why it did not succeed, where code and signal do not say it.
    pub reason: Option<String>,
    /// Bytes that it wrote to its standard output.
    pub stdout_total: u64,
    /// Bytes that it wrote to its standard error.
    pub stderr_total: u64,
    /// What it used.
    #[serde(default)]
    pub usage: Usage,
    /// How it was contained; `None` if it was not even born.
    #[serde(default)]
    pub contained: Option<Kind>,
    /// What this host did not grant: ways and limits, for people.
    #[serde(default)]
    pub shortfalls: Vec<String>,
    /// Of a script: what its output was, besides the kept bytes.
    #[serde(default)]
    pub merged: Option<MergedEnd>,
    /// Whether it left a core dump.
    #[serde(default)]
    pub core_dumped: bool,
    /// From its start to its end, by the monotonic clock.
    #[serde(default)]
    pub wall: Duration,
    /// When it was started, by this host's clock.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When it ended, by this host's clock.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
}

/// What is known of a script's output besides the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedEnd {
    /// How many bytes there were.
    pub total: u64,
    /// Where the stream changes.
    pub marks: Vec<(u64, Stream)>,
    /// How many never reached who watched.
    pub dropped: u64,
}

impl End {
    fn new(state: JobState) -> Self {
        Self {
            state,
            exit_code: None,
            signal: None,
            reason: None,
            stdout_total: 0,
            stderr_total: 0,
            usage: Usage::default(),
            contained: None,
            shortfalls: Vec::new(),
            merged: None,
            core_dumped: false,
            wall: Duration::ZERO,
            started_at: None,
            ended_at: None,
        }
    }

    fn failed(reason: String) -> Self {
        Self { reason: Some(reason), ..Self::new(JobState::Failed) }
    }

    /// What it used, as the manager is told.
    fn used(&self) -> job::Usage {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        job::Usage {
            wall_us: micros(self.wall),
            cpu_us: micros(self.usage.cpu_time),
            memory_max_kib: self.usage.max_rss.max(self.usage.memory_peak.unwrap_or(0)) / 1024,
            out_of_memory: self.usage.oom_killed,
            core_dumped: self.core_dumped,
        }
    }
}

/// The folder of one program.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder at `path`, which exists.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// How the program ended, if it did.
    ///
    /// # Errors
    /// The record exists and cannot be read.
    pub fn end(&self) -> io::Result<Option<End>> {
        read_json(&self.file("end.json"))
    }

    /// The whole outcome of a program that ended.
    ///
    /// # Errors
    /// A file that must exist cannot be read.
    pub fn outcome(&self) -> io::Result<Option<Outcome>> {
        let Some(end) = self.end()? else { return Ok(None) };
        let part = |name: &str| match std::fs::read(self.file(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other,
        };
        let merged = match &end.merged {
            None => None,
            Some(merged) => Some(Merged {
                bytes: Captured { head: part("merged.head")?, tail: part("merged.tail")?, total: merged.total },
                marks: merged.marks.clone(),
                dropped: merged.dropped,
            }),
        };
        Ok(Some(Outcome {
            usage: Some(end.used()),
            started_at: end.started_at,
            ended_at: end.ended_at,
            merged,
            exit_code: end.exit_code,
            signal: end.signal,
            reason: end.reason,
            stdout: Captured { head: part("stdout.head")?, tail: part("stdout.tail")?, total: end.stdout_total },
            stderr: Captured { head: part("stderr.head")?, tail: part("stderr.tail")?, total: end.stderr_total },
        }))
    }

    /// Records another end than the one that the supervisor left, if it left any: for programs whose end says nothing of what
    /// they were to do.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn settle(&self, state: JobState, reason: Option<String>, stdout: &[u8]) -> io::Result<()> {
        match std::fs::remove_file(self.file("stdout.tail")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        write_synced(&self.file("stdout.head"), stdout)?;
        let end = self.end()?.unwrap_or_else(|| End::new(state));
        let end = End {
            state,
            exit_code: (state == JobState::Succeeded).then_some(0),
            signal: None,
            reason,
            stdout_total: stdout.len() as u64,
            ended_at: Some(SystemClock.now()),
            ..end
        };
        // The end comes last: where it is, the rest is.
        write_json(&self.file("end.json"), &end)
    }

    /// Whether a supervisor lives.
    ///
    /// # Errors
    /// The lock cannot be looked at.
    pub fn alive(&self) -> io::Result<bool> {
        match File::open(self.file("lock")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
            Ok(lock) => match lock.try_lock_shared() {
                Ok(()) => Ok(false),
                Err(std::fs::TryLockError::WouldBlock) => Ok(true),
                Err(std::fs::TryLockError::Error(error)) => Err(error),
            },
        }
    }

    /// Starts `program` under a supervisor, the executable `supervisor`. What changes the host gets, where systemd is, one
    /// that is a service of its own, outside of the agent's sandbox; otherwise the supervisor is our child, and is returned.
    ///
    /// # Errors
    /// The folder cannot be written, or the supervisor cannot be started.
    pub fn start(&self, supervisor: &Path, program: &Program) -> io::Result<Option<tokio::process::Child>> {
        write_plain(&self.file("program.json"), &serde_json::to_vec(program)?)?;
        // The supervisor inherits the locked file as its standard input: the lock is held from before its first instruction
        // until after its last.
        let lock = File::create(self.file("lock"))?;
        lock.try_lock().map_err(io::Error::from)?;
        if program.changes_host && service::there() {
            match service::start(&self.id(), supervisor, &self.path, &lock, program) {
                Ok(()) => return Ok(None),
                // It works all the same, within the agent's sandbox.
                Err(error) => tracing::warn!(%error, "systemd starts no service for a program that changes the host"),
            }
        }
        tokio::process::Command::new(supervisor)
            .arg("supervise")
            .arg(&self.path)
            .stdin(Stdio::from(lock))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Some)
    }

    /// What is called after the job: the name of the folder.
    fn id(&self) -> String {
        self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// Ends what is left of a program whose supervisor is gone; does nothing while there is one. Blocks until the last
    /// process has ended, at most some seconds.
    ///
    /// # Errors
    /// It cannot be found out, or something does not end.
    pub fn clear(&self) -> io::Result<()> {
        if self.alive()? {
            return Ok(());
        }
        let Some(contained) = Contained::find(&self.path)? else { return Ok(()) };
        for _ in 0..250 {
            if contained.is_empty()? {
                return contained.remove();
            }
            contained.kill()?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "a process of the program does not end"))
    }

    /// Whether a supervisor came as far as to say its number: before that no program was begun. Only for this boot: what was
    /// not synchronised may be gone after a loss of power.
    #[must_use]
    pub fn begun(&self) -> bool {
        self.file("supervisor.json").exists()
    }

    /// Waits until no supervisor lives; blocks the calling thread.
    ///
    /// # Errors
    /// The lock cannot be looked at.
    pub fn wait(&self) -> io::Result<()> {
        File::open(self.file("lock"))?.lock_shared()
    }

    /// Asks the supervisor to end its program. Nothing happens if there is none.
    ///
    /// # Errors
    /// The supervisor's number cannot be read.
    pub fn stop(&self) -> io::Result<()> {
        if !self.alive()? {
            return Ok(());
        }
        let Some(pid) = read_json::<i32>(&self.file("supervisor.json"))? else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the supervisor has not said its number yet"));
        };
        kill(Pid::from_raw(pid), Signal::SIGTERM).map_err(io::Error::from)
    }
}
