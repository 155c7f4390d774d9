//! What the agent does with jobs: a pure machine over its journal (design §4).
//!
//! An input yields effects that the daemon carries out in their order. The order is the promise: a job is in the journal
//! before it is acknowledged, marked as started before it is started, and its end is in the journal before it is reported.
//! A job id that was seen before is answered from the journal and never run again.

mod entry;

use std::collections::BTreeMap;

use hostler_common::id::JobId;
use hostler_common::job::{JobSpec, JobState, Work};

use entry::Lane;
pub use entry::{After, Entry, Fate, Fitness, Limits, Phase, Steps};

/// How many acknowledged jobs are remembered, so that a late repetition of an order is not taken for a new one.
const REMEMBERED: usize = 1024;

const DEGRADED: &str =
    "a script before the start of this host's agent failed, and it takes no steps until it is started anew";

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The manager hands out a job.
    Deliver(JobSpec, Fitness),
    /// The agent gives itself jobs, of which some wait for others.
    Local(Vec<(JobSpec, Option<After>, Fitness)>),
    /// What a job wants was fetched, or cannot be had.
    Fetched(JobId, Result<(), String>),
    /// Whether steps that change the host are taken: not before the hooks of the agent's start have ended, and not at all
    /// after they failed.
    Steps(Steps),
    /// The manager wants a job ended.
    Cancel(JobId),
    /// The manager has the outcome of a job.
    Acknowledge(JobId),
    /// The program of a job is over, and its end is on the disk.
    Ended(JobId, JobState),
    /// The program of a job could not be started.
    NotStarted(JobId, String),
    /// The host does not allow a job any more, and so it was not started.
    NotAllowed(JobId, String),
    /// A link to the manager begins.
    Connected,
}

/// Something to be done, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write the job's entry to the journal, durably.
    Record(JobId),
    /// Remove everything of the job but the memory of its id.
    Forget(JobId),
    /// Remove the job from the journal.
    Remove(JobId),
    /// Fetch what it wants.
    Fetch(JobId),
    /// End what is left of its program, whose supervisor is gone.
    Clear(JobId),
    /// Start its program.
    Start(JobId),
    /// Wait for the end of its program, which runs already.
    Watch(JobId),
    /// End its program.
    Stop(JobId),
    /// Tell the manager where it stands, if there is a link.
    Report(JobId),
}

/// The agent's jobs.
#[derive(Clone, Debug)]
pub struct Runner {
    jobs: BTreeMap<JobId, Entry>,
    limits: Limits,
    steps: Steps,
}

impl Runner {
    /// Takes up the journal where it was left. `fate` says what became of the jobs that were started, `fitness` whether the
    /// others can be.
    #[must_use]
    pub fn recover(
        limits: Limits,
        journal: Vec<Entry>,
        fate: impl Fn(&JobSpec) -> Fate,
        fitness: impl Fn(&JobSpec) -> Fitness,
    ) -> (Self, Vec<Effect>) {
        let mut effects = Vec::new();
        let mut runner = Self { jobs: BTreeMap::new(), limits, steps: Steps::Held };
        let mut ended = Vec::new();
        for mut entry in journal {
            let id = entry.spec.id;
            match entry.phase {
                Phase::Started => match fate(&entry.spec) {
                    Fate::Alive => effects.push(Effect::Watch(id)),
                    Fate::Ended(state) => ended.push((id, Phase::Ended { state, reason: None })),
                    Fate::Unknown => {
                        effects.push(Effect::Clear(id));
                        let reason = "the agent was gone and the program left no trace";
                        ended.push((id, Phase::ended(JobState::Lost, reason)));
                    }
                },
                Phase::Accepted => match fitness(&entry.spec) {
                    Fitness::Ready => entry.ready = true,
                    Fitness::Wanting => effects.push(Effect::Fetch(id)),
                    Fitness::Refused(reason) => {
                        entry.phase = Phase::ended(JobState::Refused, reason);
                        effects.push(Effect::Record(id));
                    }
                },
                Phase::Ended { .. } | Phase::Acknowledged => {}
            }
            runner.jobs.insert(id, entry);
        }
        for (id, phase) in ended {
            runner.close(id, phase, &mut effects);
        }
        runner.start_next(&mut effects);
        (runner, effects)
    }

    /// The entry of a job.
    #[must_use]
    pub fn entry(&self, job: JobId) -> Option<&Entry> {
        self.jobs.get(&job)
    }

    /// All entries.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.jobs.values()
    }

    /// Jobs that ended and whose outcome nobody has taken, the oldest first.
    #[must_use]
    pub fn ended(&self) -> Vec<JobId> {
        let ended = self.jobs.iter().filter(|(_, entry)| matches!(entry.phase, Phase::Ended { .. }));
        ended.map(|(id, _)| *id).collect()
    }

    /// What the hello of a link says of the journal.
    #[must_use]
    pub fn journal(&self) -> BTreeMap<JobId, JobState> {
        self.jobs.iter().filter_map(|(id, entry)| Some((*id, entry.phase.state()?))).collect()
    }

    /// What follows from an input.
    pub fn on(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Deliver(spec, fitness) => self.deliver(spec, None, fitness, &mut effects),
            Input::Local(jobs) => {
                for (spec, after, fitness) in jobs {
                    self.deliver(spec, after, fitness, &mut effects);
                }
            }
            Input::Fetched(job, fetched) => self.fetched(job, fetched, &mut effects),
            Input::Steps(steps) => self.set_steps(steps, &mut effects),
            Input::Cancel(job) => self.cancel(job, &mut effects),
            Input::Acknowledge(job) => self.acknowledge(job, &mut effects),
            Input::Ended(job, state) => self.end(job, Phase::Ended { state, reason: None }, &mut effects),
            Input::NotStarted(job, reason) => self.end(job, Phase::ended(JobState::Failed, reason), &mut effects),
            Input::NotAllowed(job, reason) => self.end(job, Phase::ended(JobState::Refused, reason), &mut effects),
            Input::Connected => {
                let ended = self.jobs.iter().filter(|(_, entry)| matches!(entry.phase, Phase::Ended { .. }));
                effects.extend(ended.map(|(id, _)| Effect::Report(*id)));
            }
        }
        effects
    }

    fn deliver(&mut self, spec: JobSpec, after: Option<After>, fitness: Fitness, effects: &mut Vec<Effect>) {
        let id = spec.id;
        if let Some(known) = self.jobs.get(&id) {
            if known.phase != Phase::Acknowledged {
                effects.push(Effect::Report(id));
            }
            return;
        }
        let ready = fitness == Fitness::Ready;
        let phase = self.admit(&spec, fitness);
        self.jobs.insert(id, Entry { spec, phase, after, ready });
        // One that waits for one that ended, as that was refused, is decided on now.
        if let Some(after) = after
            && let Some(Phase::Ended { state, .. }) = self.jobs.get(&after.job).map(|entry| &entry.phase)
        {
            let state = *state;
            self.follow(after.job, state, &mut Vec::new());
        }
        // What may begin at once is recorded once, as begun: nobody was told of it yet.
        let mut begun = Vec::new();
        self.start_next(&mut begun);
        if !begun.contains(&Effect::Start(id)) {
            effects.extend([Effect::Record(id), Effect::Report(id)]);
            if self.jobs.get(&id).is_some_and(|entry| entry.phase == Phase::Accepted && !entry.ready) {
                effects.push(Effect::Fetch(id));
            }
        }
        effects.extend(begun);
    }

    /// Whether the host takes the job.
    fn admit(&self, spec: &JobSpec, fitness: Fitness) -> Phase {
        let kind = spec.work.kind();
        if !self.limits.kinds.iter().any(|allowed| allowed == kind) {
            let reason = format!("this host does not allow jobs of kind {kind} ([allow] jobs in its agent.toml)");
            return Phase::ended(JobState::Refused, reason);
        }
        if let Fitness::Refused(reason) = fitness {
            return Phase::ended(JobState::Refused, reason);
        }
        if matches!(spec.work, Work::Step(_)) && self.steps == Steps::Refused {
            return Phase::ended(JobState::Refused, DEGRADED);
        }
        let lane = Lane::of(&spec.work);
        // One that waits for its script only has a place that nobody holds.
        let free = lane.at_once(&self.limits).saturating_sub(self.count(lane, &Phase::Started));
        if self.count(lane, &Phase::Accepted) >= lane.waiting_max() + free {
            let reason = format!("queue full: {} jobs of this sort wait on this host already", lane.waiting_max());
            return Phase::ended(JobState::Refused, reason);
        }
        Phase::Accepted
    }

    fn fetched(&mut self, job: JobId, fetched: Result<(), String>, effects: &mut Vec<Effect>) {
        let Some(entry) = self.jobs.get_mut(&job).filter(|entry| entry.phase == Phase::Accepted) else { return };
        match fetched {
            Ok(()) => entry.ready = true,
            Err(reason) => {
                self.close(job, Phase::ended(JobState::Refused, reason), effects);
                effects.push(Effect::Report(job));
            }
        }
        self.start_next(effects);
    }

    fn set_steps(&mut self, steps: Steps, effects: &mut Vec<Effect>) {
        self.steps = steps;
        if steps == Steps::Refused {
            let waits = |entry: &&Entry| entry.phase == Phase::Accepted && matches!(entry.spec.work, Work::Step(_));
            let waiting: Vec<JobId> = self.jobs.values().filter(waits).map(|entry| entry.spec.id).collect();
            for job in waiting {
                self.close(job, Phase::ended(JobState::Refused, DEGRADED), effects);
                effects.push(Effect::Report(job));
            }
        }
        self.start_next(effects);
    }

    fn cancel(&mut self, job: JobId, effects: &mut Vec<Effect>) {
        let Some(entry) = self.jobs.get(&job) else { return };
        match entry.phase {
            Phase::Accepted => {
                self.close(job, Phase::ended(JobState::Cancelled, "cancelled before it was started"), effects);
                effects.push(Effect::Report(job));
                self.start_next(effects);
            }
            Phase::Started => effects.push(Effect::Stop(job)),
            Phase::Ended { .. } => effects.push(Effect::Report(job)),
            Phase::Acknowledged => {}
        }
    }

    fn acknowledge(&mut self, job: JobId, effects: &mut Vec<Effect>) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        if !matches!(entry.phase, Phase::Ended { .. }) {
            return;
        }
        entry.phase = Phase::Acknowledged;
        entry.spec.work = unburdened(&entry.spec.work);
        effects.push(Effect::Forget(job));
        let forgotten =
            |jobs: &BTreeMap<JobId, Entry>| jobs.values().filter(|entry| entry.phase == Phase::Acknowledged).count();
        while forgotten(&self.jobs) > REMEMBERED {
            // Ids are of version 7: the first is the oldest.
            let oldest = self.jobs.iter().find(|(_, entry)| entry.phase == Phase::Acknowledged).map(|(id, _)| *id);
            let Some(oldest) = oldest else { break };
            self.jobs.remove(&oldest);
            effects.push(Effect::Remove(oldest));
        }
    }

    fn end(&mut self, job: JobId, phase: Phase, effects: &mut Vec<Effect>) {
        if self.jobs.get(&job).is_none_or(|entry| entry.phase != Phase::Started) {
            return;
        }
        let lost = matches!(phase, Phase::Ended { state: JobState::Lost, .. });
        self.close(job, phase, effects);
        if lost {
            effects.push(Effect::Clear(job));
        }
        effects.push(Effect::Report(job));
        self.start_next(effects);
    }

    /// Records the end of a job, and what that means for those that wait for it.
    fn close(&mut self, job: JobId, phase: Phase, effects: &mut Vec<Effect>) {
        let (Some(entry), Some(state)) = (self.jobs.get_mut(&job), phase.state()) else { return };
        entry.phase = phase;
        effects.push(Effect::Record(job));
        self.follow(job, state, effects);
    }

    /// Lets those that wait for a job that ended so go on, or ends them too.
    fn follow(&mut self, job: JobId, state: JobState, effects: &mut Vec<Effect>) {
        let waits =
            |entry: &&Entry| entry.phase == Phase::Accepted && entry.after.is_some_and(|after| after.job == job);
        let waiting: Vec<JobId> = self.jobs.values().filter(waits).map(|entry| entry.spec.id).collect();
        for id in waiting {
            let Some(entry) = self.jobs.get_mut(&id) else { continue };
            if entry.after.is_some_and(|after| after.needs_success) && state != JobState::Succeeded {
                let reason = format!("job {job}, which has to succeed before, did not");
                self.close(id, Phase::ended(JobState::Cancelled, reason), effects);
                effects.push(Effect::Report(id));
            } else {
                entry.after = None;
            }
        }
    }

    /// Starts as many of the waiting jobs as may run.
    fn start_next(&mut self, effects: &mut Vec<Effect>) {
        for lane in Lane::ALL {
            let mut running = self.count(lane, &Phase::Started);
            let ids: Vec<JobId> = self.jobs.keys().copied().collect();
            for id in ids {
                if running >= lane.at_once(&self.limits) {
                    break;
                }
                if self.may_start(id, lane)
                    && let Some(entry) = self.jobs.get_mut(&id)
                {
                    entry.phase = Phase::Started;
                    running += 1;
                    effects.extend([Effect::Record(id), Effect::Start(id), Effect::Report(id)]);
                }
            }
        }
    }

    fn may_start(&self, job: JobId, lane: Lane) -> bool {
        let Some(entry) = self.jobs.get(&job) else { return false };
        let waits_for = |after: After| {
            // One that is not known any more ended long ago, and so that this one may go on: otherwise it would have ended
            // at once.
            let before = self.jobs.get(&after.job).map(|entry| &entry.phase);
            matches!(before, Some(Phase::Accepted | Phase::Started))
        };
        entry.phase == Phase::Accepted
            && entry.ready
            && Lane::of(&entry.spec.work) == lane
            && !entry.after.is_some_and(waits_for)
            && (self.steps == Steps::Taken || !matches!(entry.spec.work, Work::Step(_)))
    }

    fn count(&self, lane: Lane, phase: &Phase) -> usize {
        self.jobs.values().filter(|entry| entry.phase == *phase && Lane::of(&entry.spec.work) == lane).count()
    }
}

/// What is remembered of the work of a job that is over: nothing that takes room.
fn unburdened(work: &Work) -> Work {
    let mut work = work.clone();
    if let Work::Script(run) = &mut work {
        (run.args, run.stdin) = (Vec::new(), None);
        run.env.clear();
    }
    work
}

#[cfg(test)]
mod tests;
