//! Hooks that the agent runs by itself, also while no manager can be reached (spec/hooks.md §7.3, §8): what the manager
//! assigned to this host, what happened here, and what the manager still has to hear of it.

pub mod bundle;
pub mod plan;
pub mod rate;
pub mod spool;
pub mod startup;

use std::io;
use std::path::Path;
use std::time::Instant;

use hostler_common::hook::{HostReport, Occurrence};
use hostler_common::id::{HookId, HostId, JobId};
use hostler_common::job::Work;
use uuid::Uuid;

use self::bundle::Bundle;
use self::plan::{Plan, plan};
use self::rate::Rate;
use self::spool::Spool;

/// Hooks of this host.
#[derive(Debug)]
pub struct Hooks {
    /// What the manager assigned.
    pub bundle: Bundle,
    /// What the manager has not acknowledged.
    pub spool: Spool,
    /// The Ceph cluster that this host reaches, if any.
    pub cluster: Option<String>,
    /// The Ceph cluster that this host's configuration names, if any.
    pub configured: Option<String>,
    rate: Rate,
    host: HostId,
}

impl Hooks {
    /// Of the agent of `state_dir`.
    ///
    /// # Errors
    /// Its state cannot be read.
    pub fn open(state_dir: &Path, host: HostId) -> io::Result<Self> {
        Ok(Self {
            bundle: Bundle::load(state_dir)?,
            spool: Spool::open(&state_dir.join("reports"))?,
            cluster: None,
            configured: None,
            rate: Rate::default(),
            host,
        })
    }

    /// What every script of a hook is told of this host's cluster: its `fsid`, from the cluster itself or, where that does not
    /// answer or was not asked yet, from the configuration; empty where there is none.
    #[must_use]
    pub fn fsid(&self) -> String {
        self.cluster.clone().or_else(|| self.configured.clone()).unwrap_or_default()
    }

    /// Something happened here. It is in the spool when this returns, and the jobs are to be run. Where the agent runs no
    /// hooks for it and it is of no interest to the manager either, nothing is reported.
    ///
    /// # Errors
    /// It cannot be written down; then nothing is to be run.
    pub fn occur(&mut self, occurrence: Occurrence, attempt: u32, now: Instant) -> io::Result<Plan> {
        let rate = &mut self.rate;
        let allowed = |hook: HookId| rate.start(hook, now);
        let (assignment, host) = (self.bundle.assignment(), self.host);
        let mut planned = plan(assignment, &occurrence, attempt, host, || JobId(Uuid::now_v7()), allowed);
        for job in &mut planned.jobs {
            if let Work::Script(run) = &mut job.spec.work {
                // The manager gives it a number when it hears of this, and knows its task by the job, too.
                run.env.insert("HOOK_TASK_ID".into(), job.spec.id.to_string());
            }
        }
        if planned.quiet {
            return Ok(planned);
        }
        let report = |number| HostReport {
            number,
            occurrence: occurrence.clone(),
            jobs: planned.jobs.iter().map(|job| job.hook.clone()).collect(),
            skipped: planned.skipped.clone(),
        };
        self.spool.push(report)?;
        Ok(planned)
    }
}
