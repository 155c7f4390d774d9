//! Due timers become inputs of their machines.

use std::time::Duration;

use futures::StreamExt as _;
use hostler_common::time::Timestamp;
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::run::{Happening, apply_kind};
use crate::store::machine::{Timer, machine_subject, timer_clear, timer_next};
use crate::store::{Error, Result};

/// How many timers are looked at in one go.
const BATCH: u32 = 256;

/// How many of them run at once: enough to fill the groups of the store's writer.
const AT_ONCE: usize = 64;

/// The longest time without a look at the rows: what a lost wake-up costs at the most.
const POLL: Duration = Duration::from_secs(5);

/// How long to wait after the store did not answer.
const RETRY: Duration = Duration::from_millis(500);

impl Engine {
    /// Runs timers as they come due, until `stop`.
    pub async fn run_timers(&self, stop: CancellationToken) {
        loop {
            let wait = match self.run_due().await {
                Ok(Some(due_at)) => due_at.since(self.clock.now()).min(POLL),
                Ok(None) => POLL,
                Err(error) => {
                    tracing::warn!(%error, "timers cannot be run");
                    RETRY
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.timers_moved() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Runs everything that is due now and returns when the next timer is.
    ///
    /// # Errors
    /// See [`Error`]; timers that did not run are still there.
    pub async fn run_due(&self) -> Result<Option<Timestamp>> {
        loop {
            let next = {
                let mut connection = self.store.read().await?;
                timer_next(&mut connection, BATCH).await?
            };
            let now = self.clock.now();
            let due: Vec<Timer> = next.iter().take_while(|timer| timer.due_at <= now).cloned().collect();
            if due.is_empty() {
                return Ok(next.first().map(|timer| timer.due_at));
            }
            let mut running =
                futures::stream::iter(due.into_iter().map(|timer| self.fire(timer))).buffer_unordered(AT_ONCE);
            // All of them end here, also after one failed: nothing goes on behind the caller's back.
            let mut failed = None;
            while let Some(done) = running.next().await {
                failed = failed.or(done.err());
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
    }

    /// Takes the timer's row away and gives its machine the input, in one transaction. A timer that was moved or taken back
    /// meanwhile does nothing.
    async fn fire(&self, timer: Timer) -> Result<()> {
        let (turn, fired) = (self.turn(None), timer.clone());
        let done = self
            .store
            .write(move |tx| {
                Box::pin(async move {
                    if !timer_clear(tx, fired.machine, &fired.name, Some(fired.due_at)).await? {
                        return Ok(None);
                    }
                    let Some((kind, subject)) = machine_subject(tx, fired.machine).await? else { return Ok(None) };
                    apply_kind(&turn, tx, &kind, &subject, Happening::Timer(fired.name)).await.map(Some)
                })
            })
            .await;
        match done {
            Ok(Some(wakes)) => {
                self.wake_all(&wakes);
                Ok(())
            }
            // Another manager was faster, or the row moved: the next look at the rows tells.
            Ok(None) | Err(Error::Moved) => Ok(()),
            Err(Error::Unavailable(reason)) => Err(Error::Unavailable(reason)),
            Err(error) => self.give_up(&timer, error).await,
        }
    }

    /// A timer whose machine cannot take it would come due for ever; it is taken away, and the log says so.
    async fn give_up(&self, timer: &Timer, error: Error) -> Result<()> {
        tracing::error!(machine = %timer.machine, timer = timer.name, %error, "a timer cannot be run and is dropped");
        let timer = timer.clone();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    timer_clear(tx, timer.machine, &timer.name, Some(timer.due_at)).await?;
                    Ok(())
                })
            })
            .await
    }
}
