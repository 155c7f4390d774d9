//! Writes rows of the trail, many in one transaction, and lets hooks know of them afterwards (spec/hooks.md §7.12).
//!
//! Hooks run for what somebody did, never for what a script of a hook did: that would never end. They are told in the
//! background; what does not fit into the queue is counted and dropped.

use std::net::IpAddr;
use std::sync::Arc;

use hostler_common::hook::{HookPoint, Occurrence, Origin};
use hostler_common::time::Timestamp;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::api::Api;
use crate::engine::Engine;
use crate::metrics::hot::COUNTERS;
use crate::store::audit::{Entry, audit_insert};
use crate::store::hook::hook_of_point;

/// How many rows may wait to be written, and how many to be told to hooks.
const QUEUE: usize = 10_000;

/// How many rows share one transaction at the most.
const GROUP: usize = 128;

/// The way to the audit trail. Cheap to clone.
#[derive(Clone)]
pub struct Trail {
    engine: Engine,
    trusted: Arc<Vec<IpAddr>>,
    queue: mpsc::Sender<Row>,
}

struct Row {
    entry: Entry,
    written: Option<oneshot::Sender<()>>,
}

impl Trail {
    /// Starts what writes. It ends when the last handle is dropped.
    #[must_use]
    pub fn start(api: &Api) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let engine = api.engine.clone();
        let (told, listening) = mpsc::channel(QUEUE);
        tokio::spawn(write_all(engine.clone(), waiting, told));
        tokio::spawn(tell_hooks(engine.clone(), listening));
        Self { engine, trusted: Arc::new(api.config.listen.trusted_proxies.clone()), queue }
    }

    /// The current moment.
    pub(super) fn now(&self) -> Timestamp {
        self.engine.clock.now()
    }

    /// Proxies whose headers are believed.
    pub(super) fn trusted_proxies(&self) -> &[IpAddr] {
        &self.trusted
    }

    /// Writes a row and returns when it is durable, or cannot be written.
    pub(super) async fn write(&self, entry: Entry) {
        let (written, done) = oneshot::channel();
        if self.queue.try_send(Row { entry, written: Some(written) }).is_err() {
            COUNTERS.audit_lost(1);
            return;
        }
        // A row that is given up was counted; the call itself has happened and is answered.
        let _lost = done.await;
    }

    /// Writes a row of a call that nobody waits for.
    pub(super) fn leave(&self, entry: Entry) {
        if self.queue.try_send(Row { entry, written: None }).is_err() {
            COUNTERS.audit_lost(1);
        }
    }
}

async fn write_all(engine: Engine, mut waiting: mpsc::Receiver<Row>, told: mpsc::Sender<Entry>) {
    let mut group = Vec::with_capacity(GROUP);
    while waiting.recv_many(&mut group, GROUP).await > 0 {
        let entries: Vec<Entry> = group.iter().map(|row: &Row| row.entry.clone()).collect();
        let count = entries.len() as u64;
        let written = engine
            .store
            .write(move |tx| {
                Box::pin(async move {
                    for entry in &entries {
                        audit_insert(tx, entry).await?;
                    }
                    Ok(())
                })
            })
            .await;
        if let Err(error) = &written {
            COUNTERS.audit_lost(count);
            tracing::warn!(%error, count, "calls are not in the audit trail");
        }
        for row in group.drain(..) {
            if written.is_ok() && !row.entry.from_hook && told.try_send(row.entry).is_err() {
                COUNTERS.audit_lost(1);
            }
            if let Some(written) = row.written {
                // A caller that went away needs no answer.
                let _gone = written.send(());
            }
        }
    }
}

async fn tell_hooks(engine: Engine, mut listening: mpsc::Receiver<Entry>) {
    while let Some(entry) = listening.recv().await {
        if let Err(error) = tell(&engine, entry).await {
            COUNTERS.audit_lost(1);
            tracing::warn!(%error, "hooks are not told of an audited call");
        }
    }
}

async fn tell(engine: &Engine, entry: Entry) -> crate::store::Result<()> {
    let hooks = hook_of_point(&mut *engine.store.read().await?, HookPoint::OnAudit).await?;
    if hooks.is_empty() {
        return Ok(());
    }
    let values =
        vec![entry.username, entry.method, entry.endpoint, entry.status.to_string(), entry.category, entry.operation];
    let occurrence =
        Occurrence { id: Uuid::now_v7(), point: HookPoint::OnAudit, origin: Origin::Manager, at: entry.at, values };
    engine.occurrence(occurrence, None, hooks).await?;
    Ok(())
}
