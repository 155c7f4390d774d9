//! Gates that servers elsewhere open: asks what stays wait for, and writes down what came of it (spec/maintenance.md §3.9).
//!
//! Which questions there are is in rows that stays write; what an answer means is theirs to decide. Here it is asked, by whichever
//! manager comes first, and the answer is committed together with the timers of the stays that wait for it. Nothing is remembered
//! but what is being asked right now: a manager that dies asks again.
//!
//! Must never: call a gate open that was not heard to be, follow a server elsewhere, or keep more of an answer than it may have.

mod alert;
mod ask;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use hostler_core::maintenance::policy::Gate;
use hostler_core::maintenance::stay::{LOOK_EVERY, UrlAnswer};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::engine::Engine;
use crate::store::Result;
use crate::store::maintenance::{url_answered, url_due};
use ask::Asker;

/// The longest time without a look at the rows: what a lost wake-up costs at the most.
const POLL: Duration = Duration::from_secs(5);

/// How long changes are gathered before anybody looks.
const GATHER: Duration = Duration::from_millis(250);

/// How often the same is asked.
const EVERY: Duration = Duration::from_secs(LOOK_EVERY);

/// For how long a question counts after a stay last said that it waits for the answer: a few of its looks.
const WANTED_FOR: Duration = Duration::from_secs(4 * LOOK_EVERY);

/// How many questions are asked at once, and how many are read from the store at once.
const AT_ONCE: usize = 8;
const BATCH: u32 = 256;

/// How long a server may take for all of its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks servers what gates want to know. Cheap to clone.
#[derive(Clone)]
pub struct Gates {
    engine: Engine,
    asker: Asker,
    turns: Arc<Semaphore>,
    /// What is being asked.
    asked: Arc<Mutex<BTreeSet<String>>>,
}

/// A question that nobody else asks meanwhile.
struct Turn<'g> {
    gates: &'g Gates,
    question: String,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.gates.asked().remove(&self.question);
    }
}

impl Gates {
    /// Prepares to ask by those settings; opens no connection.
    #[must_use]
    pub fn new(engine: Engine, config: &Config) -> Self {
        Self::with_patience(engine, config, PATIENCE)
    }

    /// The same with another limit of time for each answer.
    #[must_use]
    pub fn with_patience(engine: Engine, config: &Config, patience: Duration) -> Self {
        let asker = Asker::new(config, patience);
        Self { engine, asker, turns: Arc::new(Semaphore::new(AT_ONCE)), asked: Arc::default() }
    }

    /// Asks what is due, until `stop`. A server that lets us wait keeps nobody else waiting.
    pub async fn run(&self, stop: CancellationToken) {
        let mut changes = self.engine.wake.watch();
        let mut rounds = JoinSet::new();
        loop {
            changes.mark_unchanged();
            let gates = self.clone();
            rounds.spawn(async move { gates.ask_due().await });
            while let Some(done) = rounds.try_join_next() {
                match done {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => tracing::warn!(%error, "gates cannot be asked for"),
                    Err(error) => tracing::error!(%error, "what asks for gates panicked"),
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL) => {}
                _changed = changes.changed() => tokio::time::sleep(GATHER).await,
            }
        }
    }

    /// Asks all that is due and not being asked, and writes each answer as it comes; returns how many there were.
    ///
    /// # Errors
    /// The store does not answer; what was not written is asked again.
    pub async fn ask_due(&self) -> Result<usize> {
        let now = self.engine.clock.now();
        let mut connection = self.engine.store.read().await?;
        let due = url_due(&mut connection, now.before(WANTED_FOR), now.before(EVERY), BATCH).await?;
        drop(connection);
        let asking: Vec<_> =
            due.into_iter().filter_map(|question| self.take(question)).map(|turn| self.ask(turn)).collect();
        let count = asking.len();
        let broken = join_all(asking).await.into_iter().find_map(std::result::Result::err);
        broken.map_or(Ok(count), Err)
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        // The set is whole after any panic: every critical section is one operation on it.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, question: String) -> Option<Turn<'_>> {
        let fresh = self.asked().insert(question.clone());
        fresh.then(|| Turn { gates: self, question })
    }

    async fn ask(&self, turn: Turn<'_>) -> Result<()> {
        // It is never closed; without a permit, it would only be asked at once with others.
        let _permit = self.turns.acquire().await.ok();
        // What it says may be older than its arrival, but not older than this.
        let at = self.engine.clock.now();
        let gate = Gate::of_question(&turn.question);
        let status = self.asker.ask(&gate).await;
        if let Err(why) = &status {
            tracing::debug!(question = turn.question, why, "a gate stays closed");
        }
        let (question, answer, now) = (turn.question.clone(), UrlAnswer { at, status }, self.engine.clock.now());
        let write =
            self.engine.store.write(move |tx| Box::pin(async move { url_answered(tx, &question, &answer, now).await }));
        write.await?;
        self.engine.wake.timers();
        self.engine.wake.changed();
        Ok(())
    }
}
