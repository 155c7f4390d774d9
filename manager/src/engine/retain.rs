//! Removes what is older than it must be kept.

use std::time::Duration;

use futures::future::BoxFuture;
use hostler_common::time::Timestamp;
use tokio_util::sync::CancellationToken;

use super::Engine;
use crate::store::{
    Connection, Result, audit, event, identity, inventory, job, join_token, maintenance, script, target, task, webhook,
};

/// How long finished things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Events.
    pub events: Duration,
    /// Calls that could change something.
    pub audit: Duration,
    /// Tasks and their histories.
    pub tasks: Duration,
    /// What scripts wrote (spec/hooks.md §9).
    pub outputs: Duration,
    /// Jobs.
    pub jobs: Duration,
    /// What inventories changed.
    pub changes: Duration,
    /// Join tokens, after they expired or were revoked.
    pub join_tokens: Duration,
    /// Certificates of agents, after they expired or were revoked.
    pub certificates: Duration,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Default for Retention {
    fn default() -> Self {
        Self {
            events: 400 * DAY,
            audit: 400 * DAY,
            tasks: 90 * DAY,
            outputs: 14 * DAY,
            jobs: 14 * DAY,
            changes: 400 * DAY,
            join_tokens: 90 * DAY,
            certificates: 90 * DAY,
        }
    }
}

/// How long it is remembered what has happened, so that no hook runs twice for it (spec/hooks.md §8).
const OCCURRENCES: Duration = Duration::from_secs(7 * 86_400);

/// How long a verbatim script is kept that no run names: between being stored and being named, some time may pass.
const VERBATIM: Duration = DAY;

/// How many records one transaction removes: few enough that nobody waits long behind it.
const BATCH: u32 = 500;

/// How often it is looked for.
const PERIOD: Duration = Duration::from_secs(3600);

impl Engine {
    /// Removes old things every hour, until `stop`.
    pub async fn run_retention(&self, stop: CancellationToken) {
        loop {
            let done = tokio::select! {
                () = stop.cancelled() => return,
                done = self.prune() => done,
            };
            match done {
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

    /// Removes what is too old now, in many small transactions; returns how many records that were.
    ///
    /// # Errors
    /// See [`crate::store::Error`]; what was removed before stays so.
    pub async fn prune(&self) -> Result<u64> {
        let (now, keep) = (self.clock.now(), self.settings.retention);
        let mut removed = 0;
        removed += self.batches(move |tx| Box::pin(event::event_prune(tx, now.before(keep.events), BATCH))).await?;
        // A dead letter is of no use without its event.
        let letters = now.before(keep.events);
        removed += self.batches(move |tx| Box::pin(webhook::dead_letter_prune(tx, letters, BATCH))).await?;
        removed += self.batches(move |tx| Box::pin(audit::audit_prune(tx, now.before(keep.audit), BATCH))).await?;
        removed += self.batches(move |tx| Box::pin(task::task_prune(tx, now.before(keep.tasks), BATCH))).await?;
        removed += self.batches(move |tx| Box::pin(job::job_prune(tx, now.before(keep.jobs), BATCH))).await?;
        removed +=
            self.batches(move |tx| Box::pin(inventory::delta_prune(tx, now.before(keep.changes), BATCH))).await?;
        let (tokens, certificates) = (now.before(keep.join_tokens), now.before(keep.certificates));
        removed += self.batches(move |tx| Box::pin(join_token::join_token_prune(tx, tokens, BATCH))).await?;
        removed += self.batches(move |tx| Box::pin(join_token::certificate_prune(tx, certificates, BATCH))).await?;
        removed += self.batches(move |tx| Box::pin(identity::token_prune(tx, now, BATCH))).await?;
        removed += self.prune_sessions(now).await?;
        removed += self.batches(move |tx| Box::pin(maintenance::url_prune(tx, now.before(DAY), BATCH))).await?;
        removed += self.batches(move |tx| Box::pin(maintenance::listener_prune(tx, now.before(DAY), BATCH))).await?;
        Ok(removed + self.prune_scripts(now).await?)
    }

    /// Removes sessions that were deleted long ago, each with its history.
    async fn prune_sessions(&self, now: Timestamp) -> Result<u64> {
        let until = now.before(self.settings.maintenance.history);
        let mut removed = 0;
        loop {
            let expired = {
                let mut connection = self.store.read().await?;
                maintenance::session_expired(&mut connection, until, BATCH).await?
            };
            for id in expired.iter().copied() {
                loop {
                    let done = self.store.write(move |tx| Box::pin(maintenance::session_prune(tx, id, BATCH))).await?;
                    removed += done;
                    if maintenance::session_get(&mut *self.store.read().await?, id).await?.is_none() {
                        break;
                    }
                }
            }
            if expired.len() < BATCH as usize {
                return Ok(removed);
            }
        }
    }

    /// Removes what scripts and hooks left behind. Verbatim scripts come after the tasks that named them.
    async fn prune_scripts(&self, now: Timestamp) -> Result<u64> {
        let outputs = now.before(self.settings.retention.outputs);
        let (past, verbatim) = (now.before(OCCURRENCES), now.before(VERBATIM));
        let mut removed = self.batches(move |tx| Box::pin(target::output_prune(tx, outputs, BATCH))).await?;
        removed += self.batches(move |tx| Box::pin(target::occurrence_prune(tx, past, BATCH))).await?;
        removed += self.batches(move |tx| Box::pin(target::report_prune(tx, past, BATCH))).await?;
        removed += self.batches(move |tx| Box::pin(target::pace_prune(tx, past, BATCH))).await?;
        removed += self.batches(move |tx| Box::pin(target::chain_prune(tx, past, BATCH))).await?;
        removed += self.batches(move |tx| Box::pin(script::verbatim_prune(tx, verbatim, BATCH))).await?;
        Ok(removed)
    }

    /// Repeats a removal, each time in a transaction of its own, until it finds less than it might remove.
    async fn batches<F>(&self, remove: F) -> Result<u64>
    where
        F: for<'t> Fn(&'t mut Connection) -> BoxFuture<'t, Result<u64>> + Copy + Send + 'static,
    {
        let mut removed = 0;
        loop {
            let done = self.store.write(remove).await?;
            removed += done;
            if done < u64::from(BATCH) {
                return Ok(removed);
            }
        }
    }
}
