//! Jobs that reboot the host: what became of them is judged by the boot that the host is in, not by their program.

use std::time::Duration;

use hostler_common::id::JobId;
use hostler_common::job::{JobSpec, JobState, Work};
use hostler_common::step::Step;

use super::{Daemon, Inner};
use crate::journal::Journal;
use crate::steps::reboot::{self, Verdict};

/// How long at most before it is looked again whether a host goes down.
const LOOK: Duration = Duration::from_secs(30);

/// How long to wait before a verdict that could not be recorded is recorded again.
const RETRY: Duration = Duration::from_secs(1);

/// What became of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// It is none of these: its program's end counts.
    Own,
    /// It ended so, and that is on the disk.
    Ended(JobState),
    /// It goes on; look again after this.
    Open(Duration),
}

/// Judges a job whose program is gone, and records the verdict. `end` is how the program ended.
pub(super) fn settle(journal: &Journal, spec: &JobSpec, end: Option<JobState>) -> Settled {
    if !matches!(&spec.work, Work::Step(step) if matches!(step.as_ref(), Step::Reboot(_))) {
        return Settled::Own;
    }
    let folder = journal.folder(spec.id);
    let verdict = reboot::judge(folder.path(), spec.deadline, end);
    let recorded = match verdict {
        Ok(Verdict::Own) => return Settled::Own,
        Ok(Verdict::Wait(time)) => return Settled::Open(time.min(LOOK)),
        Ok(Verdict::Booted(result)) => {
            let text = serde_json::to_vec(&result).map_err(std::io::Error::other);
            text.and_then(|text| folder.settle(JobState::Succeeded, None, &text)).map(|()| JobState::Succeeded)
        }
        Ok(Verdict::Late) => {
            let reason = format!("the host did not boot anew within {} s", spec.deadline.as_secs());
            folder.settle(JobState::Failed, Some(reason), b"").map(|()| JobState::Failed)
        }
        Err(error) => Err(error),
    };
    match recorded {
        Ok(state) => Settled::Ended(state),
        Err(error) => {
            tracing::error!(job = %spec.id, %error, "what became of a reboot cannot be recorded; trying again");
            Settled::Open(RETRY)
        }
    }
}

impl Daemon {
    /// Looks again at a job after a while.
    pub(super) fn look_again(&self, job: JobId, after: Duration) {
        let ended = self.inner.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            ended.send(Inner::Ended(job)).await.ok();
        });
    }
}
