//! The orderly end: agent first, then manager, each with a grace period.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::System;
use crate::failure::{Failure, Kind};

/// The signals that ask `up` to end.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
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
            hangup: take(SignalKind::hangup())?,
        })
    }

    /// Waits for the next of them.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
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
