//! Reports of jobs that come from many agents at once: all that wait for the store are taken in one transaction.
//!
//! A script on a thousand hosts is three thousand reports to one machine. Taken one by one, each reads and writes the
//! machine and its own rows; taken together, the machine is read and written once, and so are rows that change alike. Nobody
//! waits for company: the first report begins a transaction, and those that come until it is its turn join it. Where taking
//! them together fails, each is taken alone, so that none fails for another's fault.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hostler_common::id::{HostId, JobId};
use hostler_common::job::{JobState, JobUpdate};
use hostler_core::machine::{Context, Decision, Effect, Input, Machine as _, TaskChange};
use hostler_core::run::{Facts, Run};
use tokio::sync::oneshot;

use super::report::{heeds, is_news, take_quietly};
use super::run::{Wakes, commit, deliver};
use super::run_script::next_targets;
use super::{Engine, RunDomain, Turn};
use crate::store::job::Place;
use crate::store::{Connection, Error, Result, job, machine, target};

/// How many reports one transaction takes: few enough that nobody waits long behind it.
const MOST: usize = 128;

/// A report that waits. Its sender is told of the wakes that follow, or, by being forgotten, to take it alone.
struct Ticket {
    host: HostId,
    update: Arc<JobUpdate>,
    answer: oneshot::Sender<Option<Wakes>>,
}

/// Reports that wait.
#[derive(Default)]
pub(super) struct Queue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    tickets: Vec<Ticket>,
    /// Whether a transaction is on its way that will take them.
    carried: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // It is whole after any panic: every critical section is one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a report; `true` if nobody is on the way to take it.
    fn put(&self, ticket: Ticket) -> bool {
        let mut waiting = self.lock();
        waiting.tickets.push(ticket);
        !std::mem::replace(&mut waiting.carried, true)
    }

    /// Takes the reports of one transaction, and says whether more wait for the next.
    fn take(&self) -> (Vec<Ticket>, bool) {
        let mut waiting = self.lock();
        let count = waiting.tickets.len().min(MOST);
        let taken = waiting.tickets.drain(..count).collect();
        waiting.carried = !waiting.tickets.is_empty();
        (taken, waiting.carried)
    }

    /// Sends everybody away to take their reports alone.
    fn dissolve(&self) {
        let mut waiting = self.lock();
        waiting.tickets.clear();
        waiting.carried = false;
    }
}

impl Engine {
    /// Takes a report with all others that wait; `None` if it is to be taken alone.
    pub(super) async fn take_together(&self, host: HostId, update: &Arc<JobUpdate>) -> Option<Option<Wakes>> {
        let (answer, answered) = oneshot::channel();
        if self.reports.put(Ticket { host, update: Arc::clone(update), answer }) {
            // On a task of its own: it carries the reports of others too, and the one who came first may go away.
            tokio::spawn(carry(self.clone()));
        }
        answered.await.ok()
    }
}

/// Takes what waits, and tells those who wait when it is durable.
async fn carry(engine: Engine) {
    loop {
        let (turn, queue) = (engine.turn(None), Arc::clone(&engine.reports));
        let done = engine
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let (tickets, more) = queue.take();
                    Ok((take_all(&turn, tx, tickets).await?, more))
                })
            })
            .await;
        match done {
            Ok((taken, more)) => {
                for (ticket, wakes) in taken {
                    // A link that ended meanwhile does not want to know.
                    ticket.answer.send(wakes).ok();
                }
                if !more {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "reports are taken one by one");
                return engine.reports.dissolve();
            }
        }
    }
}

/// Takes the reports; those that are missing in the answer are to be taken alone.
async fn take_all(turn: &Turn, tx: &mut Connection, tickets: Vec<Ticket>) -> Result<Vec<(Ticket, Option<Wakes>)>> {
    let ids: Vec<JobId> = tickets.iter().map(|ticket| ticket.update.job).collect();
    let mut places = job::job_places(tx, &ids).await?;
    let (mut taken, mut runs) = (Vec::with_capacity(tickets.len()), BTreeMap::<String, Vec<(Ticket, JobState)>>::new());
    let (mut silent, mut told) = (Vec::new(), Vec::new());
    let mut seen = std::collections::HashSet::new();
    for (n, ticket) in (1..).zip(tickets) {
        if !seen.insert(ticket.update.job) {
            // The second report of a job in one go: it is judged by what the first one leaves.
            continue;
        }
        match places.remove(&ticket.update.job) {
            None => taken.push((ticket, None)),
            Some(place) if place.host != ticket.host => {}
            Some(place) if !is_news(place.state, ticket.update.state) => taken.push((ticket, None)),
            Some(Place { kind, subject, state, .. }) if kind == Run::KIND => {
                runs.entry(subject).or_default().push((ticket, state));
            }
            Some(place) if !heeds(&place.kind, ticket.update.state) => silent.push((ticket, place.state)),
            Some(place) => {
                let (wakes, messages) = take_quietly(&turn.nth(n), tx, &place, &ticket.update).await?;
                told.extend(messages);
                taken.push((ticket, wakes));
            }
        }
    }
    move_jobs(turn, tx, &silent).await?;
    taken.extend(silent.into_iter().map(|(ticket, _)| (ticket, None)));
    // What several machines tell one, as the stays of many hosts tell their session, reaches it together.
    let mut after = Wakes::default();
    deliver(&turn.nth(999), tx, told, &mut after).await?;
    if let Some((_, wakes)) = taken.iter_mut().find(|(_, wakes)| wakes.is_some()) {
        wakes.get_or_insert_default().add(after);
    }
    for (n, (subject, reports)) in (1000..).zip(runs) {
        let mut wakes = take_run(&turn.nth(n), tx, &subject, &reports).await?;
        for (ticket, _) in reports {
            // Whoever is told first wakes all.
            taken.push((ticket, wakes.take()));
        }
    }
    Ok(taken)
}

/// Gives one run all that its agents report, and writes what follows once.
async fn take_run(
    turn: &Turn,
    tx: &mut Connection,
    subject: &str,
    reports: &[(Ticket, JobState)],
) -> Result<Option<Wakes>> {
    // That agents have jobs says nothing to a run.
    let told: Vec<&JobUpdate> = reports
        .iter()
        .map(|(ticket, _)| &*ticket.update)
        .filter(|update| update.state != JobState::Delivered)
        .collect();
    if told.is_empty() {
        move_jobs(turn, tx, reports).await?;
        return Ok(None);
    }
    // The machine before the jobs, as everybody else takes them who ends jobs of a run.
    let Some(mut record) = machine::machine_take::<Run>(tx, Run::KIND, subject).await? else {
        return Err(Error::Moved);
    };
    move_jobs(turn, tx, reports).await?;
    let turn = turn.about(record.id, record.task);
    let decision = decide_all(&turn, tx, &record.machine, &told).await?;
    let (mut done, messages) = commit::<RunDomain>(&turn, tx, &mut record, decision).await?;
    deliver(&turn, tx, messages, &mut done.wakes).await?;
    Ok(Some(done.wakes))
}

/// Writes where the jobs stand now: those that go on alike in one statement, those that end one by one.
async fn move_jobs(turn: &Turn, tx: &mut Connection, reports: &[(Ticket, JobState)]) -> Result<()> {
    let mut alike: HashMap<(JobState, JobState), Vec<JobId>> = HashMap::new();
    for (ticket, from) in reports {
        let update = &ticket.update;
        if !update.state.is_final() {
            alike.entry((*from, update.state)).or_default().push(update.job);
        } else if !job::job_update(tx, update.job, *from, update.state, update.outcome.as_ref(), turn.now).await? {
            return Err(Error::Moved);
        }
    }
    for ((from, to), ids) in alike {
        if !job::job_update_all(tx, &ids, from, to).await? {
            return Err(Error::Moved);
        }
    }
    Ok(())
}

/// What a run decides on all of these reports, one after the other. Only with the last end of a target it is told which
/// targets wait: until then it counts, and then begins as many as have ended.
async fn decide_all(turn: &Turn, tx: &mut Connection, run: &Run, told: &[&JobUpdate]) -> Result<Decision<Run>> {
    let jobs: Vec<JobId> = told.iter().map(|update| update.job).collect();
    let targets = target::target_of_jobs(tx, &jobs).await?;
    let ends = |update: &&JobUpdate| {
        update.state.is_final() && targets.get(&update.job).is_some_and(|(_, state)| !state.is_final())
    };
    let last = told.iter().rposition(ends);
    let mut all = Decision::to(run.clone());
    let mut progress = None;
    for (n, update) in told.iter().enumerate() {
        let input = Input::Job((*update).clone());
        let mut facts = Facts { task: turn.task, target: targets.get(&update.job).copied(), ..Facts::default() };
        if let Some(task) = turn.task.filter(|_| last == Some(n)) {
            next_targets(tx, task, &all.next, all.next.wants(&input), &mut facts).await?;
        }
        let turn = turn.nth(u32::try_from(n).unwrap_or(u32::MAX));
        let cx = Context { now: turn.now, since: turn.since, actor: None, seed: turn.seed, facts };
        let decision = all.next.decide(input, &cx).map_err(|refusal| Error::Refused(refusal.class, refusal.message))?;
        all.next = decision.next;
        for effect in decision.effects {
            match effect {
                // Only the last count is worth writing.
                Effect::Task(TaskChange::Progress(complete)) => progress = Some(complete),
                other => all.effects.push(other),
            }
        }
        all.writes.extend(decision.writes);
        all.steps.extend(decision.steps);
        all.events.extend(decision.events);
    }
    all.effects.extend(progress.map(|complete| Effect::Task(TaskChange::Progress(complete))));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use hostler_common::job::JobState;
    use uuid::Uuid;

    use super::*;

    fn ticket(n: u128) -> (Ticket, oneshot::Receiver<Option<Wakes>>) {
        let (answer, answered) = oneshot::channel();
        let update = JobUpdate { job: JobId(Uuid::from_u128(n)), state: JobState::Running, outcome: None };
        (Ticket { host: HostId(Uuid::from_u128(n)), update: Arc::new(update), answer }, answered)
    }

    #[test]
    fn the_first_one_carries_and_transactions_have_a_limit() {
        let queue = Queue::default();
        let mut answers = Vec::new();
        for n in 0..300 {
            let (ticket, answer) = ticket(n);
            answers.push(answer);
            assert_eq!(queue.put(ticket), n == 0, "one transaction is on its way for all");
        }
        for (count, more) in [(MOST, true), (MOST, true), (300 - 2 * MOST, false), (0, false)] {
            let (taken, waits) = queue.take();
            assert_eq!((taken.len(), waits), (count, more));
        }
        assert!(queue.put(ticket(1).0), "the next one has to carry again");
    }

    #[test]
    fn those_who_are_sent_away_know_it() {
        let queue = Queue::default();
        let (ticket, mut answer) = ticket(1);
        assert!(queue.put(ticket));
        queue.dissolve();
        assert!(answer.try_recv().is_err());
        assert!(queue.put(self::ticket(2).0));
    }
}
