//! The supervisor of one program: what `hostler-agent supervise DIR` does (design §4).
//!
//! Must never: lose the end of its program, outlive the record of it, or depend on the agent being there.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use hostler_common::job::{Captured, JobState};
use nix::libc::ECANCELED;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use nix::unistd::setsid;
use tokio::io::AsyncRead;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::capture::{Capture, pump};
use super::contain::{Contained, Usage};
use super::{End, Folder, Program};
use crate::files::{read_json, write, write_json};
use crate::sys::gate;

/// How many bytes of standard error are kept, of its beginning and of its end each.
const STDERR_MAX: usize = 32 << 10;

/// How long output is waited for after the program itself has ended: something that it left behind may hold the pipe.
const DRAIN: Duration = Duration::from_secs(2);

/// How often it is looked whether all of a program has ended.
const STEP: Duration = Duration::from_millis(10);

/// How often a program that has ended is killed before what is left of it is left behind.
const KILLS_MAX: u32 = 400;

/// How long to wait before the end is written again, on a full disk.
const RETRY: Duration = Duration::from_secs(1);

/// Runs the program of `folder` to its end and records that.
///
/// # Errors
/// The folder has no program. Everything else is an end like others, and recorded.
pub fn run(folder: &Folder) -> io::Result<()> {
    // It fails where we lead a process group already, as when started from a shell; then there is nothing to leave.
    setsid().ok();
    // Orphans of the program come to us instead of the first process: so none of it is lost from sight.
    set_child_subreaper(true).ok();
    let Some(program) = read_json::<Program>(&folder.file("program.json"))? else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the folder has no program"));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut asked = signal(SignalKind::terminate())?;
        write_json(&folder.file("supervisor.json"), &std::process::id())?;
        let (end, stdout, stderr) = supervise(folder, &program, &mut asked).await;
        while let Err(error) = record(folder, &end, &stdout, &stderr) {
            if !folder.path().is_dir() {
                // Somebody removed the agent's state: there is nobody left to tell.
                return Err(error);
            }
            tracing::error!(%error, "the end of a program cannot be recorded");
            tokio::time::sleep(RETRY).await;
        }
        Ok(())
    })
}

fn record(folder: &Folder, end: &End, stdout: &Captured, stderr: &Captured) -> io::Result<()> {
    write(&folder.file("stdout.head"), &stdout.head)?;
    write(&folder.file("stdout.tail"), &stdout.tail)?;
    write(&folder.file("stderr.head"), &stderr.head)?;
    write(&folder.file("stderr.tail"), &stderr.tail)?;
    // The end comes last: where it is, the rest is.
    write_json(&folder.file("end.json"), end)
}

async fn supervise(
    folder: &Folder,
    program: &Program,
    asked: &mut tokio::signal::unix::Signal,
) -> (End, Captured, Captured) {
    let mut stdout = Capture::new(program.stdout_head, program.stdout_tail);
    let mut stderr = Capture::new(STDERR_MAX, STDERR_MAX);
    let mut end = match start(folder, program).await {
        Ok((mut child, contained)) => {
            let out = pump_all(child.stdout.take(), &mut stdout);
            let err = pump_all(child.stderr.take(), &mut stderr);
            let pumps = async { tokio::join!(out, err) };
            let waiting = wait(program, &mut child, contained, asked);
            tokio::pin!(pumps, waiting);
            tokio::select! {
                end = &mut waiting => {
                    // A program that got away may hold the pipes for ever; what it writes from now on is not ours.
                    tokio::time::timeout(DRAIN, pumps).await.ok();
                    end
                }
                _ = &mut pumps => waiting.await,
            }
        }
        Err(error) => End {
            state: JobState::Failed,
            exit_code: None,
            signal: None,
            reason: Some(format!("{} cannot be started: {error}", program.argv.first().map_or("", String::as_str))),
            stdout_total: 0,
            stderr_total: 0,
            usage: Usage::default(),
            contained: None,
            shortfalls: Vec::new(),
        },
    };
    let (stdout, stderr) = (stdout.finish(), stderr.finish());
    end.stdout_total = stdout.total;
    end.stderr_total = stderr.total;
    (end, stdout, stderr)
}

/// Starts the program: it is born, contained, and only then let go.
async fn start(folder: &Folder, program: &Program) -> io::Result<(Child, Contained)> {
    let (name, arguments) =
        program.argv.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program"))?;
    let mut command = Command::new(name);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut gate = gate::hold(command.as_std_mut())?;
    // Starting it returns only when it has begun, so that is for another thread.
    let spawning = tokio::task::spawn_blocking(move || command.spawn());
    let (folder, limits, within) = (folder.clone(), program.limits, program.within);
    let contained = tokio::task::spawn_blocking(move || {
        let pid = gate.held()?;
        let contained = Contained::around(pid, &folder.id(), &limits, within)?;
        contained.record(folder.path())?;
        gate.open()?;
        Ok(contained)
    });
    let contained: io::Result<Contained> = contained.await.map_err(io::Error::other)?;
    let child = spawning.await.map_err(io::Error::other)?;
    match (child, contained) {
        (Ok(child), Ok(contained)) => Ok((child, contained)),
        (Err(error), Ok(contained)) => {
            contained.remove().ok();
            Err(error)
        }
        // It was not let go; that it ended without having begun says nothing.
        (Err(born), Err(error)) => Err(if born.raw_os_error() == Some(ECANCELED) { error } else { born }),
        (Ok(_), Err(error)) => Err(error),
    }
}

/// Waits for the end of the program, or brings it about; then there is nothing left of it.
async fn wait(
    program: &Program,
    child: &mut Child,
    contained: Contained,
    asked: &mut tokio::signal::unix::Signal,
) -> End {
    let own = child.id();
    let waiting = async {
        tokio::select! {
            status = child.wait() => (None, Some(status)),
            _ = asked.recv() => (Some(JobState::Cancelled), None),
            () = tokio::time::sleep(program.deadline) => (Some(JobState::TimedOut), None),
            never = adopt(own) => match never {},
        }
    };
    let (forced, status) = waiting.await;
    // Counted at once where the program has ended: systemd takes its groups away as soon as they are empty.
    let mut usage = contained.usage();
    let patience = if forced.is_some() {
        log(contained.signal(Signal::SIGTERM));
        program.grace
    } else {
        DRAIN
    };
    let status = finish(child, status, own, &contained, patience).await;
    usage = usage.or(contained.usage()).or(Usage::of_children());
    let mut end = verdict(program, forced, status, usage.oom_killed);
    end.usage = usage;
    end.contained = Some(contained.kind());
    end.shortfalls = contained.shortfalls().to_vec();
    log(contained.remove());
    end
}

/// Gives what there is of a program some time to end by itself, and ends it then.
async fn finish(
    child: &mut Child,
    status: Option<io::Result<ExitStatus>>,
    own: Option<u32>,
    contained: &Contained,
    patience: Duration,
) -> io::Result<ExitStatus> {
    let mut status = status;
    let (mut waited, mut kills) = (Duration::ZERO, 0_u32);
    loop {
        if status.is_none() {
            status = child.try_wait().transpose();
        }
        // Its number may be an orphan's once it was waited for.
        reap(own.filter(|_| status.is_none()));
        let empty = contained.is_empty();
        if let (Some(_), Ok(true)) = (&status, &empty) {
            break;
        }
        if waited >= patience {
            // Who sleeps in the kernel ends when it wakes; neither we nor the kernel can hurry that.
            if kills >= KILLS_MAX && status.is_some() {
                log(Err(io::Error::other("a process of the program does not end")));
                break;
            }
            let killed = contained.kill();
            if kills == 0 {
                log(killed);
            }
            kills += 1;
        }
        tokio::time::sleep(STEP).await;
        waited += STEP;
    }
    match status {
        Some(status) => status,
        None => child.wait().await,
    }
}

fn log(done: io::Result<()>) {
    if let Err(error) = done {
        tracing::warn!(%error, "a program cannot be ended as it should be");
    }
}

/// Takes leave of orphans of the program for as long as it runs: we are who adopts them, and dead ones count as tasks.
async fn adopt(own: Option<u32>) -> std::convert::Infallible {
    let Ok(mut died) = signal(SignalKind::child()) else { return std::future::pending().await };
    loop {
        reap(own);
        died.recv().await;
    }
}

/// Takes leave of children that ended, but not of the program itself: its status is for who waits for it.
fn reap(own: Option<u32>) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    while let Ok(status) = waitid(Id::All, flags) {
        match status.pid() {
            Some(pid) if u32::try_from(pid.as_raw()).ok() != own => {
                waitpid(pid, Some(WaitPidFlag::WNOHANG)).ok();
            }
            // Nobody, or the program: others that ended wait until somebody has asked for its status.
            _ => return,
        }
    }
}

async fn pump_all(pipe: Option<impl AsyncRead + Unpin>, capture: &mut Capture) {
    if let Some(pipe) = pipe {
        pump(pipe, capture).await;
    }
}

fn verdict(program: &Program, forced: Option<JobState>, status: io::Result<ExitStatus>, oom_killed: bool) -> End {
    let (exit_code, signal, failure) = match &status {
        Ok(status) => (status.code(), status.signal(), None),
        Err(error) => (None, None, Some(format!("its end cannot be read: {error}"))),
    };
    let (state, reason) = match (forced, exit_code) {
        (Some(JobState::TimedOut), _) => {
            (JobState::TimedOut, Some(format!("it took longer than {} s", program.deadline.as_secs())))
        }
        (Some(state), _) => (state, Some("cancelled".to_owned())),
        (None, Some(0)) => (JobState::Succeeded, None),
        (None, _) if oom_killed => (JobState::Failed, Some("its memory was used up".to_owned())),
        (None, Some(code)) => (JobState::Failed, Some(format!("exit code {code}"))),
        (None, None) => {
            let by_signal = signal.map(|number| format!("ended by signal {number}"));
            (JobState::Failed, failure.or(by_signal))
        }
    };
    let (usage, contained, shortfalls) = (Usage::default(), None, Vec::new());
    End { state, exit_code, signal, reason, stdout_total: 0, stderr_total: 0, usage, contained, shortfalls }
}
