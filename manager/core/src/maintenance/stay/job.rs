//! Jobs of a stay: how they are ordered, how long they are waited for, and what becomes of one whose end nobody knows.

use std::time::Duration;

use hostler_common::id::HostId;
use hostler_common::job::{JobSpec, JobState, JobUpdate, Outcome, Work};
use hostler_common::step::Step;

use super::agenda::Task;
use super::doc::JobWait;
use super::draft::Draft;
use crate::machine::Effect;
use crate::operation::deadline;

/// How long an agent that is there may take to take a job.
const DELIVERY: u64 = 60;
/// How long an agent that is away is waited for on the way in.
const AWAY: u64 = 300;
/// How long an agent that is away is waited for where something has to be given back.
const AWAY_LEAVING: u64 = 1800;
/// How long after its deadline a job may be silent.
const SILENCE: u64 = 180;
/// How long after its deadline a job counts as about to end while its agent is there.
const OVERTIME: u64 = 600;
/// How often it is looked after a job that should have ended.
const LOOK_AFTER: u64 = 30;
/// How often what is idempotent is ordered anew after its outcome was lost.
const LOST_MAX: u32 = 3;

/// The code of a job that its agent did not do.
pub(super) const REFUSED: &str = "agent.refused";

/// How a job ended, if it ended well or not at all.
pub(super) enum Miss {
    /// It ended otherwise.
    Failed(&'static str, String, Outcome),
    /// It was never begun.
    Never(&'static str, String),
}

impl Draft<'_> {
    /// Orders a job of the host's own agent for the open entry.
    pub(super) fn order_here(&mut self, work: Work, within: Duration, idempotent: bool) {
        self.order_job(self.next.host, work, within, idempotent);
    }

    pub(super) fn order_job(&mut self, host: HostId, work: Work, within: Duration, idempotent: bool) {
        let id = hostler_common::id::JobId(self.fresh());
        let due = self.after(DELIVERY);
        let wait = JobWait { id, host, since: self.now(), taken: false, due, deadline: within.as_secs(), idempotent };
        let Some(open) = &mut self.next.open else { return };
        open.next = None;
        open.job = Some(wait);
        self.name_job(id);
        self.effect(Effect::RunJob(JobSpec { id, host, work, deadline: within }));
    }

    /// Orders a question to the cluster, or a change of it, from a host that can reach it: this one as long as its daemons run,
    /// else another.
    pub(super) fn order_ceph(&mut self, step: Step) {
        let Some(host) = self.asker() else {
            return self.wait_for(15, "ceph.unreachable", "no connected host reaches the cluster");
        };
        self.next.storage.asked = Some(host);
        let (within, idempotent) = (deadline(&step), step.idempotent());
        self.order_job(host, Work::Step(Box::new(step)), within, idempotent);
    }

    fn asker(&self) -> Option<HostId> {
        let facts = &self.cx.facts;
        let own = self.next.host;
        let reaches = self.next.storage.host.is_some() || facts.ceph_hosts.contains(&own);
        let here = (facts.connected && reaches).then_some(own);
        let others = facts.ceph_hosts.iter().copied().filter(|host| *host != own);
        let list: Vec<HostId> = if self.next.marks.stopped.maybe() {
            others.chain(here).collect()
        } else {
            here.into_iter().chain(others).collect()
        };
        // Where the last one could not say, the next one may.
        let failed = self.next.open.as_ref().is_some_and(|open| open.bad > 0);
        let after =
            self.next.storage.asked.filter(|_| failed).and_then(|asked| list.iter().position(|host| *host == asked));
        let at = after.map_or(0, |at| (at + 1) % list.len().max(1));
        list.get(at).copied()
    }

    /// A report of a job.
    pub(super) fn job(&mut self, update: &JobUpdate) {
        if !self.active() || self.next.job() != Some(update.job) {
            return;
        }
        if !update.state.is_final() {
            return self.taken();
        }
        let outcome = update.outcome.clone().unwrap_or_default();
        let why = outcome.reason.clone().unwrap_or_else(|| update.state.name().to_owned());
        match update.state {
            JobState::Succeeded => self.job_succeeded(&outcome),
            JobState::Lost => self.job_lost("nobody knows how it ended"),
            JobState::Refused => self.job_missed(Miss::Never(REFUSED, why)),
            JobState::TimedOut => self.job_missed(Miss::Failed("step.timeout", why, outcome)),
            JobState::Cancelled => self.job_missed(Miss::Failed("step.cancelled", why, outcome)),
            JobState::Failed | JobState::Queued | JobState::Delivered | JobState::Running => {
                self.job_missed(Miss::Failed("step.failed", why, outcome));
            }
        }
    }

    /// An agent has it: from now on its own clock counts.
    fn taken(&mut self) {
        let now = self.now();
        if let Some(job) = self.next.open.as_mut().and_then(|open| open.job.as_mut()).filter(|job| !job.taken) {
            job.taken = true;
            job.due = now.after(Duration::from_secs(job.deadline + SILENCE));
        }
    }

    fn reaches(&self, host: HostId) -> bool {
        let facts = &self.cx.facts;
        if host == self.next.host {
            facts.connected
        } else {
            facts.ceph_hosts.contains(&host) || facts.management == Some(host)
        }
    }

    /// Looks after the job whose time has come, or whose agent came back.
    pub(super) fn look_after_job(&mut self) {
        let Some(job) = self.next.open.as_ref().and_then(|open| open.job.clone()) else { return };
        let (now, there) = (self.now(), self.reaches(job.host));
        if job.due > now {
            return;
        }
        let waited = now.since(job.since).as_secs();
        let away = if self.next.ending.is_some() { AWAY_LEAVING } else { AWAY };
        match self.cx.facts.job_state {
            None => self.job_lost("its host was removed"),
            Some(JobState::Queued) if there && waited >= 2 * DELIVERY => {
                self.drop_job(Miss::Never("agent.silent", "the agent does not take the job".into()));
            }
            Some(JobState::Queued) if !there && waited >= away => {
                self.drop_job(Miss::Never("agent.away", format!("the agent was away for {waited} s")));
            }
            Some(JobState::Queued) => self.look_later(),
            Some(JobState::Delivered | JobState::Running) if !job.taken => self.taken(),
            // While the agent is there it is the one that counts the time: clocks may jump.
            Some(_) if there && waited < job.deadline + SILENCE + OVERTIME => self.look_later(),
            Some(_) => {
                self.effect(Effect::CancelJob(job.id));
                self.job_lost("its agent has gone");
            }
        }
    }

    fn look_later(&mut self) {
        let due = self.after(LOOK_AFTER);
        if let Some(job) = self.next.open.as_mut().and_then(|open| open.job.as_mut()) {
            job.due = due;
        }
    }

    fn drop_job(&mut self, miss: Miss) {
        if let Some(id) = self.next.job() {
            self.effect(Effect::CancelJob(id));
        }
        self.job_missed(miss);
    }

    /// The outcome of the job is unknown. A boot tells itself whether it happened; what is harmless is done again.
    fn job_lost(&mut self, why: &str) {
        let Some(job) = self.next.open.as_mut().and_then(|open| open.job.take()) else { return };
        let Some(entry) = self.next.entry() else { return self.dropped() };
        match &entry.task {
            Task::Reboot { .. } => self.reboot_lost(why),
            task if task.watches() => self.asked_in_vain(&format!("{why}: nobody could be asked")),
            _ => {
                let tries = self.next.tries.as_ref().map_or(1, |(_, tries)| *tries);
                if job.idempotent && tries <= LOST_MAX {
                    self.retry_after(10, "step.lost", format!("{why}; it is done again"));
                } else if job.idempotent {
                    self.fail("step.lost", format!("{why}, {tries} times"));
                } else {
                    self.unknown(&format!("{why}; doing it again may do harm"));
                }
            }
        }
    }
}
