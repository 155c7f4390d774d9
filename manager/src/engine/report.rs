//! What hosts say of their jobs: recorded once, then given to the machines whose jobs they are.

use std::sync::Arc;

use hostler_common::error::Class;
use hostler_common::id::{HostId, JobId};
use hostler_common::job::{JobState, JobUpdate};
use hostler_core::machine::{Machine as _, Message};
use hostler_core::maintenance::stay::Stay;
use hostler_core::run::Run;

use super::run::{Happening, TRIES, Wakes, deliver, step_kind};
use super::{Engine, Turn};
use crate::store::job::Place;
use crate::store::{Connection, Error, Result, job};

impl Engine {
    /// Takes an agent's report of a job: once recorded, a repetition changes nothing.
    ///
    /// # Errors
    /// Class `Denied` if the job belongs to another host; see [`Error`].
    pub async fn job_update(&self, host: HostId, update: JobUpdate) -> Result<()> {
        let (job, ends) = (update.job, update.state.is_final());
        // Shared, not copied: with a document in it, it may wait for its turn in the store's queue for a while.
        let update = Arc::new(update);
        let wakes = match self.take_together(host, &update).await {
            Some(wakes) => wakes,
            None => self.take_alone(host, &update).await?,
        };
        if ends {
            self.outputs.end(job);
        }
        if let Some(wakes) = wakes {
            self.wake_all(&wakes);
        }
        Ok(())
    }

    /// Takes a report in a transaction of its own.
    async fn take_alone(&self, host: HostId, update: &Arc<JobUpdate>) -> Result<Option<Wakes>> {
        let mut tries = 0;
        loop {
            let (turn, update) = (self.turn(None), Arc::clone(update));
            let done =
                self.store.write(move |tx| Box::pin(async move { take_update(&turn, tx, host, &update).await })).await;
            tries += 1;
            match done {
                Err(Error::Moved) if tries < TRIES => {}
                other => return other,
            }
        }
    }

    /// Records that a queued job ends without having reached its agent: its machine hears of it like of any other end.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn job_dropped(&self, host: HostId, id: JobId) -> Result<()> {
        let outcome = hostler_common::job::Outcome {
            reason: Some("cancelled before it reached the agent".into()),
            ..Default::default()
        };
        self.job_update(host, JobUpdate { job: id, state: JobState::Cancelled, outcome: Some(outcome) }).await
    }
}

async fn take_update(turn: &Turn, tx: &mut Connection, host: HostId, update: &JobUpdate) -> Result<Option<Wakes>> {
    let Some(known) = job::job_places(tx, &[update.job]).await?.remove(&update.job) else {
        // Its machine is gone, with its host or by retention: nobody waits for it.
        return Ok(None);
    };
    if known.host != host {
        return Err(Error::Refused(Class::Denied, format!("job {} is not of this host", update.job)));
    }
    if !is_news(known.state, update.state) {
        return Ok(None);
    }
    take_news(turn, tx, &known, update).await
}

/// Records what is new of a job and gives it to its machine, and to all machines what follows from it.
async fn take_news(turn: &Turn, tx: &mut Connection, known: &Place, update: &JobUpdate) -> Result<Option<Wakes>> {
    let (wakes, told) = take_quietly(turn, tx, known, update).await?;
    let Some(mut wakes) = wakes else { return Ok(None) };
    deliver(turn, tx, told, &mut wakes).await?;
    Ok(Some(wakes))
}

/// Records what is new of a job and gives it to its machine; what that tells others is left to the caller.
pub(super) async fn take_quietly(
    turn: &Turn,
    tx: &mut Connection,
    known: &Place,
    update: &JobUpdate,
) -> Result<(Option<Wakes>, Vec<Message>)> {
    if !job::job_update(tx, update.job, known.state, update.state, update.outcome.as_ref(), turn.now).await? {
        return Err(Error::Moved);
    }
    if !heeds(&known.kind, update.state) {
        return Ok((None, Vec::new()));
    }
    let happening = Happening::Job(Box::new(update.clone()));
    let (wakes, told) = step_kind(turn, tx, &known.kind, &known.subject, happening).await?;
    Ok((Some(wakes), told))
}

/// Whether a report says anything to the machine of its job. That an agent has a job says nothing to a run, which may have
/// thousands of them; to a stay only the end of a job does, and it looks by itself after one that does not end.
pub(super) fn heeds(kind: &str, state: JobState) -> bool {
    match kind {
        Run::KIND => state != JobState::Delivered,
        Stay::KIND => state.is_final(),
        _ => true,
    }
}

/// Whether a report says more than is known.
pub(super) fn is_news(known: JobState, said: JobState) -> bool {
    !known.is_final() && (said.is_final() || rank(said) > rank(known))
}

fn rank(state: JobState) -> usize {
    JobState::ALL.iter().position(|known| *known == state).unwrap_or(0)
}
