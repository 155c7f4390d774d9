//! What samples of a cluster, and its answers, mean for the entry that asked (spec/maintenance.md §8.2, §8.4, §8.6).

use std::collections::BTreeSet;
use std::time::Duration;

use hostler_common::step::StepResult;
use hostler_common::step::maintenance::{CephDrained, CephSample, CephStopAnswer};
use serde_json::{Value, json};

use super::super::ceph::stop::{Landed, against, landed, not_back};
use super::super::ceph::{gate, in_words, progress};
use super::agenda::{Health, Task};
use super::doc::Mark;
use super::draft::Draft;
use super::judge::found;

/// How often a cluster may say that daemons must not stop before it is believed.
const NO_MAX: u32 = 3;
/// How long a stop is watched (§8.6).
const SETTLE_FOR: Duration = Duration::from_secs(30);
/// How many samples in a row must be bad before a stop counts as one that went wrong: placement groups peer for a moment.
const SETTLE_BAD: u32 = 2;

impl Draft<'_> {
    /// A sample of the cluster is there.
    pub(super) fn sampled(&mut self, task: &Task, sample: Option<CephSample>) {
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
    pub(super) fn remember(&mut self, sample: &CephSample) {
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

    pub(super) fn judge_health(&mut self, health: Health, sample: &CephSample) {
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
    pub(super) fn rules(&self, health: Health) -> gate::Rules {
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
    pub(super) fn forced(&self) -> BTreeSet<String> {
        let Some(order) = self.order() else { return BTreeSet::new() };
        let ours = order.force.iter().filter(|force| force.host.as_ref().is_none_or(|host| *host == order.name));
        ours.flat_map(|force| force.ignore_health.iter().cloned()).collect()
    }

    pub(super) fn judge_stop(&mut self, sample: &CephSample) {
        let (now, every) = (self.now(), self.watch_every());
        let verdict = landed(&self.next.storage.before, sample);
        // The agent watched, too, before it said that all are stopped.
        let left = SETTLE_FOR.saturating_sub(Duration::from_secs(self.next.storage.before.watched_s));
        let Some(open) = &mut self.next.open else { return };
        match verdict {
            Landed::Well => {
                open.bad = 0;
                if now.since(open.since) >= left {
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

    pub(super) fn judge_return(&mut self, sample: &CephSample) {
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

    pub(super) fn asked_to_stop(&mut self, result: &StepResult) {
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

    pub(super) fn drained(&mut self, found: Option<CephDrained>) {
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
}
