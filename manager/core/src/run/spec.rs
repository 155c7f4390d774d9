//! What a run is asked to do.

use std::collections::BTreeMap;
use std::time::Duration;

use hostler_common::hook::{Occurrence, hook_document, hook_env};
use hostler_common::id::{HookId, HostId, ScriptId, TaskId};
use hostler_common::script::{ChangeFile, ScriptLimits, ScriptRef, ScriptRun};
use serde::{Deserialize, Serialize};

use super::Quota;
use super::target::Seat;

/// How long a script may take where nobody says otherwise.
pub const DEADLINE: Duration = Duration::from_secs(3600);

/// The longest that a script may be allowed to take.
pub const DEADLINE_MAX: Duration = Duration::from_secs(48 * 3600);

/// The most hosts of one run.
pub const HOSTS_MAX: usize = 20_000;

/// A script that is to run on hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The task's name, a sentence for people.
    pub name: String,
    /// What is run.
    pub script: ScriptRef,
    /// Its arguments, passed literally.
    pub args: Vec<String>,
    /// Where, in the order in which it begins and in which results are listed; each host once.
    pub hosts: Vec<HostId>,
    /// On how many of them at once.
    pub max_concurrency: Quota,
    /// How many of them may fail; one more, and no further one begins. `None` means any number.
    pub max_errors: Option<Quota>,
    /// How long it may take on each.
    pub deadline: Duration,
    /// The account; `None` means that of the agent.
    pub run_as: Option<String>,
    /// More of its environment.
    pub env: BTreeMap<String, String>,
    /// Names of stored secrets that it gets as files, by file name.
    pub secrets: BTreeMap<String, String>,
    /// Its standard input.
    pub stdin: Option<String>,
    /// What it may use.
    pub limits: ScriptLimits,
    /// Whether processes that it leaves behind live on.
    pub leave_children: bool,
    /// Exit codes that count as success besides 0.
    pub success_codes: Vec<i32>,
    /// After so many of the hosts, somebody is asked whether the others follow; 0 means that nobody is asked.
    pub canary: u32,
    /// The change that a hook is told of by a file, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// What for.
    pub origin: Origin,
}

/// What a script runs for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "origin", rename_all = "snake_case")]
pub enum Origin {
    /// Somebody runs a script of the library.
    Execute,
    /// Somebody runs a script that is in no library.
    Verbatim,
    /// A hook.
    Hook(Box<HookOrigin>),
}

/// The hook that a script runs for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookOrigin {
    /// Which hook.
    pub hook: HookId,
    /// Which script of the library.
    pub script: ScriptId,
    /// What happened.
    pub occurrence: Occurrence,
    /// Whether something waits for it.
    pub blocking: bool,
    /// Whether it runs on one of the hosts only: the first that begins with it.
    pub any_one: bool,
    /// Whether it gets the occurrence as JSON on its standard input.
    pub stdin_json: bool,
}

/// Which machine is told of the end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The kind of machine.
    pub kind: String,
    /// Which of that kind.
    pub subject: String,
    /// What it calls this run.
    pub tag: u32,
}

impl Spec {
    /// A run with what is usual for everything else: 50 hosts at once, any number of failures, an hour each.
    #[must_use]
    pub fn new(name: impl Into<String>, script: ScriptRef, hosts: Vec<HostId>, origin: Origin) -> Self {
        Self {
            name: name.into(),
            script,
            args: Vec::new(),
            hosts,
            max_concurrency: Quota::Count(50),
            max_errors: None,
            deadline: DEADLINE,
            run_as: None,
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            stdin: None,
            limits: ScriptLimits::default(),
            leave_children: false,
            success_codes: Vec::new(),
            canary: 0,
            change: None,
            origin,
        }
    }

    /// The hook that it runs for.
    #[must_use]
    pub fn hook(&self) -> Option<&HookOrigin> {
        match &self.origin {
            Origin::Hook(hook) => Some(hook),
            Origin::Execute | Origin::Verbatim => None,
        }
    }

    /// The script as it runs on one of the hosts (spec/hooks.md §6).
    #[must_use]
    pub fn on(&self, seat: &Seat, task: Option<TaskId>, attempt: u32) -> ScriptRun {
        let mut env = self.env.clone();
        let (mut stdin, mut change) = (self.stdin.clone(), None);
        if let Some(hook) = self.hook() {
            env.extend(hook_env(&hook.occurrence));
            env.insert("HOOK_ID".into(), hook.hook.to_string());
            env.insert("HOOK_SCRIPT_ID".into(), hook.script.to_string());
            env.insert("HOOK_SERVER_ID".into(), seat.number.to_string());
            env.insert("HOOK_SERVER_NAME".into(), seat.name.clone());
            env.insert("HOOK_ATTEMPT".into(), attempt.to_string());
            env.extend(task.map(|task| ("HOOK_TASK_ID".into(), task.to_string())));
            let argument = hook.occurrence.point.change_argument();
            change = self.change.clone().zip(argument).map(|(contents, argument)| ChangeFile { contents, argument });
            if hook.stdin_json {
                stdin = Some(hook_document(&hook.occurrence, Some((seat.number, &seat.name))).to_string());
            }
        }
        ScriptRun {
            script: self.script.clone(),
            args: self.args.clone(),
            env,
            secrets: self.secrets.clone(),
            stdin,
            run_as: self.run_as.clone(),
            limits: self.limits,
            leave_children: self.leave_children,
            success_codes: self.success_codes.clone(),
            blocking: self.hook().is_some_and(|hook| hook.blocking),
            change,
        }
    }
}
