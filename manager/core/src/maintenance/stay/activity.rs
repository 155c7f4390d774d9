//! What a stay does right now, in words for people who watch it.

use std::time::Duration;

use hostler_common::time::Timestamp;

use super::agenda::{Health, Task};
use super::doc::Stay;

/// What a stay does right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// A stable word for it.
    pub what: &'static str,
    /// In words.
    pub text: String,
    /// Since when.
    pub since: Timestamp,
    /// When it is given up, or over.
    pub until: Option<Timestamp>,
    /// What was found last.
    pub said: String,
    /// Whether somebody has to do something.
    pub person: bool,
}

impl Stay {
    /// What it does, or waits for; `None` while nothing is open.
    #[must_use]
    pub fn activity(&self) -> Option<Activity> {
        let open = self.open.as_ref()?;
        let entry = self.entry()?;
        let plugin = entry.action.and_then(|at| Some(self.order.as_ref()?.actions.get(at)?.plugin.clone()));
        let (what, text) = words(&entry.task, plugin.as_deref());
        let job = open.job.as_ref().map(|job| job.since.after(Duration::from_secs(job.deadline)));
        let until = match entry.task {
            Task::Wait(seconds) => Some(open.since.after(Duration::from_secs(u64::from(seconds)))),
            _ => [open.until, job].into_iter().flatten().min(),
        };
        let person = matches!(entry.task, Task::Approve(_));
        Some(Activity { what, text, since: open.since, until, said: open.said.clone(), person })
    }
}

fn words(task: &Task, plugin: Option<&str>) -> (&'static str, String) {
    let (what, text) = match task {
        Task::Precheck => ("check", "checks whether the host may be worked on"),
        Task::Look => ("check", "looks at the Ceph daemons of the host"),
        Task::Gate(gate) => return ("gate", gate.waits_until()),
        Task::Health(Health::Exit) => ("health", "waits until the Ceph cluster is clean again"),
        Task::Health(_) => ("health", "waits until the Ceph cluster is clean"),
        Task::Approve(_) => ("approval", "waits for an approval"),
        Task::Fence => ("fence", "keeps new instances away"),
        Task::Empty => ("empty", "waits until its instances have left"),
        Task::Vacant => ("empty", "checks that no guest runs on it"),
        Task::Lock => ("storage", "waits for its turn at the storage of the cluster"),
        Task::Drain => ("storage", "moves all data away from its OSDs"),
        Task::MayStop => ("storage", "asks whether its Ceph daemons may stop"),
        Task::Noout => ("storage", "keeps its OSDs from being marked out"),
        Task::HandOver => ("storage", "hands its Ceph daemons' work over to others"),
        Task::Stop => ("storage", "stops its Ceph daemons"),
        Task::Settle => ("storage", "checks that the Ceph cluster bears it"),
        Task::Announce | Task::Farewell => ("notify", "tells monitors of the fleet"),
        Task::Script(params) => return ("plugin", format!("runs the script {}", params.script)),
        Task::Step(_) | Task::Plugin => {
            return ("plugin", format!("runs the plug-in {}", plugin.unwrap_or("that was asked for")));
        }
        Task::AskReboot => ("reboot", "asks for a reboot"),
        Task::Reboot { .. } => ("reboot", "boots, if that is needed"),
        Task::Verify => ("check", "checks that the host is as it should be"),
        Task::Kernel(release) => return ("check", format!("checks that it runs kernel {release}")),
        Task::Wait(_) => ("wait", "rests"),
        Task::Start => ("storage", "starts its Ceph daemons"),
        Task::Back => ("storage", "waits until its OSDs are up"),
        Task::DrainBack => ("storage", "lets its OSDs have data again"),
        Task::NooutOff => ("storage", "takes the flag noout back"),
        Task::Unlock => ("storage", "gives the storage of the cluster back"),
        Task::Unfence => ("fence", "puts the host back into service"),
    };
    (what, text.to_owned())
}
