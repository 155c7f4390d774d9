//! Replaces files of the network configuration, applies them, and puts everything back unless the manager is reached in time
//! (spec/hooks.md §7.1).
//!
//! What is needed to put it back is on the disk before the first file is written, and a process of its own waits beside the
//! step: it puts the files back when the step did not say in time that all is well, also where the step was killed.

mod apply;
mod snapshot;

use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hostler_common::step::{NetworkChange, StepResult};
use serde_json::json;

use super::{Context, Failure};
use crate::identity::Identity;
use apply::Way;
use snapshot::Snapshot;

/// How long a try to reach a manager may take.
const CONNECT: Duration = Duration::from_secs(3);
/// How long the network has to become what it was told to be, before it is tried whether a manager is reached: some network
/// managers go on working after their program has ended.
const SETTLE: Duration = Duration::from_secs(3);
/// How long between two tries.
const AGAIN: Duration = Duration::from_millis(500);
/// How much longer than the step itself the process beside it waits.
const MARGIN: Duration = Duration::from_secs(30);
/// The longest that a change may stay unconfirmed.
const CONFIRM_MAX: u32 = 600;

/// Does it.
///
/// # Errors
/// A file is none of the network configuration; no manager is reached before the change; the change was put back.
pub fn run(step: &NetworkChange, context: &Context) -> Result<StepResult, Failure> {
    let way = apply::check(step)?;
    if !(5..=CONFIRM_MAX).contains(&step.confirm_s) {
        return Err(Failure::Refused(format!("confirm_s must be from 5 to {CONFIRM_MAX}")));
    }
    let managers = managers(&context.state_dir)?;
    if !reachable(&managers) {
        return Err(Failure::Refused(
            "no manager is reached now, so it could not be seen whether one is afterwards".into(),
        ));
    }
    let _mark = context.mark("network");
    let confirm = Duration::from_secs(step.confirm_s.into());
    let folder = context.runtime_dir.join("network-rollback");
    let snapshot = Snapshot::take(&folder, step, way, confirm + MARGIN).map_err(Failure::refused)?;
    start_timer(&snapshot).map_err(|error| {
        snapshot.forget();
        Failure::refused(error)
    })?;
    change(step, &snapshot, way, confirm, || reachable(&managers))
}

/// Makes the change and verifies it, or puts everything back.
fn change(
    step: &NetworkChange,
    snapshot: &Snapshot,
    way: Way,
    confirm: Duration,
    verified: impl Fn() -> bool,
) -> Result<StepResult, Failure> {
    let before = json!({"files": snapshot.described()});
    let result = |outcome: &str, changed, detail: String| StepResult {
        changed,
        before: before.clone(),
        after: json!({"interfaces": step.interfaces, "result": outcome}),
        detail,
    };
    let reason = match snapshot::write(&step.files, way).and_then(|()| apply::apply(way, &step.interfaces)) {
        Ok(()) if holds(confirm, &verified) => {
            snapshot.forget();
            return Ok(result("ok", true, format!("{} files were changed and applied", step.files.len())));
        }
        Ok(()) => format!("no manager was reached within {} s", confirm.as_secs()),
        Err(error) => error.to_string(),
    };
    let put_back = snapshot.put_back().and_then(|()| apply::apply(way, &step.interfaces));
    match put_back {
        Ok(()) => {
            snapshot.forget();
            let detail = format!("the change was put back: {reason}");
            Err(Failure::Undone(Box::new(result("rolled_back", false, detail))))
        }
        // The process beside us tries again.
        Err(error) => Err(Failure::Broken(format!("{reason}; putting it back failed: {error}"))),
    }
}

/// Whether something is true in time, when the network has settled.
fn holds(within: Duration, what: &impl Fn() -> bool) -> bool {
    let end = Instant::now() + within;
    std::thread::sleep(SETTLE.min(within));
    loop {
        if what() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(AGAIN);
    }
}

/// Where managers are, by the agent's identity.
fn managers(state_dir: &Path) -> Result<Vec<String>, Failure> {
    match Identity::load(state_dir) {
        Ok(Some(identity)) if !identity.managers.is_empty() => Ok(identity.managers),
        Ok(_) => Err(Failure::Refused("the agent knows no manager that could be reached afterwards".into())),
        Err(error) => Err(Failure::refused(error)),
    }
}

/// Whether one of the managers takes a connection.
fn reachable(managers: &[String]) -> bool {
    let addresses = managers.iter().filter_map(|manager| manager.to_socket_addrs().ok()).flatten();
    addresses.into_iter().any(|address| TcpStream::connect_timeout(&address, CONNECT).is_ok())
}

/// Starts the process that puts everything back if we do not say in time that all is well. It is in a session of its own:
/// what ends us does not end it.
fn start_timer(snapshot: &Snapshot) -> io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["step", "--roll-back"]).arg(snapshot.folder());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command.spawn().map(drop)
}

/// What that process does: waits, and puts the change back unless it was confirmed.
///
/// # Errors
/// The folder describes no change; it cannot be put back.
pub fn roll_back_later(folder: &Path) -> io::Result<()> {
    // It fails where we lead a group already; then that is enough.
    nix::unistd::setsid().ok();
    let Some(snapshot) = Snapshot::load(folder)? else { return Ok(()) };
    let end = Instant::now() + snapshot.wait();
    while Instant::now() < end {
        if !folder.exists() {
            return Ok(());
        }
        std::thread::sleep(AGAIN);
    }
    if folder.exists() {
        snapshot.put_back()?;
        apply::apply(snapshot.way(), snapshot.interfaces())?;
        snapshot.forget();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
