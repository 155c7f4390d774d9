//! The hooks around the start of the agent (spec/hooks.md §7.3): which reason it has, and what follows when they end. Pure but
//! for the record of the start before.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use hostler_common::hook::{HookPoint, Occurrence, Origin};
use hostler_common::id::JobId;
use hostler_common::job::JobState;
use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::plan::Plan;
use crate::files::{read_json, write_json};

/// How often the scripts before the start are tried.
pub const ATTEMPTS: u32 = 3;

/// What is remembered of a start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    boot_id: String,
    version: String,
}

/// Why and in which boot the agent starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    boot_id: String,
    reason: &'static str,
    first_boot: bool,
}

impl Start {
    /// Compares with the start before and remembers this one.
    ///
    /// # Errors
    /// The record cannot be read or written.
    pub fn note(state_dir: &Path, boot_id: &str, version: &str) -> io::Result<Self> {
        let file = state_dir.join("start.json");
        let now = Record { boot_id: boot_id.to_owned(), version: version.to_owned() };
        let before: Option<Record> = read_json(&file)?;
        if before.as_ref() != Some(&now) {
            write_json(&file, &now)?;
        }
        let first_boot = before.as_ref().is_none_or(|before| before.boot_id != now.boot_id);
        let upgraded = before.is_some_and(|before| before.version != now.version);
        let reason = match (first_boot, upgraded) {
            (true, _) => "boot",
            (false, true) => "upgrade",
            (false, false) => "restart",
        };
        Ok(Self { boot_id: now.boot_id, reason, first_boot })
    }

    /// What happens at `point`, one of the two around the start.
    #[must_use]
    pub fn occurrence(&self, point: HookPoint, id: Uuid, at: Timestamp) -> Occurrence {
        let values = vec![self.boot_id.clone(), self.reason.to_owned(), self.first_boot.to_string()];
        Occurrence { id, point, origin: Origin::Agent, at, values }
    }
}

/// Where the start stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Startup {
    /// Scripts run, for the given time.
    Before {
        /// From 1.
        attempt: u32,
        /// Whether each job counts, and how it ended.
        jobs: BTreeMap<JobId, (bool, Option<JobState>)>,
    },
    /// The agent does all of its work.
    Done,
    /// The scripts failed: the agent takes no steps.
    Degraded,
}

/// What follows from the end of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing yet.
    Wait,
    /// The scripts are to be run once more, for the given time.
    Again(u32),
    /// The agent has started.
    Done,
    /// The agent has started without what the scripts should have brought about.
    Degraded,
}

impl Startup {
    /// The scripts of `plan` were started.
    #[must_use]
    pub fn begin(plan: &Plan, attempt: u32) -> Self {
        let jobs = plan.jobs.iter().map(|job| (job.spec.id, (job.counts, None))).collect();
        Self::Before { attempt, jobs }
    }

    /// As if one of the scripts had failed.
    #[must_use]
    pub fn failed(mut self) -> Self {
        if let Self::Before { jobs, .. } = &mut self {
            jobs.insert(JobId(Uuid::nil()), (true, Some(JobState::Failed)));
        }
        self
    }

    /// How a job stands that may be one of them; also says what follows where there is none.
    pub fn on(&mut self, job: Option<(JobId, JobState)>) -> Next {
        let Self::Before { attempt, jobs } = self else { return Next::Wait };
        if let Some((job, state)) = job
            && let Some(entry) = jobs.get_mut(&job)
        {
            entry.1 = state.is_final().then_some(state);
        }
        if jobs.values().any(|(_, state)| state.is_none()) {
            return Next::Wait;
        }
        let failed = jobs.values().any(|(counts, state)| *counts && *state != Some(JobState::Succeeded));
        match (failed, *attempt) {
            (false, _) => {
                *self = Self::Done;
                Next::Done
            }
            (true, attempt) if attempt < ATTEMPTS => Next::Again(attempt + 1),
            (true, _) => {
                *self = Self::Degraded;
                Next::Degraded
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_start_is_found_out() {
        let dir = tempfile::tempdir().unwrap();
        let note = |boot, version| {
            let start = Start::note(dir.path(), boot, version).unwrap();
            (start.reason, start.first_boot)
        };
        assert_eq!(note("b1", "1"), ("boot", true));
        assert_eq!(note("b1", "1"), ("restart", false));
        assert_eq!(note("b1", "2"), ("upgrade", false));
        assert_eq!(note("b1", "2"), ("restart", false));
        assert_eq!(note("b2", "3"), ("boot", true));
    }

    fn job(n: u128) -> JobId {
        JobId(Uuid::from_u128(n))
    }

    fn before(attempt: u32) -> Startup {
        Startup::Before { attempt, jobs: BTreeMap::from([(job(1), (true, None)), (job(2), (false, None))]) }
    }

    #[test]
    fn a_start_waits_for_all_scripts_and_tries_failures_again() {
        let mut startup = before(1);
        assert_eq!(startup.on(None), Next::Wait);
        assert_eq!(startup.on(Some((job(9), JobState::Failed))), Next::Wait);
        assert_eq!(startup.on(Some((job(1), JobState::Running))), Next::Wait);
        assert_eq!(startup.on(Some((job(1), JobState::Succeeded))), Next::Wait);
        assert_eq!(startup.on(Some((job(2), JobState::Failed))), Next::Done);
        assert_eq!((startup.on(None), startup), (Next::Wait, Startup::Done));
        for (attempt, wanted) in [(1, Next::Again(2)), (2, Next::Again(3)), (3, Next::Degraded)] {
            let mut startup = before(attempt);
            startup.on(Some((job(2), JobState::Succeeded)));
            assert_eq!(startup.on(Some((job(1), JobState::TimedOut))), wanted);
        }
        assert_eq!(Startup::begin(&Plan::default(), 1).on(None), Next::Done);
    }
}
