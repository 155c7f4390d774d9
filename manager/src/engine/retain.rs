//! Removes what is older than it must be kept.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Engine;
use crate::store::{Result, event, identity, job, task};

/// How long finished things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Events.
    pub events: Duration,
    /// Tasks and their histories.
    pub tasks: Duration,
    /// Jobs.
    pub jobs: Duration,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Default for Retention {
    fn default() -> Self {
        Self { events: 400 * DAY, tasks: 90 * DAY, jobs: 14 * DAY }
    }
}

/// How often it is looked for.
const PERIOD: Duration = Duration::from_secs(3600);

impl Engine {
    /// Removes old things every hour, until `stop`.
    pub async fn run_retention(&self, stop: CancellationToken) {
        loop {
            match self.prune().await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "old records removed"),
                Err(error) => tracing::warn!(%error, "old records cannot be removed"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    /// Removes what is too old now; returns how many records that were.
    ///
    /// # Errors
    /// See [`crate::store::Error`].
    pub async fn prune(&self) -> Result<u64> {
        let (now, keep) = (self.clock.now(), self.settings.retention);
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    Ok(event::event_prune(tx, now.before(keep.events)).await?
                        + task::task_prune(tx, now.before(keep.tasks)).await?
                        + job::job_prune(tx, now.before(keep.jobs)).await?
                        + identity::token_prune(tx, now).await?)
                })
            })
            .await
    }
}
