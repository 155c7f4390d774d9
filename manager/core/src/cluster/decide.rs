//! The machine of a cluster: reports in, occurrences out.

use hostler_common::cluster::ClusterState;
use hostler_common::error::Class;
use hostler_common::hook::{HookPoint, Occurrence, Origin};
use hostler_common::id::HostId;

use super::command::{Command, Facts, Write};
use super::elect::elect;
use super::health::Transition;
use super::state::Cluster;
use crate::machine::{Context, Decision, Effect, Input, Machine, Refusal};

/// Timer: a difference of the health has held for long enough.
pub const HEALTH: &str = "health";
/// Timer: the watching host has been silent for too long.
pub const SILENT: &str = "silent";

/// Why a change of the CRUSH map was not ours, as hooks are told.
const OUTSIDE: &str = "changed outside";

/// What a decision collects.
struct Draft<'a> {
    next: Cluster,
    occurrences: Vec<Occurrence>,
    cx: &'a Context<Facts>,
}

impl Draft<'_> {
    fn occur(&mut self, point: HookPoint, values: Vec<String>) {
        let number = u32::try_from(self.occurrences.len()).unwrap_or(u32::MAX);
        let id = self.cx.fresh_id(number);
        self.occurrences.push(Occurrence { id, point, origin: Origin::External, at: self.cx.now, values });
    }

    fn tell_health(&mut self) {
        for transition in self.next.health.tell(self.cx.now) {
            let Transition { direction, old, new, codes, summary } = transition;
            self.occur(direction.point(), vec![old, new, codes.join(","), summary]);
        }
    }

    fn tell_crush(&mut self, moved: Option<(u64, u64)>) {
        if let Some((from, to)) = moved {
            let values = vec![from.to_string(), to.to_string(), String::new(), OUTSIDE.into()];
            self.occur(HookPoint::PostCrushMapChange, values);
        }
    }

    /// A host spoke. Others than the chosen one do not count, but one may be chosen at that.
    fn report(&mut self, host: HostId, state: &ClusterState) -> Result<(), Refusal> {
        if state.fsid != self.next.fsid {
            let text = format!("a report of cluster {} is not one of {}", state.fsid, self.next.fsid);
            return Err(Refusal::new(Class::Invalid, text));
        }
        if self.next.watch.host != Some(host) {
            return Ok(());
        }
        let now = self.cx.now;
        self.next.watch.heard_at = now;
        self.next.health.observe(state.health.as_ref(), &self.cx.facts.settings.ignored, now);
        self.tell_health();
        let moved = self.next.crush.report(state.crush_version, state.crush_hash.as_deref(), now);
        self.tell_crush(moved);
        Ok(())
    }

    fn done(self, before: &Cluster) -> Decision<Cluster> {
        // Where nothing fresh is known a timer would come due for ever; the next report sets it anew.
        let health = self.next.health.due().filter(|_| self.next.health.fresh(self.cx.now));
        let silent = self.next.watch.silent_at();
        let watcher = (before.watch.host != self.next.watch.host).then_some(self.next.watch.host);
        let mut decision = Decision::to(self.next);
        for (name, due) in [(HEALTH, health), (SILENT, silent)] {
            decision = decision.effect(due.map_or(Effect::ClearTimer(name), |at| Effect::SetTimer(name, at)));
        }
        for occurrence in self.occurrences {
            decision = decision.write(Write::Occurrence(occurrence));
        }
        match watcher {
            Some(host) => decision.write(Write::Watcher(host)),
            None => decision,
        }
    }
}

impl Machine for Cluster {
    const KIND: &'static str = "cluster";
    type Command = Command;
    type Facts = Facts;
    type Write = Write;

    fn decide(&self, input: Input<Command>, cx: &Context<Facts>) -> Result<Decision<Self>, Refusal> {
        let mut draft = Draft { next: self.clone(), occurrences: Vec::new(), cx };
        if matches!(&input, Input::Command(Command::Report { host, .. }) if self.watch.host == Some(*host)) {
            draft.next.watch.heard_at = cx.now;
        }
        draft.next.watch = elect(draft.next.watch, &cx.facts.candidates, cx.now);
        match input {
            Input::Command(Command::Report { host, state }) => draft.report(host, &state)?,
            Input::Command(Command::CrushBegun { operation }) => draft.next.crush.begin(operation, cx.now),
            Input::Command(Command::CrushEnded { operation, change }) => {
                let moved = draft.next.crush.end(operation, change);
                draft.tell_crush(moved);
            }
            Input::Timer(name) if name == HEALTH => draft.tell_health(),
            // The choice was made above. Machines of this kind give no jobs.
            Input::Command(Command::Hosts) | Input::Timer(_) | Input::Job(_) | Input::Message(_) => {}
        }
        Ok(draft.done(self))
    }
}

#[cfg(test)]
mod tests;
