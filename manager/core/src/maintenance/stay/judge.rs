//! What the end of a job means for the entry that ordered it.

use std::collections::BTreeSet;
use std::time::Duration;

use hostler_common::job::{Captured, Outcome};
use hostler_common::step::StepResult;
use hostler_common::step::maintenance::{Boot, CephDrained, CephHost, CephSample, CephStopAnswer};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::ceph::admit::{Refused, admit};
use super::super::ceph::stop::{Landed, against, landed, not_back};
use super::super::ceph::{gate, in_words, progress};
use super::super::row::StepState;
use super::agenda::{Health, Task};
use super::doc::Mark;
use super::draft::Draft;
use super::job::{Miss, REFUSED};
use crate::operation::result_of;

/// How often a cluster may say that daemons must not stop before it is believed.
const NO_MAX: u32 = 3;
/// How long a stop is watched (§8.6).
const SETTLE_FOR: Duration = Duration::from_secs(30);
/// How many samples in a row must be bad before a stop counts as one that went wrong: placement groups peer for a moment.
const SETTLE_BAD: u32 = 2;
/// The most bytes of a program's output that a reason quotes.
const QUOTED: usize = 2000;
/// The most bytes of a program's output that history keeps of one step.
const KEPT: usize = 64 << 10;

impl Task {
    /// Whether it asks again and again until something holds: that one question failed means nothing then.
    pub(super) fn watches(&self) -> bool {
        matches!(self, Self::Health(_) | Self::Settle | Self::Back | Self::MayStop | Self::Gate(_))
    }
}

/// What a step found, as one of our types; `None` if it is something else.
fn found<T: DeserializeOwned>(result: &StepResult) -> Option<T> {
    result.after.is_object().then(|| serde_json::from_value(result.after.clone()).ok()).flatten()
}

/// The boot that a step reports of, alone or as a part of more.
fn boot_of(value: &Value) -> Option<Boot> {
    let boot =
        |value: &Value| serde_json::from_value::<Boot>(value.clone()).ok().filter(|boot| !boot.boot_id.is_empty());
    boot(value).or_else(|| boot(&value["boot"]))
}

/// The end of a text, within so many bytes.
fn tail(text: &str, most: usize) -> &str {
    let mut from = text.len().saturating_sub(most);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

/// What is kept of an output, as text.
fn text_of(captured: &Captured) -> String {
    let bytes: Vec<u8> = captured.head.iter().chain(&captured.tail).copied().collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// All that a program said.
pub(super) fn output(outcome: &Outcome) -> String {
    match &outcome.merged {
        Some(merged) => text_of(&merged.bytes),
        None => {
            let (out, err) = (text_of(&outcome.stdout), text_of(&outcome.stderr));
            if out.is_empty() { err } else { out + &err }
        }
    }
}

/// What history keeps of an outcome.
pub(super) fn kept(outcome: &Outcome) -> Value {
    json!({ "exit_code": outcome.exit_code, "signal": outcome.signal, "output": tail(&output(outcome), KEPT) })
}

impl Draft<'_> {
    /// The job of the open entry ended as it should.
    pub(super) fn job_succeeded(&mut self, outcome: &Outcome) {
        if let Some(open) = &mut self.next.open {
            open.job = None;
        }
        let Some(entry) = self.next.entry() else { return self.dropped() };
        let result = result_of(&outcome.stdout.head.iter().chain(&outcome.stdout.tail).copied().collect::<Vec<u8>>());
        match &entry.task {
            Task::Script(_) | Task::Plugin => return self.plugin_ended(&entry, outcome),
            Task::Gate(_) => return self.done(kept(outcome)),
            Task::Look => return self.looked(found(&result)),
            Task::Health(_) | Task::Settle | Task::Back => return self.sampled(&entry.task, found(&result)),
            Task::MayStop => return self.asked_to_stop(&result),
            Task::Drain => return self.drained(found(&result)),
            Task::Reboot { .. } => return self.boot_reported(&result),
            Task::Noout if !result.changed && self.first_try() => {
                // It was not there when the host was looked at, and is there now: somebody else was faster, and it is theirs.
                self.next.marks.noout = Mark::No;
                self.next.marks.noout_since = None;
                if let Some(host) = &mut self.next.storage.host {
                    host.flags.push("noout".into());
                }
                return self.skip("somebody else had set it before; it stays");
            }
            Task::Noout => self.next.marks.noout = Mark::Yes,
            Task::NooutOff => {
                self.next.marks.noout = Mark::No;
                self.next.marks.noout_since = None;
            }
            Task::Stop => self.next.marks.stopped = Mark::Yes,
            Task::Start => self.next.marks.stopped = Mark::No,
            Task::DrainBack => self.next.marks.drained = Mark::No,
            Task::Precheck | Task::Verify => self.note_boot(&result),
            Task::Step(_) => self.note_wish(&entry, &result),
            _ => {}
        }
        self.done(json!({ "changed": result.changed, "detail": result.detail, "after": result.after }));
    }

    fn first_try(&self) -> bool {
        self.next.tries.as_ref().is_none_or(|(_, tries)| *tries <= 1)
    }

    fn note_boot(&mut self, result: &StepResult) {
        if let Some(boot) = boot_of(&result.after) {
            self.next.boots.now = Some(boot);
        }
    }

    /// A step of the agent may say that what it changed needs a reboot.
    fn note_wish(&mut self, entry: &super::agenda::Entry, result: &StepResult) {
        if result.after["reboot_required"] == Value::Bool(true)
            && let Some((plugin, _)) = self.plugin_of(entry)
        {
            self.reboot_wanted(&plugin);
        }
    }

    fn looked(&mut self, host: Option<CephHost>) {
        let Some(host) = host else {
            return self.fail("ceph.unreadable", "the host's agent does not say which daemons of Ceph it has");
        };
        let Some(policy) = self.order().map(|order| order.policy.storage.clone()) else { return };
        if !host.daemons.is_empty() || host.bucket.is_some() {
            match admit(&host, &policy) {
                Ok(()) => {}
                Err(Refused::Later(code, text)) => return self.wait_for(60, code, text),
                Err(Refused::No(code, text)) => return self.fail(code, text),
            }
        }
        let told =
            json!({ "daemons": host.daemons, "bucket": host.bucket, "flags": host.flags, "domain": host.domain });
        self.next.storage.host = Some(host);
        self.done(told);
    }

    /// A sample of the cluster is there.
    fn sampled(&mut self, task: &Task, sample: Option<CephSample>) {
        let Some(sample) = sample.filter(|sample| !sample.health.is_empty()) else {
            return self.asked_in_vain("the agent's answer about the cluster cannot be read");
        };
        self.remember(&sample);
        match task {
            Task::Health(health) => self.judge_health(*health, &sample),
            Task::Settle => self.judge_stop(&sample),
            _ => self.judge_return(&sample),
        }
    }

    /// Keeps of a sample what later questions need.
    fn remember(&mut self, sample: &CephSample) {
        let away: BTreeSet<i64> = sample.all_down_or_out.iter().copied().collect();
        // By the time our own hand was in it, it would say nothing about before.
        if !self.next.marks.shaken && !self.next.marks.drained.maybe() {
            self.next.storage.away_before.get_or_insert(away);
        }
        let small = CephSample {
            checks: Vec::new(),
            pgs: Default::default(),
            flags: Vec::new(),
            crashes: Vec::new(),
            ..sample.clone()
        };
        self.next.storage.sample = Some(small);
    }

    fn judge_health(&mut self, health: Health, sample: &CephSample) {
        let blockers = gate::judge(sample, &self.rules(health));
        let (now, every) = (self.now(), self.watch_every());
        let long = self.order().and_then(|order| order.policy.storage.stable_for).unwrap_or(60);
        let long = Duration::from_secs(if health == Health::Middle { 0 } else { u64::from(long) });
        let Some(open) = &mut self.next.open else { return };
        open.bad = 0;
        open.stable.observe(blockers.is_empty(), now);
        open.healing = progress::Healing::observe(open.healing, sample, now);
        let (holds, so_far) = (open.stable.holds(long), open.stable.so_far());
        let heals = progress::in_words(open.healing.as_ref(), sample, now);
        let told =
            json!({ "blockers": blockers, "degraded_ppm": sample.degraded_ppm, "misplaced_ppm": sample.misplaced_ppm });
        let text = match (blockers.is_empty(), heals.is_empty()) {
            (true, _) => format!("clean for {} of {} s", so_far.as_secs(), long.as_secs()),
            (false, true) => in_words(&blockers),
            (false, false) => format!("{}; {heals}", in_words(&blockers)),
        };
        self.next.storage.blockers = blockers;
        if holds {
            return self.done(told);
        }
        self.wait_for(every, "gate.closed", text);
    }

    /// What a gate is judged by, as things are now.
    fn rules(&self, health: Health) -> gate::Rules {
        let Some(order) = self.order() else { return gate::Rules::default() };
        let (policy, marks, storage) = (&order.policy.storage, &self.next.marks, &self.next.storage);
        let away = storage.away_before.clone().unwrap_or_default();
        let own: BTreeSet<i64> = self.daemons().osds.into_iter().collect();
        let wanted = if health == Health::Exit { own.difference(&away).copied().collect() } else { BTreeSet::new() };
        gate::Rules {
            ignorable: policy.ignorable.iter().cloned().collect(),
            forced: self.forced(),
            baseline: order.baseline.clone(),
            misplaced_ppm: u64::from(policy.max_misplaced.unwrap_or(0)) * 10_000,
            ours: self.bucket().filter(|_| marks.noout.maybe()),
            since: order.session_started,
            stopped: match () {
                () if marks.drained.maybe() => own,
                () if marks.stopped.maybe() => storage.before.stopping.clone(),
                () => BTreeSet::new(),
            },
            away_before: away,
            wanted,
        }
    }

    /// Codes that an operator has ignored for this host, or for all.
    fn forced(&self) -> BTreeSet<String> {
        let Some(order) = self.order() else { return BTreeSet::new() };
        let ours = order.force.iter().filter(|force| force.host.as_ref().is_none_or(|host| *host == order.name));
        ours.flat_map(|force| force.ignore_health.iter().cloned()).collect()
    }

    fn judge_stop(&mut self, sample: &CephSample) {
        let (now, every) = (self.now(), self.watch_every());
        let verdict = landed(&self.next.storage.before, sample);
        let Some(open) = &mut self.next.open else { return };
        match verdict {
            Landed::Well => {
                open.bad = 0;
                if now.since(open.since) >= SETTLE_FOR {
                    return self.done(json!({ "up": sample.num_up_osds }));
                }
                self.wait_for(every, "ceph.settling", "it is watched whether the cluster bears the stop");
            }
            Landed::NotYet(text) => self.wait_for(every, "ceph.settling", text),
            Landed::Badly(text) => {
                open.bad += 1;
                if open.bad >= SETTLE_BAD {
                    return self.fail("ceph.stop_unsafe", text);
                }
                self.wait_for(every, "ceph.settling", text);
            }
        }
    }

    fn judge_return(&mut self, sample: &CephSample) {
        let missing = not_back(&self.daemons(), &self.next.storage.before, sample);
        let forced = self.forced().contains("OSD_NOT_BACK");
        if missing.is_empty() || forced {
            if !missing.is_empty() {
                self.next.warnings.push(format!("left although not all came back: {}", missing.join("; ")));
            }
            self.next.marks.shaken = false;
            return self.done(Value::Null);
        }
        if let Some(open) = &mut self.next.open {
            open.bad = 0;
        }
        let every = self.watch_every();
        self.wait_for(every, "ceph.osd_not_back", missing.join("; "));
    }

    fn asked_to_stop(&mut self, result: &StepResult) {
        let Some(open) = &mut self.next.open else { return };
        if open.part == 0 {
            let Some(sample) = found::<CephSample>(result).filter(|sample| !sample.health.is_empty()) else {
                return self.asked_in_vain("the agent's answer about the cluster cannot be read");
            };
            open.part = 1;
            self.remember(&sample);
            return self.look_again();
        }
        open.part = 0;
        let Some(answer) = found::<CephStopAnswer>(result) else {
            return self.asked_in_vain("the agent's answer about the stop cannot be read");
        };
        let sample = self.next.storage.sample.clone().unwrap_or_default();
        let mut blockers = against(&self.daemons(), &sample, &answer);
        let forced = self.forced();
        blockers.retain(|one| !(one.ignorable && forced.contains(&one.code)));
        if blockers.is_empty() {
            return self.done(json!({ "with": answer.with }));
        }
        let text = in_words(&blockers);
        self.next.storage.blockers = blockers;
        let Some(open) = &mut self.next.open else { return };
        open.bad += 1;
        if open.bad >= NO_MAX {
            return self.fail("ceph.not_ok_to_stop", text);
        }
        self.wait_for(30, "ceph.not_ok_to_stop", text);
    }

    fn drained(&mut self, found: Option<CephDrained>) {
        let Some(found) = found else { return self.asked_in_vain("the agent's answer about the drain cannot be read") };
        if let Some(against) = found.against {
            self.next.marks.drained = Mark::No;
            return self.fail("ceph.drain_impossible", against);
        }
        if found.left.is_empty() {
            self.next.marks.drained = Mark::Yes;
            return self.done(Value::Null);
        }
        let text = format!("{} still have {} placement groups", gate::list(&found.left), found.pgs);
        let every = self.watch_every();
        self.wait_for(every, "ceph.draining", text);
    }

    /// Nobody could say how the cluster is: that is not good, and it is asked again.
    pub(super) fn asked_in_vain(&mut self, text: &str) {
        let (now, every) = (self.now(), self.watch_every());
        if let Some(open) = &mut self.next.open {
            open.job = None;
            open.part = 0;
            open.bad += 1;
            open.stable.observe(false, now);
        }
        self.wait_for(every, "ceph.unreachable", text);
    }

    /// The job of the open entry did not end as it should.
    pub(super) fn job_missed(&mut self, miss: Miss) {
        if let Some(open) = &mut self.next.open {
            open.job = None;
        }
        let Some(entry) = self.next.entry() else { return self.dropped() };
        let (code, text, result, began) = match miss {
            Miss::Failed(code, why, outcome) => {
                let said = output(&outcome);
                // A step says itself what was not as it should be; of all others the end of the output says most.
                let detail = serde_json::from_str::<StepResult>(&said).ok().map(|result| result.detail);
                let said = tail(detail.as_deref().unwrap_or(said.trim_end()), QUOTED);
                let said = if why.contains(said) { "" } else { said };
                let text = if said.is_empty() { why } else { format!("{why}: {said}") };
                (code, text, kept(&outcome), true)
            }
            Miss::Never(code, text) => (code, text, Value::Null, false),
        };
        match &entry.task {
            task if task.watches() => return self.asked_in_vain(&text),
            // What was never begun changed nothing. A stop that the agent gave up says so, too, after it started again what it had
            // stopped: it is looked whether all are up.
            Task::Noout if !began && self.first_try() => {
                self.next.marks.noout = Mark::No;
                self.next.marks.noout_since = None;
            }
            Task::Stop if !began && self.first_try() => {
                self.next.marks.stopped = Mark::No;
                self.next.marks.shaken = code == REFUSED;
            }
            Task::Reboot { .. } if !began => {
                self.next.boots.ordered_in = None;
                self.undo_shake();
            }
            Task::Reboot { .. } => return self.reboot_lost(&text),
            _ => {}
        }
        let tries = self.next.tries.as_ref().map_or(1, |(_, tries)| *tries);
        if began && tries <= self.retries(&entry) {
            let reason = self.reason(code, text.clone());
            self.close(StepState::Failed, result, Some(reason));
            return self.again_in(15 * u64::from(tries), code, text);
        }
        self.fail_with(code, text, result);
    }

    /// How often an entry that failed is tried once more.
    fn retries(&self, entry: &super::agenda::Entry) -> u32 {
        match &entry.task {
            Task::Precheck | Task::Look | Task::Verify | Task::HandOver => 1,
            Task::Noout | Task::NooutOff | Task::Start | Task::DrainBack | Task::Drain => 2,
            Task::Step(_) | Task::Script(_) | Task::Plugin => self.plugin_retries(entry),
            _ => 0,
        }
    }

    /// Tries the open entry once more, after so many seconds.
    pub(super) fn retry_after(&mut self, seconds: u64, code: &str, text: String) {
        let reason = self.reason(code, text.clone());
        self.close(StepState::Unknown, Value::Null, Some(reason));
        self.again_in(seconds, code, text);
    }

    fn again_in(&mut self, seconds: u64, code: &str, text: String) {
        self.next.again_at = Some(self.after(seconds));
        self.next.waits = Some(self.reason(code, text));
    }

    /// The agent says how the host booted.
    fn boot_reported(&mut self, result: &StepResult) {
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
    fn undo_shake(&mut self) {
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
