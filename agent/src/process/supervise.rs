//! The supervisor of one program: what `hostler-agent supervise DIR` does (design §4).
//!
//! Must never: lose the end of its program, outlive the record of it, or depend on the agent being there.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use hostler_common::job::{Captured, JobState};
use hostler_common::time::{Clock as _, SystemClock};
use nix::libc::{EACCES, ECANCELED, ELOOP, ENOENT, ENOEXEC, ENOTDIR};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use nix::unistd::setsid;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::bell::{Rope, Word};
use super::contain::{Contained, Usage};
use super::output::{Kept, Output};
use super::stage::{PATH, Stage};
use super::{End, Folder, MergedEnd, Program};
use crate::files::{read_json, write_json, write_plain, write_synced};
use crate::sys::{exec, gate};

/// How long output is waited for after the program itself has ended: something that it left behind may hold the pipe.
const DRAIN: Duration = Duration::from_secs(2);

/// How long what a script leaves behind has to end by itself, and to say its last words, before it is killed.
const LEFT_BEHIND: Duration = Duration::from_millis(200);

/// How many of the last bytes that a program complained are the reason of its failure.
const REASON_MAX: usize = 4 << 10;

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
        // None of this need survive the machine: neither does what it speaks of.
        write_plain(&folder.file("supervisor.json"), &serde_json::to_vec(&std::process::id())?)?;
        let (end, kept) = supervise(folder, &program, &mut asked).await;
        while let Err(error) = record(folder, &end, &kept) {
            if !folder.path().is_dir() {
                // Somebody removed the agent's state: there is nobody left to tell.
                return Err(error);
            }
            tracing::error!(%error, "the end of a program cannot be recorded");
            tokio::time::sleep(RETRY).await;
        }
        if let Some(script) = &program.script {
            Rope::new(&script.bell, &folder.id()).ring(Word::Ended);
        }
        Ok(())
    })
}

fn record(folder: &Folder, end: &End, kept: &Kept) -> io::Result<()> {
    let mut parts = Vec::new();
    for (name, captured) in [("stdout", Some(&kept.stdout)), ("stderr", Some(&kept.stderr))]
        .into_iter()
        .chain([("merged", kept.merged.as_ref().map(|merged| &merged.bytes))])
    {
        let Some(captured) = captured else { continue };
        parts.extend([(format!("{name}.head"), &captured.head), (format!("{name}.tail"), &captured.tail)]);
    }
    for (name, bytes) in parts {
        if !bytes.is_empty() {
            write_synced(&folder.file(&name), bytes)?;
        }
    }
    // The end comes last: where it is, the rest is.
    write_json(&folder.file("end.json"), end)
}

async fn supervise(folder: &Folder, program: &Program, asked: &mut tokio::signal::unix::Signal) -> (End, Kept) {
    let (started_at, began) = (SystemClock.now(), std::time::Instant::now());
    let staged = match &program.script {
        None => plain(program).map(|command| (None, command)),
        Some(script) => Stage::set(folder.path(), script).map(|(stage, command)| (Some(stage), command)),
    };
    let (mut end, kept, stage) = match staged {
        Ok((stage, command)) => {
            let secrets = stage.as_ref().map_or(&[][..], |stage| &stage.secrets);
            let mut output = Output::of(program, folder.path(), secrets);
            let end = match start(folder, program, command).await {
                Ok((child, contained)) => go(program, child, contained, &mut output, asked).await,
                Err(failure) => failure.end(program),
            };
            (end, output.finish(), stage)
        }
        Err(error) => (End::failed(format!("it cannot be prepared: {error}")), Kept::default(), None),
    };
    // Before its end is written: that may need the room which it took.
    if let Some(stage) = stage {
        stage.clear();
    }
    explain(program, &mut end, &kept.stderr);
    end.stdout_total = kept.stdout.total;
    end.stderr_total = kept.stderr.total;
    end.merged = kept.merged.as_ref().map(|merged| MergedEnd {
        total: merged.bytes.total,
        marks: merged.marks.clone(),
        dropped: merged.dropped,
    });
    end.wall = began.elapsed();
    end.started_at = Some(started_at);
    end.ended_at = Some(SystemClock.now());
    (end, kept)
}

/// Reads what the program writes until it has ended, or been ended.
async fn go(
    program: &Program,
    mut child: Child,
    contained: Contained,
    output: &mut Output,
    asked: &mut tokio::signal::unix::Signal,
) -> End {
    let pumps = output.read(child.stdout.take(), child.stderr.take());
    let waiting = wait(program, &mut child, contained, asked);
    tokio::pin!(pumps, waiting);
    tokio::select! {
        end = &mut waiting => {
            // A program that got away may hold the pipes for ever; what it writes from now on is not ours.
            let left = program.script.as_ref().is_some_and(|script| script.leave_children);
            tokio::time::timeout(if left { LEFT_BEHIND } else { DRAIN }, pumps).await.ok();
            end
        }
        () = &mut pumps => waiting.await,
    }
}

/// Why there is no program.
enum Failure {
    /// It could not be born.
    Born(io::Error),
    /// Nothing could be put around it.
    Around(io::Error),
}

impl Failure {
    fn end(self, program: &Program) -> End {
        let (Self::Born(error) | Self::Around(error)) = &self;
        let name = match &program.script {
            None => program.argv.first().map_or("", String::as_str),
            Some(script) => &script.name,
        };
        let mut end = End::failed(format!("{name} cannot be started: {error}"));
        if let (Self::Born(error), Some(script)) = (&self, &program.script) {
            let interpreter = std::fs::read(&script.bytes).ok().and_then(|bytes| super::stage::interpreter(&bytes));
            let interpreter = interpreter.map_or_else(String::new, |(interpreter, _)| interpreter);
            // The file itself is there: we made it.
            match error.raw_os_error() {
                Some(ENOENT | ENOTDIR) => {
                    end.exit_code = Some(127);
                    end.reason = Some(format!("the interpreter {interpreter} is not there"));
                }
                Some(ENOEXEC | EACCES | ELOOP) => {
                    end.exit_code = Some(126);
                    end.reason = Some(format!("it cannot be executed, nor can {interpreter}: {error}"));
                }
                _ => {}
            }
        }
        end
    }
}

/// A program that is no script.
fn plain(program: &Program) -> io::Result<std::process::Command> {
    let (name, arguments) =
        program.argv.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program"))?;
    let mut command = std::process::Command::new(name);
    command.args(arguments).env_clear().env("PATH", PATH).env("LANG", "C.UTF-8").envs(&program.env);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

/// Starts a program: it is born, contained, and only then let go.
async fn start(
    folder: &Folder,
    program: &Program,
    command: std::process::Command,
) -> Result<(Child, Contained), Failure> {
    let mut command = Command::from(command);
    let mut gate = gate::hold(command.as_std_mut()).map_err(Failure::Around)?;
    if program.script.is_some() {
        exec::exactly(command.as_std_mut()).map_err(Failure::Around)?;
    }
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
    let contained: io::Result<Contained> = contained.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    let child = spawning.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    match (child, contained) {
        (Ok(child), Ok(contained)) => Ok((child, contained)),
        (Err(error), Ok(contained)) => {
            contained.remove().ok();
            Err(Failure::Born(error))
        }
        // It was not let go; that it ended without having begun says nothing.
        (Err(born), Err(error)) if born.raw_os_error() == Some(ECANCELED) => Err(Failure::Around(error)),
        (Err(born), Err(_)) => Err(Failure::Born(born)),
        (Ok(_), Err(error)) => Err(Failure::Around(error)),
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
    let script = program.script.as_ref();
    let leave = forced.is_none() && script.is_some_and(|script| script.leave_children);
    let patience = if forced.is_some() {
        log(contained.signal(Signal::SIGTERM));
        program.grace
    } else if script.is_some() {
        LEFT_BEHIND
    } else {
        DRAIN
    };
    let status = match status {
        Some(status) if leave => status,
        status => finish(child, status, own, &contained, patience).await,
    };
    usage = usage.or(contained.usage()).or(Usage::of_children());
    let mut end = verdict(program, forced, status, usage.oom_killed);
    end.usage = usage;
    end.contained = Some(contained.kind());
    end.shortfalls = contained.shortfalls().to_vec();
    if !leave || contained.is_empty().unwrap_or(false) {
        log(contained.remove());
    }
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

fn verdict(program: &Program, forced: Option<JobState>, status: io::Result<ExitStatus>, oom_killed: bool) -> End {
    let (exit_code, signal, failure) = match &status {
        Ok(status) => (status.code(), status.signal(), None),
        Err(error) => (None, None, Some(format!("its end cannot be read: {error}"))),
    };
    let succeeds = |code| program.script.as_ref().is_some_and(|script| script.success_codes.contains(&code));
    let (state, reason) = match (forced, exit_code) {
        (Some(JobState::TimedOut), _) => {
            (JobState::TimedOut, Some(format!("it took longer than {} s", program.deadline.as_secs())))
        }
        (Some(state), _) => (state, Some("cancelled".to_owned())),
        (None, Some(0)) => (JobState::Succeeded, None),
        (None, Some(code)) if succeeds(code) => (JobState::Succeeded, None),
        (None, _) if oom_killed => (JobState::Failed, Some("its memory was used up".to_owned())),
        (None, Some(code)) if program.refuses_by == Some(code) => (JobState::Refused, Some("it refused".into())),
        (None, Some(code)) => (JobState::Failed, Some(format!("exit code {code}"))),
        (None, None) => {
            let by_signal = signal.map(|number| format!("ended by signal {number}"));
            (JobState::Failed, failure.or(by_signal))
        }
    };
    let core_dumped = status.is_ok_and(|status| status.core_dumped());
    End { exit_code, signal, reason, core_dumped, ..End::new(state) }
}

/// Takes what a program complained for the reason why it failed, where it is one that tells it so.
fn explain(program: &Program, end: &mut End, stderr: &Captured) {
    let ended_itself = matches!(end.state, JobState::Failed | JobState::Refused) && end.exit_code.is_some();
    if program.refuses_by.is_none() || !ended_itself || end.usage.oom_killed {
        return;
    }
    // The end is in the second part where there is one.
    let bytes = [&stderr.head[..], &stderr.tail[..]].concat();
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(REASON_MAX)..]);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == char::REPLACEMENT_CHARACTER);
    if !text.is_empty() {
        end.reason = Some(text.to_owned());
    }
}
