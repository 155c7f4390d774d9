//! The machine of refreshes: one per host (spec/introspection.md §6.1, §6.4).
//!
//! At every moment it either has a job with a deadline or a timer at which it looks again, so it never stops silently; what
//! it waits for is in [`Refresh::waits_for`]. Whether a probe may run is read from rows at each look and never remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hostler_common::id::{HostId, JobId};
use hostler_common::job::{JobSpec, JobState, JobUpdate, Outcome, Work};
use hostler_common::text::clip;
use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::command::{Command, Facts, Write};
use super::schedule::{self, Group};
use crate::introspection::decide::identity_changed;
use crate::introspection::process::{self, Mode};
use crate::introspection::summary::Identity;
use crate::introspection::{document, merge, report};
use crate::machine::{Context, Decision, Effect, Event, Input, Machine, Refusal, WHEN_ONLINE};

/// Timer: look what is due.
const LOOK: &str = "look";
/// Timer: the probe took too long.
const DEADLINE: &str = "deadline";

/// The section that says which machine it is; it is part of every refresh, so that nothing of another machine is taken.
const IDENTITY_SECTION: &str = "system";

/// How long a host is waited for, if nobody says that it came back.
const OFFLINE_LOOK: Duration = Duration::from_secs(300);

/// How long an introspection is waited for until the next look.
const INTROSPECTION_LOOK: Duration = Duration::from_secs(15);

/// The next look while refreshes are switched off, or the host is revoked.
const IDLE_LOOK: Duration = Duration::from_secs(3600);

/// How long a place among the probes is waited for: from 10 to 60 s, so that those who wait do not all come at once.
const SLOT_LOOK_MIN: Duration = Duration::from_secs(10);
const SLOT_LOOK_SPREAD_MS: u128 = 50_000;

/// How much longer than the probe its delivery and its answer may take.
const DELIVERY: Duration = Duration::from_secs(120);

/// Longest error text that is kept, in bytes.
const ERROR_MAX: usize = 4 << 10;

/// What a refresh waits for, if not for its next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// The agent to connect.
    Agent,
    /// The end of an introspection.
    Introspection,
    /// A place among the probes of the fleet.
    Place,
}

/// A probe that was ordered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Its job.
    pub job: JobId,
    /// What it reads; empty means all.
    pub groups: BTreeSet<Group>,
    /// The introspection of the host before it: another one afterwards knows better.
    pub run: u64,
}

/// The refreshes of one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refresh {
    /// Whose.
    pub host: HostId,
    /// When each group is read next.
    pub due: BTreeMap<Group, Timestamp>,
    /// The boot of the kernel in which the parts of the machine were read last.
    pub boot_id: Option<String>,
    /// Whether the next probe reads everything.
    pub whole: bool,
    /// The probe under way.
    pub probe: Option<Probe>,
    /// What keeps a probe that is due from being ordered.
    pub waits_for: Option<Wait>,
    /// How many probes in a row failed.
    pub failures: u32,
    /// Why the last one did.
    pub error: Option<String>,
}

impl Refresh {
    /// The refreshes of a host that had none.
    #[must_use]
    pub fn new(host: HostId) -> Self {
        Self {
            host,
            due: BTreeMap::new(),
            boot_id: None,
            whole: false,
            probe: None,
            waits_for: None,
            failures: 0,
            error: None,
        }
    }

    /// Whether a look would order a probe, were there a place for it.
    #[must_use]
    pub fn would_probe(&self, facts: &Facts, now: Timestamp) -> bool {
        let ready = facts.online && !facts.introspecting;
        self.probe.is_none() && facts.settings.enabled && !facts.revoked && ready && self.is_due(facts, now)
    }

    fn is_due(&self, facts: &Facts, now: Timestamp) -> bool {
        self.whole || !self.due_groups(facts, now).is_empty()
    }

    fn due_groups(&self, facts: &Facts, now: Timestamp) -> BTreeSet<Group> {
        let mut due: BTreeSet<Group> = self.due.iter().filter(|(_, at)| **at <= now).map(|(group, _)| *group).collect();
        // A reboot may have changed parts; nobody was there to see it.
        let rebooted = facts.boot_id.is_some() && self.boot_id.is_some() && facts.boot_id != self.boot_id;
        if rebooted && facts.settings.intervals.of(Group::Static).is_some() {
            due.insert(Group::Static);
        }
        due
    }

    /// Brings the plan into line with the settings: a group that is new begins at its place in the grid.
    fn planned(&self, cx: &Context<Facts>) -> Self {
        let mut next = self.clone();
        for group in Group::ALL {
            match cx.facts.settings.intervals.of(group) {
                // An interval that was made shorter counts at once.
                Some(interval) => {
                    let at = schedule::next(self.host, interval, cx.now);
                    next.due.entry(group).and_modify(|due| *due = (*due).min(at)).or_insert(at);
                }
                None => drop(next.due.remove(&group)),
            }
        }
        next.boot_id = next.boot_id.or_else(|| cx.facts.boot_id.clone());
        next
    }

    fn look(&self, cx: &Context<Facts>) -> Decision<Self> {
        if self.probe.is_some() {
            return Decision::to(self.clone());
        }
        let mut next = self.planned(cx);
        let facts = &cx.facts;
        if !facts.settings.enabled || facts.revoked {
            next.waits_for = None;
            return next.looks(WHEN_ONLINE, cx.now.after(IDLE_LOOK));
        }
        if !next.is_due(facts, cx.now) {
            next.waits_for = None;
            let at = next.due.values().min().copied().unwrap_or(cx.now.after(IDLE_LOOK));
            return next.looks(LOOK, at);
        }
        let (wait, timer, after) = if !facts.online {
            (Wait::Agent, WHEN_ONLINE, OFFLINE_LOOK)
        } else if facts.introspecting {
            (Wait::Introspection, LOOK, INTROSPECTION_LOOK)
        } else if !facts.free {
            let spread = u64::try_from(cx.seed % SLOT_LOOK_SPREAD_MS).unwrap_or(0);
            (Wait::Place, LOOK, SLOT_LOOK_MIN + Duration::from_millis(spread))
        } else {
            return next.order(cx);
        };
        next.waits_for = Some(wait);
        next.looks(timer, cx.now.after(after))
    }

    /// The next look is at that time, and at no other.
    fn looks(self, timer: &'static str, at: Timestamp) -> Decision<Self> {
        let other = if timer == LOOK { WHEN_ONLINE } else { LOOK };
        Decision::to(self)
            .effect(Effect::ClearTimer(other))
            .effect(Effect::ClearTimer(DEADLINE))
            .effect(Effect::SetTimer(timer, at))
    }

    fn order(mut self, cx: &Context<Facts>) -> Decision<Self> {
        let everything = self.whole || !cx.facts.inventory;
        let groups = if everything { BTreeSet::new() } else { self.due_groups(&cx.facts, cx.now) };
        let mut sections: Vec<String> =
            groups.iter().flat_map(|group| group.sections()).map(|name| (*name).to_owned()).collect();
        if !everything && !groups.contains(&Group::Static) {
            sections.insert(0, IDENTITY_SECTION.to_owned());
        }
        let deadline = cx.facts.settings.probe_deadline;
        let spec = JobSpec { id: cx.fresh_job(0), host: self.host, work: Work::Introspect { sections }, deadline };
        self.waits_for = None;
        if everything || groups.contains(&Group::Static) {
            self.boot_id.clone_from(&cx.facts.boot_id);
        }
        self.probe = Some(Probe { job: spec.id, groups, run: cx.facts.run });
        Decision::to(self)
            .effect(Effect::ClearTimer(LOOK))
            .effect(Effect::ClearTimer(WHEN_ONLINE))
            .effect(Effect::SetTimer(DEADLINE, cx.now.after(deadline + DELIVERY)))
            .effect(Effect::RunJob(spec))
    }

    fn job_update(&self, update: &JobUpdate, cx: &Context<Facts>) -> Decision<Self> {
        let Some(outcome) = &update.outcome else { return Decision::to(self.clone()) };
        let forget = Write::Forget(update.job);
        let Some(probe) = self.probe.as_ref().filter(|probe| probe.job == update.job) else {
            return Decision::to(self.clone()).write(forget);
        };
        let ended = Self { probe: None, ..self.clone() };
        // An introspection took its place, or came in between: its data are newer than these could be.
        let decision = if cx.facts.introspecting || cx.facts.run != probe.run {
            ended.looks(LOOK, cx.now.after(INTROSPECTION_LOOK))
        } else if update.state == JobState::Succeeded {
            ended.received(probe, outcome, cx)
        } else {
            let reason = outcome.reason.clone();
            let text = reason.unwrap_or_else(|| format!("the probe ended as {}", update.state.name()));
            ended.failed(&probe.groups, &format!("Probe failed: {text}"), cx)
        };
        decision.write(forget)
    }

    fn received(self, probe: &Probe, outcome: &Outcome, cx: &Context<Facts>) -> Decision<Self> {
        let data = match report::document(outcome) {
            Ok(data) => document::unprocessed(data),
            Err(error) => return self.failed(&probe.groups, &error, cx),
        };
        let found = Identity::of(&data);
        if cx.facts.known.contradicted_by(&found).is_some() {
            return self.another_machine(probe, data, found, cx);
        }
        let merged = merge::merge(cx.facts.base.as_ref(), data);
        if cx.facts.settings.publish {
            let done = self.done(&probe.groups, cx).write(Write::Seen(merged.read));
            return done.write(Write::Publish(merged.document));
        }
        if !merged.changed {
            return self.done(&probe.groups, cx).write(Write::Seen(merged.read));
        }
        // Rules change the node, which API users look at: they run in introspections only.
        let settings = &cx.facts.settings.processing;
        let run = process::process(&merged.document, &cx.facts.node, &[], settings, Mode::First);
        match (run.outcome, run.document) {
            (Ok(()), Some(processed)) => self
                .done(&probe.groups, cx)
                .write(Write::Seen(merged.read))
                .write(Write::Inventory { unprocessed: merged.document, processed }),
            (Err(failure), _) => self.failed(&probe.groups, &failure.message, cx),
            (Ok(()), None) => self.failed(&probe.groups, "The processing hooks made no document", cx),
        }
    }

    /// The host shows itself as another machine: its data are held back, all of them, until somebody decides (§6.1).
    fn another_machine(self, probe: &Probe, document: Value, found: Identity, cx: &Context<Facts>) -> Decision<Self> {
        let known_already = cx.facts.held.as_ref() == Some(&found);
        if !known_already && !probe.groups.is_empty() {
            let next = Self { whole: true, ..self };
            return next.looks(LOOK, cx.now);
        }
        let (host, known) = (self.host, cx.facts.known.clone());
        let decision = self.done(&probe.groups, cx);
        if known_already {
            return decision;
        }
        decision.event(identity_changed(host, &known, &found)).write(Write::Hold { document, known, found })
    }

    fn done(mut self, groups: &BTreeSet<Group>, cx: &Context<Facts>) -> Decision<Self> {
        self.whole = false;
        let recovered = self.failures > 0;
        (self.failures, self.error) = (0, None);
        let host = self.host;
        let decision = self.advanced(groups, cx);
        if !recovered {
            return decision;
        }
        decision.event(Event { kind: "inventory.refresh_recovered", subject: host.to_string(), data: json!({}) })
    }

    /// A failure is told once; the next attempt is at the next time of these groups.
    fn failed(mut self, groups: &BTreeSet<Group>, error: &str, cx: &Context<Facts>) -> Decision<Self> {
        self.whole = false;
        self.failures = self.failures.saturating_add(1);
        let error = clip(error, ERROR_MAX).to_owned();
        let (first, host) = (self.failures == 1, self.host);
        self.error = Some(error.clone());
        let decision = self.advanced(groups, cx);
        if !first {
            return decision;
        }
        let data = json!({ "error": error, "severity": "warning" });
        decision.event(Event { kind: "inventory.refresh_failed", subject: host.to_string(), data })
    }

    /// These groups, or all, are due at their next time.
    fn advanced(mut self, groups: &BTreeSet<Group>, cx: &Context<Facts>) -> Decision<Self> {
        for (group, due) in &mut self.due {
            if (groups.is_empty() || groups.contains(group))
                && let Some(interval) = cx.facts.settings.intervals.of(*group)
            {
                *due = schedule::next(self.host, interval, cx.now);
            }
        }
        let at = self.due.values().min().copied().unwrap_or(cx.now.after(IDLE_LOOK));
        self.looks(LOOK, at)
    }

    fn too_late(&self, cx: &Context<Facts>) -> Decision<Self> {
        let Some(probe) = &self.probe else { return self.look(cx) };
        if cx.coming_back() {
            return Decision::to(self.clone()).effect(Effect::SetTimer(DEADLINE, cx.back()));
        }
        let ended = Self { probe: None, ..self.clone() };
        // An agent that went away has not failed; what is due stays so until it is back.
        let decision = if cx.facts.online {
            ended.failed(&probe.groups, "Probe failed: no answer in time", cx)
        } else {
            let again = Decision::to(Self { waits_for: Some(Wait::Agent), ..ended });
            again.effect(Effect::SetTimer(WHEN_ONLINE, cx.now.after(OFFLINE_LOOK)))
        };
        decision.effect(Effect::CancelJob(probe.job))
    }
}

impl Machine for Refresh {
    const KIND: &'static str = "refresh";
    type Command = Command;
    type Facts = Facts;
    type Write = Write;

    fn decide(&self, input: Input<Command>, cx: &Context<Facts>) -> Result<Decision<Self>, Refusal> {
        Ok(match input {
            Input::Command(Command::Begin) => self.look(cx),
            Input::Job(update) => self.job_update(&update, cx),
            Input::Timer(name) if name == DEADLINE => self.too_late(cx),
            Input::Timer(_) => self.look(cx),
            Input::Message(_) => Decision::to(self.clone()),
        })
    }
}

#[cfg(test)]
mod tests;
