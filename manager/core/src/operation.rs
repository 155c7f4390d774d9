//! Operations: one change of a host or its cluster, with the hooks before and after it (spec/hooks.md §7, §8).
//!
//! Hooks that come before may veto it; those that come after are told how it went and nobody waits for them. A change of the
//! CRUSH map is made against the version that was read before: where somebody else was faster, the map is read again, and the
//! hooks run again only if it says something else.

mod change;
mod decide;
mod points;

use std::time::Duration;

use hostler_common::id::{HostId, JobId, TaskId};
use hostler_common::job::JobState;
use hostler_common::step::{Step, StepResult};
use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::run::target::Seat;

/// How deep operations may be nested that hooks begin.
pub const DEPTH_MAX: u32 = 3;

/// What can be asked of an operation.
#[derive(Clone, Debug)]
pub enum Command {
    /// Begin.
    Start(Box<Start>),
    /// End, if that is possible now.
    Cancel,
}

/// What an operation is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The change.
    pub step: Step,
    /// Whose agent makes it.
    pub host: HostId,
    /// How.
    pub options: OperationOptions,
}

/// How an operation goes about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationOptions {
    /// Whether it is made without its hooks: an administrator's word.
    pub skip_hooks: bool,
    /// How many operations deep it is: 0 if no hook began it.
    pub depth: u32,
}

/// What a decision may know.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The host; `None` if it is gone.
    pub seat: Option<Seat>,
    /// Where the job stands that is waited for; `None` if it is gone.
    pub job_state: Option<JobState>,
    /// The task of the operation.
    pub task: Option<TaskId>,
    /// The Ceph cluster that the host reaches.
    pub cluster: Option<String>,
}

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing was asked of it yet.
    Fresh,
    /// The CRUSH map is read.
    Reading,
    /// The hooks before it run.
    Hooks,
    /// The change is made.
    Doing,
    /// It is over.
    Over,
}

/// What is known of the CRUSH map that is to be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Crush {
    /// The version that the map has.
    pub version: Option<u64>,
    /// What it says.
    pub hash: String,
    /// Whether the caller named the version.
    pub pinned: bool,
    /// How often somebody was faster.
    pub moved: u32,
    /// Why the last change was refused.
    pub refusal: Option<String>,
    /// The cluster whose map it is, as far as its host says; its machine is told what is ours.
    pub cluster: Option<String>,
    /// Whether the cluster's machine was told that a change begins.
    pub begun: bool,
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Which; also its subject.
    pub id: Uuid,
    /// The change; `None` before it begins.
    pub step: Option<Step>,
    /// Whose agent makes it.
    pub host: Option<HostId>,
    /// How.
    pub options: OperationOptions,
    /// Where it stands.
    pub stage: Stage,
    /// The job that is waited for.
    pub job: Option<JobId>,
    /// The chain of hooks that is waited for.
    pub chain: Option<Uuid>,
    /// Since when it waits for the job.
    pub since: Option<Timestamp>,
    /// When somebody asked to end it.
    pub cancel_at: Option<Timestamp>,
    /// The CRUSH map.
    pub crush: Crush,
    /// What hooks complained about without a veto.
    pub warnings: Vec<String>,
}

impl Operation {
    /// An operation of which nothing was asked.
    #[must_use]
    pub fn new(id: Uuid) -> Self {
        Self {
            id,
            step: None,
            host: None,
            options: OperationOptions::default(),
            stage: Stage::Fresh,
            job: None,
            chain: None,
            since: None,
            cancel_at: None,
            crush: Crush::default(),
            warnings: Vec::new(),
        }
    }
}

/// How long a step may take.
#[must_use]
pub fn deadline(step: &Step) -> Duration {
    match step {
        Step::FormatDisk(_) => Duration::from_secs(1800),
        Step::Network(change) => Duration::from_secs(300 + u64::from(change.confirm_s)),
        Step::CrushRead
        | Step::CephFlag(_)
        | Step::CephSetting(_)
        | Step::CephScrub(_)
        | Step::Dummy
        | Step::Precheck(_)
        | Step::CephHost
        | Step::CephSample(_)
        | Step::CephStopCheck(_)
        | Step::CephNoout(_) => Duration::from_secs(120),
        Step::CephDaemon(_) | Step::Unit(_) | Step::Crush(_) | Step::RbdSnapshot(_) | Step::CephFsSnapshot(_) => {
            Duration::from_secs(600)
        }
        Step::Reboot(_) | Step::CephDaemons(_) | Step::CephDrain(_) => Duration::from_secs(1800),
        Step::Packages(_) | Step::Fetch(_) => Duration::from_secs(3600),
    }
}

/// What a step left, from its standard output; a step of another release may say something that cannot be read.
pub(crate) fn result_of(stdout: &[u8]) -> StepResult {
    serde_json::from_slice(stdout).unwrap_or_else(|_| StepResult {
        changed: true,
        detail: String::from_utf8_lossy(stdout).into_owned(),
        ..StepResult::default()
    })
}
