//! What the agent does with jobs: a pure machine over its journal (design §4).
//!
//! An input yields effects that the daemon carries out in their order. The order is the promise: a job is in the journal
//! before it is acknowledged, marked as started before it is started, and its end is in the journal before it is reported.
//! A job id that was seen before is answered from the journal and never run again.

use std::collections::BTreeMap;

use hostler_common::id::JobId;
use hostler_common::job::{JobSpec, JobState};
use serde::{Deserialize, Serialize};

/// How many jobs may wait for their turn.
const WAITING_MAX: usize = 256;

/// How many acknowledged jobs are remembered, so that a late repetition of an order is not taken for a new one.
const REMEMBERED: usize = 1024;

/// Where a job stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// It waits for its turn.
    Accepted,
    /// It was started, or would have been if the agent had not died at that instant.
    Started,
    /// It ended.
    Ended {
        /// How; a final state.
        state: JobState,
        /// Why, where the program itself does not say.
        reason: Option<String>,
    },
    /// The manager has its outcome; only the id is remembered.
    Acknowledged,
}

impl Phase {
    fn ended(state: JobState, reason: impl Into<String>) -> Self {
        Self::Ended { state, reason: Some(reason.into()) }
    }

    /// The state that the manager is told; `None` where it needs to hear nothing more.
    #[must_use]
    pub fn state(&self) -> Option<JobState> {
        match self {
            Self::Accepted => Some(JobState::Delivered),
            Self::Started => Some(JobState::Running),
            Self::Ended { state, .. } => Some(*state),
            Self::Acknowledged => None,
        }
    }
}

/// A job in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is.
    pub spec: JobSpec,
    /// Where it stands.
    #[serde(flatten)]
    pub phase: Phase,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The manager hands out a job.
    Deliver(JobSpec),
    /// The manager wants a job ended.
    Cancel(JobId),
    /// The manager has the outcome of a job.
    Acknowledge(JobId),
    /// The program of a job is over, and its end is on the disk.
    Ended(JobId, JobState),
    /// The program of a job could not be started.
    NotStarted(JobId, String),
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
    /// Start its program.
    Start(JobId),
    /// Wait for the end of its program, which runs already.
    Watch(JobId),
    /// End its program.
    Stop(JobId),
    /// Tell the manager where it stands, if there is a link.
    Report(JobId),
}

/// What was found of a job that had been started before the agent itself was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its program runs.
    Alive,
    /// Its program ended so.
    Ended(JobState),
    /// Nobody can know.
    Unknown,
}

/// What the host allows (design §5).
#[derive(Clone, Debug)]
pub struct Limits {
    /// Kinds of jobs.
    pub kinds: Vec<String>,
    /// How many jobs run at once.
    pub at_once: usize,
}

/// The agent's jobs.
#[derive(Clone, Debug)]
pub struct Runner {
    jobs: BTreeMap<JobId, Entry>,
    limits: Limits,
}

impl Runner {
    /// Takes up the journal where it was left. `fate` says what became of the jobs that were started.
    #[must_use]
    pub fn recover(limits: Limits, journal: Vec<Entry>, fate: impl Fn(&JobSpec) -> Fate) -> (Self, Vec<Effect>) {
        let mut effects = Vec::new();
        let mut runner = Self { jobs: BTreeMap::new(), limits };
        for mut entry in journal {
            let id = entry.spec.id;
            if entry.phase == Phase::Started {
                match fate(&entry.spec) {
                    Fate::Alive => effects.push(Effect::Watch(id)),
                    Fate::Ended(state) => {
                        entry.phase = Phase::Ended { state, reason: None };
                        effects.push(Effect::Record(id));
                    }
                    Fate::Unknown => {
                        entry.phase = Phase::ended(JobState::Lost, "the agent was gone and the program left no trace");
                        effects.push(Effect::Record(id));
                    }
                }
            }
            runner.jobs.insert(id, entry);
        }
        runner.start_next(&mut effects);
        (runner, effects)
    }

    /// The entry of a job.
    #[must_use]
    pub fn entry(&self, job: JobId) -> Option<&Entry> {
        self.jobs.get(&job)
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
            Input::Deliver(spec) => self.deliver(spec, &mut effects),
            Input::Cancel(job) => self.cancel(job, &mut effects),
            Input::Acknowledge(job) => self.acknowledge(job, &mut effects),
            Input::Ended(job, state) => self.end(job, Phase::Ended { state, reason: None }, &mut effects),
            Input::NotStarted(job, reason) => self.end(job, Phase::ended(JobState::Failed, reason), &mut effects),
            Input::Connected => {
                let ended = self.jobs.iter().filter(|(_, entry)| matches!(entry.phase, Phase::Ended { .. }));
                effects.extend(ended.map(|(id, _)| Effect::Report(*id)));
            }
        }
        effects
    }

    fn deliver(&mut self, spec: JobSpec, effects: &mut Vec<Effect>) {
        let id = spec.id;
        if let Some(known) = self.jobs.get(&id) {
            if known.phase != Phase::Acknowledged {
                effects.push(Effect::Report(id));
            }
            return;
        }
        let phase = self.admit(&spec);
        self.jobs.insert(id, Entry { spec, phase });
        effects.extend([Effect::Record(id), Effect::Report(id)]);
        self.start_next(effects);
    }

    /// Whether the host takes the job.
    fn admit(&self, spec: &JobSpec) -> Phase {
        let kind = spec.work.kind();
        if !self.limits.kinds.iter().any(|allowed| allowed == kind) {
            let reason = format!("this host does not allow jobs of kind {kind} ([allow] jobs in its agent.toml)");
            return Phase::ended(JobState::Refused, reason);
        }
        if self.count(&Phase::Accepted) >= WAITING_MAX {
            return Phase::ended(JobState::Refused, format!("{WAITING_MAX} jobs wait on this host already"));
        }
        Phase::Accepted
    }

    fn cancel(&mut self, job: JobId, effects: &mut Vec<Effect>) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        match entry.phase {
            Phase::Accepted => {
                entry.phase = Phase::ended(JobState::Cancelled, "cancelled before it was started");
                effects.extend([Effect::Record(job), Effect::Report(job)]);
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
        effects.push(Effect::Forget(job));
        while self.count(&Phase::Acknowledged) > REMEMBERED {
            // Ids are of version 7: the first is the oldest.
            let oldest = self.jobs.iter().find(|(_, entry)| entry.phase == Phase::Acknowledged).map(|(id, _)| *id);
            let Some(oldest) = oldest else { break };
            self.jobs.remove(&oldest);
            effects.push(Effect::Remove(oldest));
        }
    }

    fn end(&mut self, job: JobId, phase: Phase, effects: &mut Vec<Effect>) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        if entry.phase != Phase::Started {
            return;
        }
        entry.phase = phase;
        effects.extend([Effect::Record(job), Effect::Report(job)]);
        self.start_next(effects);
    }

    /// Starts as many of the waiting jobs as may run.
    fn start_next(&mut self, effects: &mut Vec<Effect>) {
        let mut running = self.count(&Phase::Started);
        for (id, entry) in &mut self.jobs {
            if running >= self.limits.at_once {
                return;
            }
            if entry.phase == Phase::Accepted {
                entry.phase = Phase::Started;
                running += 1;
                effects.extend([Effect::Record(*id), Effect::Start(*id), Effect::Report(*id)]);
            }
        }
    }

    fn count(&self, phase: &Phase) -> usize {
        self.jobs.values().filter(|entry| entry.phase == *phase).count()
    }
}

#[cfg(test)]
mod tests;
