//! What the agent does by itself: hooks of what happened on the host, and those around its own start (spec/hooks.md §7.3, §8).

use std::time::Instant;

use hostler_common::hook::{HookPoint, Occurrence};
use hostler_common::job::Work;
use hostler_common::time::{Clock as _, SystemClock};
use hostler_proto::v1;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Daemon, Inner, open};
use crate::ceph::{self, Access};
use crate::hooks::plan::{Plan, Planned};
use crate::hooks::startup::{Next, Startup};
use crate::process::live;
use crate::runner::{Fitness, Input, Steps};
use crate::watch;

impl Daemon {
    /// The agent starts.
    pub(super) async fn begin(&mut self) {
        self.hooks.configured = ceph::configured(&Access::default());
        let told = self.inner.clone();
        // Monitors may take their time, or never answer.
        tokio::task::spawn_blocking(move || told.blocking_send(Inner::Reach(ceph::reached(&Access::default()))));
        self.before_start(1).await;
        self.advance().await;
    }

    async fn before_start(&mut self, attempt: u32) {
        let occurrence = self.start.occurrence(HookPoint::PreDaemonStart, self.before_start, SystemClock.now());
        self.startup = match self.occur(occurrence, attempt).await {
            Some(plan) => Startup::begin(&plan, attempt),
            // It could not be written down: as if there had been a failure.
            None => Startup::begin(&Plan::default(), attempt).failed(),
        };
    }

    /// Looks whether the scripts before the start have ended, and goes on then.
    pub(super) async fn advance(&mut self) {
        loop {
            let Startup::Before { jobs, .. } = &self.startup else { return };
            let states: Vec<_> =
                jobs.keys().filter_map(|job| Some((*job, self.runner.entry(*job)?.phase.state()?))).collect();
            let mut next = self.startup.on(None);
            for state in states {
                if next == Next::Wait {
                    next = self.startup.on(Some(state));
                }
            }
            match next {
                Next::Wait => return,
                Next::Again(attempt) => {
                    tracing::warn!(attempt, "a script before the start failed; once more");
                    self.before_start(attempt).await;
                }
                Next::Done => return self.started(Steps::Taken).await,
                Next::Degraded => {
                    tracing::error!("scripts before the start failed; this agent takes no steps that change its host");
                    // The hello says so.
                    self.anew.notify_one();
                    return self.started(Steps::Refused).await;
                }
            }
        }
    }

    async fn started(&mut self, steps: Steps) {
        self.give(Input::Steps(steps)).await;
        if let Some(ready) = self.ready.take() {
            // Who asked may have stopped waiting.
            ready.send(()).ok();
        }
        let assignment = self.hooks.bundle.assignment();
        self.watchers = Some(watch::start(assignment, self.see.clone(), CancellationToken::new()));
        let occurrence = self.start.occurrence(HookPoint::PostDaemonStart, Uuid::now_v7(), SystemClock.now());
        self.occur(occurrence, 1).await;
    }

    /// Something happened on this host: its hooks are run, and the manager hears of it. `None` if that could not even be
    /// written down.
    pub(super) async fn occur(&mut self, occurrence: Occurrence, attempt: u32) -> Option<Plan> {
        let point = occurrence.point.name();
        let plan = self.hooks.occur(occurrence, attempt, Instant::now());
        let plan =
            plan.inspect_err(|error| tracing::error!(point, %error, "an occurrence cannot be written down")).ok()?;
        if !plan.quiet {
            tracing::info!(
                point,
                hooks = plan.jobs.len(),
                skipped = plan.skipped.len(),
                "something happened on this host"
            );
            self.outbox.report();
        }
        let fitness = |job: &Planned| match &job.spec.work {
            Work::Script(run) => self.scripts.fitness_of_own(job.spec.id, run),
            Work::Introspect { .. } | Work::Step(_) => Fitness::Ready,
        };
        let jobs = plan.jobs.iter().map(|job| (job.spec.clone(), job.after, fitness(job))).collect();
        self.give(Input::Local(jobs)).await;
        Some(plan)
    }

    /// The manager says who it is.
    pub(super) fn welcome(&mut self, welcome: &v1::Welcome) {
        if let Err(error) = self.scripts.keys.replace(&welcome.signing_keys) {
            tracing::warn!(%error, "the manager's keys cannot be kept");
        }
        self.prefetch();
    }

    /// The manager says what this agent is to do by itself.
    pub(super) fn assign(&mut self, assignment: v1::Assignment) {
        let revision = assignment.revision.clone();
        match self.hooks.bundle.replace(&self.scripts.keys, assignment) {
            Ok(()) => {
                tracing::info!(revision, hooks = self.hooks.bundle.assignment().hooks.len(), "hooks were assigned");
                if let Some(watchers) = &self.watchers {
                    watchers.assign(self.hooks.bundle.assignment().clone());
                }
                self.prefetch();
            }
            Err(reason) => tracing::error!(revision, reason, "hooks that were assigned are not used"),
        }
    }

    /// Fetches the scripts of all assigned hooks, so that they are here when no manager is.
    fn prefetch(&mut self) {
        for digest in self.hooks.bundle.scripts() {
            if !self.scripts.cache.has(&digest) {
                self.fetch(digest, None);
            }
        }
    }

    /// Removes what scripts left in the folders of jobs that are over, as their supervisors could not.
    pub(super) fn tidy_folders(&self) {
        for entry in self.runner.entries().filter(|entry| !open(entry)) {
            if matches!(entry.spec.work, Work::Script(_)) {
                let folder = self.journal.folder(entry.spec.id);
                std::fs::remove_dir_all(folder.path().join("place")).ok();
                live::remove(folder.path());
            }
        }
    }
}
