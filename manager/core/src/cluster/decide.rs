//! The machine of a cluster: reports in, occurrences out.

use hostler_common::cluster::ClusterState;
use hostler_common::error::Class;
use hostler_common::hook::{HookPoint, Occurrence, Origin};
use hostler_common::id::HostId;
use serde_json::{Map, Value, json};

use super::command::{Command, Facts, Write};
use super::elect::elect;
use super::health::Transition;
use super::state::Cluster;
use crate::hook::chain::Word;
use crate::machine::{Context, Decision, Effect, Event, Input, Machine, Refusal};

/// Timer: a difference of the health has held for long enough.
pub const HEALTH: &str = "health";
/// Timer: the watching host has been silent for too long.
pub const SILENT: &str = "silent";

/// From where on the fresh identifiers of a decision are those of chains; those before are of occurrences.
const CHAINS: u32 = 1000;

/// From where on they are of occurrences on each host and of their chains, in turns.
const HOSTS: u32 = 1_000_000;

/// Why a change of the CRUSH map was not ours, as hooks are told.
const OUTSIDE: &str = "changed outside";

/// What a decision collects.
struct Draft<'a> {
    next: Cluster,
    occurrences: Vec<Occurrence>,
    /// Options that were changed.
    options: Option<Vec<String>>,
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
        self.options = self.next.options.report(state.config_log.as_deref());
        Ok(())
    }

    fn command(&mut self, command: Command) -> Result<(), Refusal> {
        match command {
            Command::Report { host, state } => self.report(host, &state)?,
            Command::CrushBegun { operation } => self.next.crush.begin(operation, self.cx.now),
            Command::CrushEnded { operation, change } => {
                let moved = self.next.crush.end(operation, change);
                self.tell_crush(moved);
            }
            // The choice is made anew with every input.
            Command::Hosts => {}
        }
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
        if let Some(options) = &self.options {
            decision = configured(decision, options, self.cx);
        }
        let host = decision.next.watch.host.or(before.watch.host);
        for (n, occurrence) in (CHAINS..).zip(self.occurrences) {
            let told = event(&decision.next.fsid, &occurrence);
            decision = decision.event(told);
            let chain = self.cx.fresh_id(n);
            let told = Word::Occur { occurrence: Box::new(occurrence), host, change: None, parent: None }.to(chain);
            decision = decision.effect(Effect::Tell(told));
        }
        match watcher {
            Some(host) => decision.write(Write::Watcher(host)),
            None => decision,
        }
    }
}

/// Options may be of all daemons or of some: that they were changed is told on every host that reaches the cluster now.
fn configured(mut decision: Decision<Cluster>, options: &[String], cx: &Context<Facts>) -> Decision<Cluster> {
    let (subject, data) = (decision.next.fsid.clone(), json!({ "options": options }));
    decision.events.push(Event { kind: "cluster.config_changed", subject, data });
    for (n, candidate) in (HOSTS..).step_by(2).zip(&cx.facts.candidates) {
        let (point, origin) = (HookPoint::PostConfigChanged, Origin::External);
        // It belongs to no environment and no deployment.
        let values = vec![String::new(), String::new(), options.join(","), "ok".to_owned()];
        let occurrence = Box::new(Occurrence { id: cx.fresh_id(n), point, origin, at: cx.now, values });
        let told = Word::Occur { occurrence, host: Some(candidate.host), change: None, parent: None };
        decision = decision.effect(Effect::Tell(told.to(cx.fresh_id(n + 1))));
    }
    decision
}

/// What the world is told of an occurrence.
fn event(fsid: &str, occurrence: &Occurrence) -> Event {
    let kind = match occurrence.point {
        HookPoint::OnHealthDegrade => "cluster.health_degraded",
        HookPoint::OnHealthImprove => "cluster.health_improved",
        HookPoint::OnHealthRecover => "cluster.health_recovered",
        _ => "cluster.crush_changed",
    };
    let values = occurrence.point.parameters().iter().zip(&occurrence.values);
    let mut data: Map<String, Value> =
        values.map(|(parameter, value)| (parameter.name.replace('-', "_"), value.clone().into())).collect();
    data.insert("occurrence".into(), occurrence.id.to_string().into());
    Event { kind, subject: fsid.to_owned(), data: Value::Object(data) }
}

impl Machine for Cluster {
    const KIND: &'static str = "cluster";
    type Command = Command;
    type Facts = Facts;
    type Write = Write;

    fn decide(&self, input: Input<Command>, cx: &Context<Facts>) -> Result<Decision<Self>, Refusal> {
        let mut draft = Draft { next: self.clone(), occurrences: Vec::new(), options: None, cx };
        if matches!(&input, Input::Command(Command::Report { host, .. }) if self.watch.host == Some(*host)) {
            draft.next.watch.heard_at = cx.now;
        }
        draft.next.watch = elect(draft.next.watch, &cx.facts.candidates, cx.now);
        match input {
            Input::Command(command) => draft.command(command)?,
            Input::Message(body) => match serde_json::from_value(body) {
                Ok(command) => draft.command(command)?,
                Err(error) => {
                    return Err(Refusal::new(Class::Internal, format!("a cluster is told nonsense: {error}")));
                }
            },
            Input::Timer(name) if name == HEALTH => draft.tell_health(),
            // The choice was made above. Machines of this kind give no jobs.
            Input::Timer(_) | Input::Job(_) => {}
        }
        Ok(draft.done(self))
    }
}

#[cfg(test)]
mod tests;
