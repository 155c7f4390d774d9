//! Reboots: who asks for one, how it is ordered, and how the id of the boot tells what came of it (spec/maintenance.md §3.7).

use std::time::Duration;

use hostler_common::job::Work;
use hostler_common::step::maintenance::Boot;
use hostler_common::step::{Step, StepResult};
use serde_json::{Value, json};

use super::super::policy::Reboot;
use super::agenda::Entry;
use super::draft::Draft;
use super::look::LOOK_EVERY;

/// The boot that a step reports of, alone or as a part of more.
fn boot_of(value: &Value) -> Option<Boot> {
    let boot =
        |value: &Value| serde_json::from_value::<Boot>(value.clone()).ok().filter(|boot| !boot.boot_id.is_empty());
    boot(value).or_else(|| boot(&value["boot"]))
}

impl Draft<'_> {
    pub(super) fn ask_reboot(&mut self, entry: &Entry) {
        let Some((plugin, _)) = self.plugin_of(entry) else { return self.done(Value::Null) };
        self.reboot_wanted(&plugin);
        self.done(Value::Null);
    }

    /// Remembers who asked for a reboot: one serves all.
    pub(super) fn reboot_wanted(&mut self, plugin: &str) {
        let Some(order) = self.order() else { return };
        if order.errand || order.policy.reboot == Reboot::Never {
            let who = if order.errand { "the management node is not rebooted" } else { "the policy says never" };
            let text = format!("{plugin} asks for a reboot, but {who}");
            self.next.warnings.push(text);
        } else if !self.next.boots.asked_by.iter().any(|one| one == plugin) {
            self.next.boots.asked_by.push(plugin.to_owned());
        }
    }

    pub(super) fn reboot(&mut self, always: bool) {
        if self.order().is_some_and(|order| order.policy.reboot == Reboot::Never) {
            return self.skip("the policy says that hosts are not rebooted");
        }
        if let Some(before) = self.next.boots.ordered_in.clone() {
            match &self.cx.facts.boot_id {
                Some(now) if *now != before => return self.rebooted(),
                // It was ordered before, and the host did not come back since.
                _ if !self.cx.facts.connected => {
                    let limit = self.order().map_or(0, |order| u64::from(order.policy.reboot_timeout));
                    let open = self.next.open.as_ref();
                    let (since, outage) = open.map_or((self.now(), 0), |open| (open.since, open.outage));
                    if since.after(Duration::from_secs(limit + outage)) <= self.now() {
                        return self.fail("reboot.no_return", format!("the host did not come back within {limit} s"));
                    }
                    return self.wait_for(LOOK_EVERY, "agent.away", "the host has not come back yet");
                }
                _ => {}
            }
        }
        if self.next.has_storage() {
            self.remember_osds();
        }
        let known = self.next.boots.now.as_ref().map(|boot| boot.boot_id.clone()).unwrap_or_default();
        self.next.boots.ordered_in = Some(self.cx.facts.boot_id.clone().unwrap_or(known));
        let by = self.next.boots.asked_by.join(", ");
        let reason = match self.order() {
            Some(order) if by.is_empty() => format!("maintenance session {}", order.session),
            Some(order) => format!("maintenance session {}: {by}", order.session),
            None => return,
        };
        let step = Step::Reboot(hostler_common::step::maintenance::Reboot { reason, always });
        let limit = self.order().map_or(0, |order| u64::from(order.policy.reboot_timeout));
        self.order_here(Work::Step(Box::new(step)), Duration::from_secs(limit), false);
    }

    pub(super) fn note_boot(&mut self, result: &StepResult) {
        if let Some(boot) = boot_of(&result.after) {
            self.next.boots.now = Some(boot);
        }
    }

    /// A step of the agent may say that what it changed needs a reboot.
    pub(super) fn note_wish(&mut self, entry: &Entry, result: &StepResult) {
        if result.after["reboot_required"] == Value::Bool(true)
            && let Some((plugin, _)) = self.plugin_of(entry)
        {
            self.reboot_wanted(&plugin);
        }
    }

    /// The agent says how the host booted.
    pub(super) fn boot_reported(&mut self, result: &StepResult) {
        let (before, after) = (boot_of(&result.before), boot_of(&result.after));
        let known = self.next.boots.ordered_in.clone();
        if !result.changed && before.as_ref().map(|boot| &boot.boot_id) == after.as_ref().map(|boot| &boot.boot_id) {
            self.next.boots.ordered_in = None;
            self.undo_shake();
            return self.skip("nothing asks for a reboot");
        }
        let Some(boot) = after else {
            return self.fail("reboot.unverified", "the agent does not say in which boot the host is");
        };
        let same = before.is_some_and(|before| before.boot_id == boot.boot_id) || known.as_ref() == Some(&boot.boot_id);
        if same {
            return self.fail("reboot.same_boot", format!("the host is still in boot {}", boot.boot_id));
        }
        self.next.boots.now = Some(boot);
        self.rebooted();
    }

    /// A reboot that was not made did not take the OSDs down.
    pub(super) fn undo_shake(&mut self) {
        if !self.next.marks.stopped.maybe() && !self.next.marks.drained.maybe() {
            self.next.marks.shaken = false;
        }
    }

    /// The host is in another boot than before.
    pub(super) fn rebooted(&mut self) {
        self.next.boots.ordered_in = None;
        self.next.boots.asked_by.clear();
        let kernel = self.next.boots.now.as_ref().map(|boot| boot.kernel.clone());
        self.done(json!({ "boot_id": self.cx.facts.boot_id, "kernel": kernel }));
    }

    /// Nobody reported how the reboot went: the id of the boot tells it.
    pub(super) fn reboot_lost(&mut self, why: &str) {
        let before = self.next.boots.ordered_in.clone();
        match &self.cx.facts.boot_id {
            Some(now) if before.is_some() && before.as_ref() != Some(now) => self.rebooted(),
            _ if self.cx.facts.connected => {
                self.next.boots.ordered_in = None;
                self.fail("reboot.failed", format!("the host did not reboot: {why}"));
            }
            _ => self.fail("reboot.no_return", format!("the host did not come back: {why}")),
        }
    }
}
