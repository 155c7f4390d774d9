//! Writes rows of the trail, many in one transaction, and lets hooks know of them afterwards.

use std::net::IpAddr;
use std::sync::Arc;

use hostler_common::time::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::api::Api;
use crate::engine::Engine;
use crate::metrics::hot::COUNTERS;
use crate::store::audit::{Entry, audit_insert};

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
        tokio::spawn(write_all(engine.clone(), waiting));
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

async fn write_all(engine: Engine, mut waiting: mpsc::Receiver<Row>) {
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
        if let Err(error) = written {
            COUNTERS.audit_lost(count);
            tracing::warn!(%error, count, "calls are not in the audit trail");
        }
        for row in group.drain(..) {
            if let Some(written) = row.written {
                // A caller that went away needs no answer.
                let _gone = written.send(());
            }
        }
    }
}
