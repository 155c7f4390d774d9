//! One daemon: started, watched, restarted with growing pauses, stopped in order.

use std::ffi::OsString;
use std::future::pending;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep_until, timeout};

use crate::failure::{Failure, Kind};

/// How long a daemon may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);
/// The pause before the first restart; each further one doubles it.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// The longest pause before a restart.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A daemon that ran for so long counts as healthy: the pauses begin anew.
const HEALTHY: Duration = Duration::from_secs(60);
/// A log that is larger at start is set aside as `NAME.log.1`, in bytes.
const LOG_MAX: u64 = 16 << 20;
/// How much of the end of a log is shown, in bytes and lines.
const TAIL: (u64, usize) = (8192, 15);

/// What to run, and where its output goes.
#[derive(Clone, Debug)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// What is added to its environment.
    pub env: Vec<(&'static str, String)>,
    /// The file that gets its standard output and error.
    pub log: PathBuf,
}

/// Something that happened to a daemon.
pub enum Event {
    /// It ended by itself.
    Died {
        /// With what status.
        how: String,
        /// It is started again after this time.
        pause: Duration,
    },
    /// It was started again.
    Restarted,
    /// It could not be started again.
    NotStarted {
        /// Why.
        why: String,
        /// The next try is after this time.
        pause: Duration,
    },
}

enum State {
    /// The pipe's other end is the daemon's standard input; closing it tells the daemon to end.
    Running {
        child: Box<Child>,
        _pipe: Option<ChildStdin>,
        since: Instant,
    },
    Paused {
        until: Instant,
    },
}

/// A daemon that is kept running.
pub struct Daemon {
    program: Program,
    state: State,
    deaths: u32,
}

impl Program {
    /// Starts it in a process group of its own, so that Ctrl-C reaches only us and the end comes in order.
    fn spawn(&self) -> std::io::Result<State> {
        let log = open_log(&self.log)?;
        let mut child = Command::new(&self.path)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        // Taken out of the child, because waiting for it would close it.
        let pipe = child.stdin.take();
        Ok(State::Running { child: Box::new(child), _pipe: pipe, since: Instant::now() })
    }

    /// Runs it to its end, for at most `limit`.
    ///
    /// # Errors
    /// It cannot be started, takes too long, or does not end with success; the end of its output says why.
    pub async fn complete(&self, doing: &str, limit: Duration) -> Result<(), Failure> {
        let failed = |why: String| Failure::new(Kind::Failed, format!("cannot {doing}"), why);
        let log = open_log(&self.log).map_err(|error| failed(error.to_string()))?;
        let begin = log.metadata().map_or(0, |meta| meta.len());
        let second = log.try_clone().map_err(|error| failed(error.to_string()))?;
        let mut command = Command::new(&self.path);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(second)
            .kill_on_drop(true);
        match timeout(limit, command.status()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(failed(format!("{status}\n{}", tail(&self.log, begin)))
                .hint(format!("the whole log is {}", self.log.display()))),
            Ok(Err(error)) => Err(failed(format!("{}: {error}", self.path.display()))),
            Err(_) => Err(failed(format!("it took longer than {} s\n{}", limit.as_secs(), tail(&self.log, begin)))),
        }
    }
}

impl Daemon {
    /// Starts a daemon.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(program: Program) -> Result<Self, Failure> {
        let state = program.spawn().map_err(|error| {
            Failure::new(Kind::Failed, format!("cannot start {}", program.path.display()), error.to_string())
        })?;
        Ok(Self { program, state, deaths: 0 })
    }

    /// Waits until it ends by itself and returns what to tell of that. While starting up nobody restarts it, so a death is
    /// final. May be dropped and called again.
    pub async fn death(&mut self) -> Failure {
        let status = match &mut self.state {
            State::Running { child, .. } => child.wait().await,
            State::Paused { .. } => pending().await,
        };
        let name = self.program.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let why = format!("it ended ({}); the end of its log:\n{}", describe(status), self.log_tail());
        Failure::new(Kind::Failed, format!("{name} does not run"), why)
            .hint(format!("the whole log is {}", self.program.log.display()))
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.program.log, 0)
    }

    /// Waits for the next thing that happens to it and does what is due. May be dropped at any point and called again.
    async fn next(&mut self) -> Event {
        match &mut self.state {
            State::Running { child, since, .. } => {
                let how = describe(child.wait().await);
                if since.elapsed() >= HEALTHY {
                    self.deaths = 0;
                }
                let pause = self.pause();
                Event::Died { how, pause }
            }
            State::Paused { until } => {
                sleep_until(*until).await;
                match self.program.spawn() {
                    Ok(state) => {
                        self.state = state;
                        Event::Restarted
                    }
                    Err(error) => Event::NotStarted { why: error.to_string(), pause: self.pause() },
                }
            }
        }
    }

    fn pause(&mut self) -> Duration {
        let pause = pause_after(self.deaths);
        self.deaths = self.deaths.saturating_add(1);
        self.state = State::Paused { until: Instant::now() + pause };
        pause
    }

    /// Asks it to end and waits for that, for as long as the grace period.
    pub async fn stop(&mut self) {
        let State::Running { child, .. } = &mut self.state else { return };
        if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // It may have ended by itself meanwhile; then there is nothing to tell it.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        drop(timeout(GRACE, child.wait()).await);
    }

    /// Ends it at once, if it still runs.
    pub async fn kill(mut self) {
        if let State::Running { child, .. } = &mut self.state {
            // Fails only if it has ended already.
            drop(child.kill().await);
        }
    }
}

/// [`Daemon::next`] of a daemon that may not be there; then nothing ever happens.
pub async fn next(daemon: &mut Option<Daemon>) -> Event {
    match daemon {
        Some(daemon) => daemon.next().await,
        None => pending().await,
    }
}

fn pause_after(deaths: u32) -> Duration {
    PAUSE_MIN.saturating_mul(1 << deaths.min(10)).min(PAUSE_MAX)
}

fn describe(status: std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}

fn open_log(path: &Path) -> std::io::Result<std::fs::File> {
    if std::fs::metadata(path).is_ok_and(|meta| meta.len() > LOG_MAX) {
        std::fs::rename(path, path.with_extension("log.1"))?;
    }
    std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// The last lines of a file, of what lies behind `begin`.
fn tail(path: &Path, begin: u64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(end.saturating_sub(TAIL.0).max(begin)))?;
        let mut bytes = Vec::new();
        file.take(TAIL.0).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL.1)..].iter().map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(dir: &Path, script: &str) -> Program {
        Program {
            path: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: Vec::new(),
            log: dir.join("x.log"),
        }
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        assert_eq!(pause_after(0), Duration::from_millis(500));
        assert_eq!(pause_after(2), Duration::from_secs(2));
        assert_eq!(pause_after(6), PAUSE_MAX);
        assert_eq!(pause_after(u32::MAX), PAUSE_MAX);
    }

    #[tokio::test]
    async fn a_dead_daemon_is_started_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut daemon = Some(Daemon::start(program(dir.path(), "echo once >> \"$0.ran\"; exit 3")).unwrap());
        match next(&mut daemon).await {
            Event::Died { how, pause } => assert!(how.contains('3') && pause == PAUSE_MIN, "{how}"),
            _ => panic!("it did not die"),
        }
        assert!(matches!(next(&mut daemon).await, Event::Restarted));
        match next(&mut daemon).await {
            Event::Died { pause, .. } => assert_eq!(pause, PAUSE_MIN * 2),
            _ => panic!("it did not die again"),
        }
    }

    #[tokio::test]
    async fn the_death_of_a_daemon_shows_the_end_of_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let mut daemon = Daemon::start(program(dir.path(), "seq 40; echo address in use >&2; exit 1")).unwrap();
        let failure = daemon.death().await;
        assert!(
            failure.why.contains("address in use") && failure.why.contains("| 40") && !failure.why.contains("| 9\n")
        );
        assert!(failure.hint.unwrap().contains("x.log"));
    }

    #[tokio::test]
    async fn closing_the_pipe_ends_a_daemon_and_term_stops_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut daemon = Daemon::start(program(dir.path(), "cat; echo eof")).unwrap();
        if let State::Running { _pipe, .. } = &mut daemon.state {
            *_pipe = None;
        }
        assert!(daemon.death().await.why.contains("| eof"));
        let mut daemon = Daemon::start(program(
            dir.path(),
            "trap 'echo orderly; exit 0' TERM; echo ready; while :; do sleep 0.05; done",
        ))
        .unwrap();
        while !daemon.log_tail().contains("ready") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        daemon.stop().await;
        assert!(daemon.log_tail().contains("orderly"));
        daemon.kill().await;
    }

    #[tokio::test]
    async fn a_command_that_fails_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let limit = Duration::from_secs(10);
        assert!(program(dir.path(), "echo fine").complete("x", limit).await.is_ok());
        let failure = program(dir.path(), "echo token expired; exit 2").complete("enrol", limit).await.unwrap_err();
        assert!(failure.why.contains("token expired") && !failure.why.contains("fine"), "{}", failure.why);
    }
}
