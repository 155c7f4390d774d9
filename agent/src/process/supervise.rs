//! The supervisor of one program: what `hostler-agent supervise DIR` does (design §4).
//!
//! Must never: lose the end of its program, outlive the record of it, or depend on the agent being there.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use hostler_common::job::{Captured, JobState};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, setsid};
use tokio::io::AsyncRead;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::capture::{Capture, pump};
use super::{End, Folder, Program};
use crate::files::{read_json, write, write_json};

/// How many bytes of standard error are kept, of its beginning and of its end each.
const STDERR_MAX: usize = 32 << 10;

/// How long output is waited for after the program itself has ended: something that it left behind may hold the pipe.
const DRAIN: Duration = Duration::from_secs(2);

/// How long to wait before the end is written again, on a full disk.
const RETRY: Duration = Duration::from_secs(1);

/// Runs the program of `folder` to its end and records that.
///
/// # Errors
/// The folder has no program. Everything else is an end like others, and recorded.
pub fn run(folder: &Folder) -> io::Result<()> {
    // It fails where we lead a process group already, as when started from a shell; then there is nothing to leave.
    setsid().ok();
    let Some(program) = read_json::<Program>(&folder.file("program.json"))? else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the folder has no program"));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut asked = signal(SignalKind::terminate())?;
        write_json(&folder.file("supervisor.json"), &std::process::id())?;
        let (end, stdout, stderr) = supervise(&program, &mut asked).await;
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

async fn supervise(program: &Program, asked: &mut tokio::signal::unix::Signal) -> (End, Captured, Captured) {
    let mut stdout = Capture::new(program.stdout_head, program.stdout_tail);
    let mut stderr = Capture::new(STDERR_MAX, STDERR_MAX);
    let mut end = match spawn(program) {
        Ok(mut child) => {
            let out = pump_all(child.stdout.take(), &mut stdout);
            let err = pump_all(child.stderr.take(), &mut stderr);
            let pumps = async { tokio::join!(out, err) };
            let waiting = wait(program, &mut child, asked);
            tokio::pin!(pumps, waiting);
            tokio::select! {
                end = &mut waiting => {
                    // A program that left its group may hold the pipes for ever; what it writes from now on is not ours.
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
        },
    };
    let (stdout, stderr) = (stdout.finish(), stderr.finish());
    end.stdout_total = stdout.total;
    end.stderr_total = stderr.total;
    (end, stdout, stderr)
}

fn spawn(program: &Program) -> io::Result<Child> {
    let (name, arguments) =
        program.argv.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program"))?;
    Command::new(name)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

/// Waits for the end of the program, or brings it about.
async fn wait(program: &Program, child: &mut Child, asked: &mut tokio::signal::unix::Signal) -> End {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let (forced, status) = tokio::select! {
        status = child.wait() => (None, status),
        _ = asked.recv() => (Some(JobState::Cancelled), end_group(program, child, group).await),
        () = tokio::time::sleep(program.deadline) => (Some(JobState::TimedOut), end_group(program, child, group).await),
    };
    if let Some(group) = group {
        if forced.is_none() {
            let_finish(group).await;
        }
        // Nothing of the program stays behind in its group; mostly there is nothing any more.
        killpg(group, Signal::SIGKILL).ok();
    }
    verdict(program, forced, status)
}

/// Gives what a program left behind in its group a moment to end by itself.
async fn let_finish(group: Pid) {
    let step = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    while waited < DRAIN && killpg(group, None).is_ok() {
        tokio::time::sleep(step).await;
        waited += step;
    }
}

async fn pump_all(pipe: Option<impl AsyncRead + Unpin>, capture: &mut Capture) {
    if let Some(pipe) = pipe {
        pump(pipe, capture).await;
    }
}

async fn end_group(program: &Program, child: &mut Child, group: Option<Pid>) -> io::Result<ExitStatus> {
    let send = |signal| {
        if let Some(group) = group {
            // The group may be gone already.
            killpg(group, signal).ok();
        }
    };
    send(Signal::SIGTERM);
    if let Ok(status) = tokio::time::timeout(program.grace, child.wait()).await {
        return status;
    }
    send(Signal::SIGKILL);
    child.wait().await
}

fn verdict(program: &Program, forced: Option<JobState>, status: io::Result<ExitStatus>) -> End {
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
        (None, Some(code)) => (JobState::Failed, Some(format!("exit code {code}"))),
        (None, None) => {
            let by_signal = signal.map(|number| format!("ended by signal {number}"));
            (JobState::Failed, failure.or(by_signal))
        }
    };
    End { state, exit_code, signal, reason, stdout_total: 0, stderr_total: 0 }
}
