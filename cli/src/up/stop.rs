//! The orderly end: agent first, then manager, each with a grace period.

use std::future::pending;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::System;
use crate::failure::{Failure, Kind};

/// The signals that ask `up` to end.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Absent under `nohup`, which wants it ignored.
    hangup: Option<Signal>,
}

impl Signals {
    /// Takes the signals over.
    ///
    /// # Errors
    /// The system refuses.
    pub fn new() -> Result<Self, Failure> {
        let take = |kind| {
            signal(kind).map_err(|error| Failure::new(Kind::Failed, "cannot watch for signals", error.to_string()))
        };
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
            hangup: if ignores_hangup() { None } else { Some(take(SignalKind::hangup())?) },
        })
    }

    /// Waits for the next of them.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = received(&mut self.hangup) => {}
        }
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => pending().await,
    }
}

/// Whether whoever started us wants SIGHUP ignored.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    hangup_is_ignored(&status)
}

/// Reads the mask of ignored signals in `/proc/PID/status`; SIGHUP is the lowest bit.
fn hangup_is_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// Stops what runs. Another signal meanwhile ends the grace periods.
pub async fn all(system: System, signals: &mut Signals) {
    let System { manager, agent, .. } = system;
    let mut hurry = false;
    for mut daemon in [agent, manager].into_iter().flatten() {
        if !hurry {
            tokio::select! {
                () = daemon.stop() => {}
                () = signals.next() => hurry = true,
            }
        }
        daemon.kill().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nohup_is_recognised() {
        assert!(hangup_is_ignored("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"));
        assert!(!hangup_is_ignored("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n"));
        assert!(!hangup_is_ignored(""));
    }
}
