//! Fallible conversion between the wire and the vocabulary. What an older or newer peer may send and we do not know is an
//! error value, never a panic.

use std::time::Duration;

use hostler_common::id::{HostId, JobId};
use hostler_common::job::{Captured, JobSpec, JobState, JobUpdate, Merged, Outcome, Stream, Usage, Work};
use hostler_common::time::Timestamp;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::v1;

/// What cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// An id is not a UUID.
    #[error("not a job id: {0:?}")]
    JobId(String),
    /// The other side knows a kind of work that this one does not.
    #[error("job {0} is of a kind that this release does not know")]
    UnknownWork(JobId),
    /// The other side knows a state that this one does not.
    #[error("job {0} is in a state that this release does not know")]
    UnknownState(JobId),
    /// A final state without outcome, or an outcome without final state.
    #[error("job {0}: an outcome goes with a final state, and only with one")]
    OutcomeMismatch(JobId),
    /// A document within a message is not what it must be.
    #[error("{what} cannot be understood: {reason}")]
    Document {
        /// Of what.
        what: &'static str,
        /// Why.
        reason: String,
    },
}

/// Reads a document within a message.
///
/// # Errors
/// [`ConvertError::Document`].
pub fn read_document<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, ConvertError> {
    serde_json::from_slice(bytes).map_err(|error| ConvertError::Document { what, reason: error.to_string() })
}

/// Writes a document within a message.
pub fn write_document<T: Serialize>(value: &T) -> Vec<u8> {
    // Documents of this protocol have only text keys and finite numbers: writing them to memory cannot fail.
    serde_json::to_vec(value).unwrap_or_default()
}

fn job_id(text: &str) -> Result<JobId, ConvertError> {
    text.parse().map_err(|_| ConvertError::JobId(text.chars().take(64).collect()))
}

impl From<&JobSpec> for v1::Job {
    fn from(spec: &JobSpec) -> Self {
        let work = match &spec.work {
            Work::Introspect { sections } => v1::job::Work::Introspect(v1::Introspect { sections: sections.clone() }),
            Work::Script(run) => v1::job::Work::Script(write_document(run)),
            Work::Step(step) => v1::job::Work::Step(write_document(step)),
        };
        Self {
            id: spec.id.to_string(),
            deadline_ms: u64::try_from(spec.deadline.as_millis()).unwrap_or(u64::MAX),
            secrets: Vec::new(),
            work: Some(work),
        }
    }
}

impl v1::Job {
    /// The job as one of `host`.
    ///
    /// # Errors
    /// See [`ConvertError`].
    pub fn into_spec(self, host: HostId) -> Result<JobSpec, ConvertError> {
        let id = job_id(&self.id)?;
        let work = match self.work {
            Some(v1::job::Work::Introspect(introspect)) => Work::Introspect { sections: introspect.sections },
            Some(v1::job::Work::Script(run)) => Work::Script(Box::new(read_document("script", &run)?)),
            Some(v1::job::Work::Step(step)) => Work::Step(Box::new(read_document("step", &step)?)),
            None => return Err(ConvertError::UnknownWork(id)),
        };
        Ok(JobSpec { id, host, work, deadline: Duration::from_millis(self.deadline_ms) })
    }
}

impl v1::CancelJob {
    /// Which job.
    ///
    /// # Errors
    /// See [`ConvertError`].
    pub fn job(&self) -> Result<JobId, ConvertError> {
        job_id(&self.id)
    }
}

impl v1::Acknowledge {
    /// Which job.
    ///
    /// # Errors
    /// See [`ConvertError`].
    pub fn job(&self) -> Result<JobId, ConvertError> {
        job_id(&self.id)
    }
}

impl From<JobState> for v1::JobState {
    fn from(state: JobState) -> Self {
        match state {
            // An agent never reports what it does not have; the wire has no word for it.
            JobState::Queued | JobState::Delivered => Self::Delivered,
            JobState::Running => Self::Running,
            JobState::Succeeded => Self::Succeeded,
            JobState::Failed => Self::Failed,
            JobState::Cancelled => Self::Cancelled,
            JobState::TimedOut => Self::TimedOut,
            JobState::Lost => Self::Lost,
            JobState::Refused => Self::Refused,
        }
    }
}

fn job_state(job: JobId, state: v1::JobState) -> Result<JobState, ConvertError> {
    match state {
        v1::JobState::Unspecified => Err(ConvertError::UnknownState(job)),
        v1::JobState::Delivered => Ok(JobState::Delivered),
        v1::JobState::Running => Ok(JobState::Running),
        v1::JobState::Succeeded => Ok(JobState::Succeeded),
        v1::JobState::Failed => Ok(JobState::Failed),
        v1::JobState::Cancelled => Ok(JobState::Cancelled),
        v1::JobState::TimedOut => Ok(JobState::TimedOut),
        v1::JobState::Lost => Ok(JobState::Lost),
        v1::JobState::Refused => Ok(JobState::Refused),
    }
}

impl v1::JournalEntry {
    /// An entry of a journal.
    #[must_use]
    pub fn new(job: JobId, state: JobState) -> Self {
        Self { id: job.to_string(), state: v1::JobState::from(state).into() }
    }

    /// Which job, and where it stands.
    ///
    /// # Errors
    /// See [`ConvertError`].
    pub fn read(&self) -> Result<(JobId, JobState), ConvertError> {
        let job = job_id(&self.id)?;
        Ok((job, job_state(job, self.state())?))
    }
}

impl From<JobUpdate> for v1::JobUpdate {
    fn from(update: JobUpdate) -> Self {
        let state = v1::JobState::from(update.state);
        Self { id: update.job.to_string(), state: state.into(), outcome: update.outcome.map(Into::into) }
    }
}

impl TryFrom<v1::JobUpdate> for JobUpdate {
    type Error = ConvertError;

    fn try_from(update: v1::JobUpdate) -> Result<Self, ConvertError> {
        let job = job_id(&update.id)?;
        let state = job_state(job, update.state())?;
        if state.is_final() != update.outcome.is_some() {
            return Err(ConvertError::OutcomeMismatch(job));
        }
        Ok(Self { job, state, outcome: update.outcome.map(Into::into) })
    }
}

impl From<Outcome> for v1::Outcome {
    fn from(outcome: Outcome) -> Self {
        Self {
            exit_code: outcome.exit_code,
            signal: outcome.signal,
            reason: outcome.reason,
            stdout: Some(outcome.stdout.into()),
            stderr: Some(outcome.stderr.into()),
            merged: outcome.merged.map(Into::into),
            usage: outcome.usage.map(Into::into),
            started_us: outcome.started_at.map(Timestamp::as_micros),
            ended_us: outcome.ended_at.map(Timestamp::as_micros),
        }
    }
}

impl From<v1::Outcome> for Outcome {
    fn from(outcome: v1::Outcome) -> Self {
        Self {
            exit_code: outcome.exit_code,
            signal: outcome.signal,
            reason: outcome.reason,
            stdout: outcome.stdout.unwrap_or_default().into(),
            stderr: outcome.stderr.unwrap_or_default().into(),
            merged: outcome.merged.map(Into::into),
            usage: outcome.usage.map(Into::into),
            started_at: outcome.started_us.map(Timestamp::from_micros),
            ended_at: outcome.ended_us.map(Timestamp::from_micros),
        }
    }
}

impl From<Merged> for v1::Merged {
    fn from(merged: Merged) -> Self {
        let mark = |(offset, stream)| v1::Mark { offset, stderr: stream == Stream::Stderr };
        Self {
            bytes: Some(merged.bytes.into()),
            marks: merged.marks.into_iter().map(mark).collect(),
            dropped: merged.dropped,
        }
    }
}

impl From<v1::Merged> for Merged {
    fn from(merged: v1::Merged) -> Self {
        let stream = |stderr| if stderr { Stream::Stderr } else { Stream::Stdout };
        Self {
            bytes: merged.bytes.unwrap_or_default().into(),
            marks: merged.marks.into_iter().map(|mark| (mark.offset, stream(mark.stderr))).collect(),
            dropped: merged.dropped,
        }
    }
}

impl From<Usage> for v1::Usage {
    fn from(usage: Usage) -> Self {
        Self {
            wall_us: usage.wall_us,
            cpu_us: usage.cpu_us,
            memory_max_kib: usage.memory_max_kib,
            out_of_memory: usage.out_of_memory,
            core_dumped: usage.core_dumped,
        }
    }
}

impl From<v1::Usage> for Usage {
    fn from(usage: v1::Usage) -> Self {
        Self {
            wall_us: usage.wall_us,
            cpu_us: usage.cpu_us,
            memory_max_kib: usage.memory_max_kib,
            out_of_memory: usage.out_of_memory,
            core_dumped: usage.core_dumped,
        }
    }
}

impl From<Captured> for v1::Captured {
    fn from(captured: Captured) -> Self {
        Self { head: captured.head, tail: captured.tail, total: captured.total }
    }
}

impl From<v1::Captured> for Captured {
    fn from(captured: v1::Captured) -> Self {
        Self { head: captured.head, tail: captured.tail, total: captured.total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> JobId {
        JobId(uuid::Uuid::from_u128(7))
    }

    #[test]
    fn a_job_survives_the_wire() {
        let host = HostId(uuid::Uuid::from_u128(9));
        let spec = JobSpec {
            id: id(),
            host,
            work: Work::Introspect { sections: vec!["cpu".into()] },
            deadline: Duration::from_millis(1500),
        };
        assert_eq!(v1::Job::from(&spec).into_spec(host), Ok(spec));
    }

    #[test]
    fn an_update_survives_the_wire() {
        let outcome = Outcome {
            exit_code: Some(3),
            stdout: Captured { head: vec![0, 255], tail: vec![1], total: 900 },
            merged: Some(Merged { marks: vec![(0, Stream::Stdout), (4, Stream::Stderr)], ..Merged::default() }),
            usage: Some(Usage { cpu_us: 7, ..Usage::default() }),
            started_at: Some(Timestamp::from_micros(5)),
            ..Outcome::default()
        };
        let update = JobUpdate { job: id(), state: JobState::Failed, outcome: Some(outcome) };
        assert_eq!(JobUpdate::try_from(v1::JobUpdate::from(update.clone())), Ok(update));
    }

    #[test]
    fn what_is_not_known_is_an_error_value() {
        let unknown = v1::Job { id: id().to_string(), deadline_ms: 1, secrets: Vec::new(), work: None };
        assert_eq!(unknown.into_spec(HostId(uuid::Uuid::nil())), Err(ConvertError::UnknownWork(id())));
        let update = v1::JobUpdate { id: id().to_string(), state: 99, outcome: None };
        assert_eq!(JobUpdate::try_from(update), Err(ConvertError::UnknownState(id())));
        let update = v1::JobUpdate { id: id().to_string(), state: v1::JobState::Failed.into(), outcome: None };
        assert_eq!(JobUpdate::try_from(update), Err(ConvertError::OutcomeMismatch(id())));
        let update = v1::JobUpdate { id: "x".into(), state: 1, outcome: None };
        assert_eq!(JobUpdate::try_from(update), Err(ConvertError::JobId("x".into())));
    }
}
