//! Hooks: bindings of scripts to hook points, and what follows from an occurrence (spec/hooks.md §5, §8).

pub mod chain;
pub mod pace;
mod plan;

use std::collections::BTreeMap;

use hostler_common::hook::{AssignedHook, HookPoint, OnFailure};
use hostler_common::id::{HookId, HostId, ScriptId};
use hostler_common::script::ScriptRef;

pub use plan::{Candidate, Planned, plan};

/// A script that is bound to a hook point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its number.
    pub id: HookId,
    /// At which moment it runs.
    pub point: HookPoint,
    /// Which script of the library.
    pub script_id: ScriptId,
    /// What is run: the script's newest revision, or the one that the hook is pinned to.
    pub script: ScriptRef,
    /// Whether it is bound to every host, also to those that come later. Says nothing where the point's place is the
    /// management node.
    pub all_hosts: bool,
    /// The hosts that it is bound to where `all_hosts` is false; none means that it never runs.
    pub hosts: Vec<HostId>,
    /// Whether it runs at all.
    pub enabled: bool,
    /// Hooks of one moment run by this, then by `id`; usually 100.
    pub order: i32,
    /// What a failure means where something waits.
    pub on_failure: OnFailure,
    /// How long the script may take, in seconds.
    pub timeout_s: u32,
    /// The account; `None` means that of the agent.
    pub run_as: Option<String>,
    /// More of its environment.
    pub env: BTreeMap<String, String>,
    /// Names of stored secrets that it gets as files, by file name. A hook with secrets runs only where the manager orders
    /// it: agents keep none (decision 0013).
    pub secrets: BTreeMap<String, String>,
    /// On how many hosts it may run at once; `None` means any number.
    pub max_parallel: Option<u32>,
    /// Whether it gets the occurrence as JSON on its standard input.
    pub stdin_json: bool,
    /// Whether it also runs at what others brought about.
    pub external: bool,
    /// Whether processes that it leaves behind live on.
    pub leave_children: bool,
}

impl Hook {
    /// Whether it is bound to that host.
    #[must_use]
    pub fn covers(&self, host: HostId) -> bool {
        self.all_hosts || self.hosts.contains(&host)
    }

    /// The hook as agents keep it.
    #[must_use]
    pub fn assigned(&self) -> AssignedHook {
        AssignedHook {
            id: self.id,
            point: self.point,
            order: self.order,
            on_failure: self.on_failure,
            timeout_s: self.timeout_s,
            script: self.script.clone(),
            run_as: self.run_as.clone(),
            env: self.env.clone(),
            secrets: self.secrets.clone(),
            stdin_json: self.stdin_json,
            external: self.external,
            leave_children: self.leave_children,
        }
    }
}
