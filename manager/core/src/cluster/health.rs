//! When a change of a cluster's health is worth telling (spec/hooks.md §7.5).
//!
//! Compared are two views: the one that was told last, and the one that was seen last. Each code in which they differ is a
//! difference with a direction and a moment since which it holds; one that holds long enough is told and becomes part of
//! what was told. The overall status takes part as the code [`STATUS`].

mod view;

pub use view::{Direction, Rank, View, Weight};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hostler_common::cluster::Health;
use hostler_common::text::clip;
use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The name under which the overall status takes part beside the codes of checks.
const STATUS: &str = "";
/// What hooks are told when no monitor answers.
const UNKNOWN: &str = "HEALTH_UNKNOWN";
/// How long a difference must hold before it is told as a degradation: two polls.
const HOLD_WORSE: Duration = Duration::from_secs(10);
/// How long a difference must hold before it is told as an improvement: three polls.
const HOLD_BETTER: Duration = Duration::from_secs(15);
/// How long what was taken in counts. Agents report every 10 seconds.
const FRESH: Duration = Duration::from_secs(30);
/// How long no monitor may answer.
const ANSWERLESS: Duration = Duration::from_secs(60);
/// A code is told as degraded once in this time; what comes meanwhile waits and is told together.
const APART: Duration = Duration::from_secs(60);
/// A code with more than [`FLAPS`] transitions in this time flaps.
const FLAP_WINDOW: Duration = Duration::from_secs(600);
/// See [`FLAP_WINDOW`].
const FLAPS: usize = 6;
/// How long a code that flaps must stay as it is before it is told again.
const QUIET: Duration = Duration::from_secs(300);
/// Longest text of one check, and of a summary, in bytes.
const MESSAGE_MAX: usize = 200;
const SUMMARY_MAX: usize = 1024;

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Which hook point.
    pub direction: Direction,
    /// The overall status before.
    pub old: String,
    /// The overall status now.
    pub new: String,
    /// The codes that changed in this direction.
    pub codes: Vec<String>,
    /// One line for people.
    pub summary: String,
}

/// What was told of a cluster's health, and what is about to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracker {
    /// What was told; `None` before the first answer, which is the baseline.
    told: Option<View>,
    /// What was seen last.
    seen: Option<View>,
    /// The texts of the checks that were seen last, by code.
    messages: BTreeMap<String, String>,
    /// When anything was last taken in.
    observed_at: Option<Timestamp>,
    /// Since when no monitor answers; `None` while one does.
    answerless_since: Option<Timestamp>,
    /// Whether it was told that no monitor answers.
    unknown: bool,
    /// Codes that are worse than was told, with the moment since which they are.
    worse: BTreeMap<String, Timestamp>,
    /// Codes that are better than was told, with the moment since which they are.
    better: BTreeMap<String, Timestamp>,
    /// What happened to codes lately.
    recent: BTreeMap<String, Recent>,
}

/// What happened to a code lately.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Recent {
    /// When it was last told as degraded.
    degraded_at: Option<Timestamp>,
    /// When it was told, in the last [`FLAP_WINDOW`].
    transitions: Vec<Timestamp>,
    /// When it was last seen to change.
    changed_at: Option<Timestamp>,
    /// Whether it flaps: it is not told until it is quiet.
    flaps: bool,
}

impl Recent {
    /// Until when it is held back for flapping.
    fn quiet_at(&self) -> Option<Timestamp> {
        if self.flaps { self.changed_at.map(|changed| changed.after(QUIET)) } else { None }
    }

    /// Until when it is not told as degraded again.
    fn apart_at(&self) -> Option<Timestamp> {
        self.degraded_at.map(|degraded| degraded.after(APART))
    }
}

impl Tracker {
    /// The codes of the checks that were seen last.
    #[must_use]
    pub fn codes(&self) -> BTreeSet<String> {
        self.seen.iter().flat_map(|seen| seen.checks.keys().cloned()).collect()
    }

    /// Takes in what a monitor answered, or that none did.
    pub fn observe(&mut self, health: Option<&Health>, ignored: &BTreeSet<String>, now: Timestamp) {
        self.observed_at = Some(now);
        let Some(health) = health else {
            self.answerless_since.get_or_insert(now);
            return;
        };
        self.answerless_since = None;
        self.unknown = false;
        let view = View::of(health, ignored);
        let texts = health.checks.iter().filter(|(code, _)| view.checks.contains_key(*code));
        self.messages =
            texts.map(|(code, check)| (code.clone(), clip(&check.message, MESSAGE_MAX).to_owned())).collect();
        self.note_changes(&view, now);
        let told = self.told.get_or_insert_with(|| view.clone());
        let (worse, better) = told.differences(&view, STATUS);
        hold(&mut self.worse, worse, now);
        hold(&mut self.better, better, now);
        self.seen = Some(view);
    }

    /// Remembers which of the codes that flap moved.
    fn note_changes(&mut self, view: &View, now: Timestamp) {
        let Some(seen) = &self.seen else { return };
        let (worse, better) = seen.differences(view, STATUS);
        for code in worse.union(&better) {
            if let Some(recent) = self.recent.get_mut(code) {
                recent.changed_at = Some(now);
            }
        }
    }

    /// Whether what was taken in last still counts: a difference that nobody has confirmed for long may be over.
    #[must_use]
    pub fn fresh(&self, now: Timestamp) -> bool {
        self.observed_at.is_some_and(|observed| now.since(observed) < FRESH)
    }

    /// What is to be told now. It counts as told.
    pub fn tell(&mut self, now: Timestamp) -> Vec<Transition> {
        if !self.fresh(now) {
            return Vec::new();
        }
        self.forget(now);
        if let Some(since) = self.answerless_since {
            return self.tell_unknown(since, now);
        }
        let (Some(told), Some(seen)) = (&self.told, &self.seen) else { return Vec::new() };
        let worse = self.ripe_worse(now);
        let better = self.ripe_better(now);
        let mut next = told.clone();
        next.follow(seen, &worse, &better, STATUS);
        let (old, new) = (told.status, next.status);
        let mut flapping = BTreeSet::new();
        for code in worse.union(&better) {
            if self.record(code, worse.contains(code), now) {
                flapping.insert(code.clone());
            }
        }
        self.told = Some(next);
        self.worse.retain(|code, _| !worse.contains(code));
        self.better.retain(|code, _| !better.contains(code));
        let mut list = Vec::new();
        for (direction, codes) in [(Direction::Degrade, &worse), (Direction::Improve, &better)] {
            if !codes.is_empty() {
                list.push(self.transition(direction, old, new, codes, &flapping));
            }
        }
        if old > Rank::Ok && new == Rank::Ok {
            list.push(self.transition(Direction::Recover, old, new, &better, &flapping));
        }
        list
    }

    /// When [`tell`](Self::tell) may have something to say that it has not now, if nothing is taken in until then.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        if let Some(since) = self.answerless_since {
            return (!self.unknown && self.told.is_some()).then(|| since.after(ANSWERLESS));
        }
        let worse = self.worse.iter().map(|(code, since)| {
            let recent = self.recent.get(code);
            let apart = recent.and_then(Recent::apart_at).filter(|_| code != STATUS);
            [Some(since.after(HOLD_WORSE)), apart, recent.and_then(Recent::quiet_at)]
        });
        let better = self.better.iter().map(|(code, since)| {
            [Some(since.after(HOLD_BETTER)), None, self.recent.get(code).and_then(Recent::quiet_at)]
        });
        worse.chain(better).filter_map(|moments| moments.into_iter().flatten().max()).min()
    }

    fn tell_unknown(&mut self, since: Timestamp, now: Timestamp) -> Vec<Transition> {
        let Some(told) = self.told.as_ref().filter(|_| !self.unknown && now.since(since) >= ANSWERLESS) else {
            return Vec::new();
        };
        self.unknown = true;
        let old = told.status.name().to_owned();
        let summary = format!("{old} -> {UNKNOWN}: no monitor answers");
        vec![Transition { direction: Direction::Degrade, old, new: UNKNOWN.into(), codes: Vec::new(), summary }]
    }

    /// Codes that are to be told as worse. Where the overall status gets worse, that is not held up by [`APART`], and what
    /// brought it about is told with it.
    fn ripe_worse(&self, now: Timestamp) -> BTreeSet<String> {
        let held: BTreeSet<&String> =
            self.worse.iter().filter(|(_, since)| now.since(**since) >= HOLD_WORSE).map(|(code, _)| code).collect();
        let free =
            |code: &&&String| self.recent.get(**code).and_then(Recent::quiet_at).is_none_or(|quiet| quiet <= now);
        let held: BTreeSet<&String> = held.iter().filter(free).copied().collect();
        let rises = held.iter().any(|code| *code == STATUS);
        let apart = |code: &str| self.recent.get(code).and_then(Recent::apart_at).is_none_or(|end| end <= now);
        held.into_iter().filter(|code| rises || apart(code)).cloned().collect()
    }

    fn ripe_better(&self, now: Timestamp) -> BTreeSet<String> {
        let free = |code: &str| self.recent.get(code).and_then(Recent::quiet_at).is_none_or(|quiet| quiet <= now);
        let held = self.better.iter().filter(|(code, since)| now.since(**since) >= HOLD_BETTER && free(code));
        held.map(|(code, _)| code.clone()).collect()
    }

    /// Remembers that a code is told; `true` if it flaps from now on.
    fn record(&mut self, code: &str, worse: bool, now: Timestamp) -> bool {
        let recent = self.recent.entry(code.to_owned()).or_default();
        if worse {
            recent.degraded_at = Some(now);
        }
        recent.changed_at.get_or_insert(now);
        recent.transitions.push(now);
        let begins = !recent.flaps && recent.transitions.len() > FLAPS;
        recent.flaps |= begins;
        begins
    }

    /// Lets go of what does not matter any more.
    fn forget(&mut self, now: Timestamp) {
        for recent in self.recent.values_mut() {
            if recent.quiet_at().is_some_and(|quiet| quiet <= now) {
                recent.flaps = false;
                recent.transitions.clear();
            }
            recent.transitions.retain(|told| now.since(*told) < FLAP_WINDOW);
        }
        self.recent.retain(|_, recent| {
            recent.flaps || !recent.transitions.is_empty() || recent.apart_at().is_some_and(|end| end > now)
        });
    }

    fn transition(
        &self,
        direction: Direction,
        old: Rank,
        new: Rank,
        codes: &BTreeSet<String>,
        flapping: &BTreeSet<String>,
    ) -> Transition {
        let codes: Vec<String> = codes.iter().filter(|code| *code != STATUS).cloned().collect();
        let mut parts: Vec<String> = codes.iter().map(|code| self.say(code)).collect();
        if !flapping.is_empty() {
            parts.push("changes often; silent until it is quiet for 5 minutes".into());
        }
        let (old, new) = (old.name().to_owned(), new.name().to_owned());
        let head = if old == new { new.clone() } else { format!("{old} -> {new}") };
        let summary = if parts.is_empty() { head } else { format!("{head}: {}", parts.join("; ")) };
        Transition { direction, old, new, codes, summary: clip(&summary, SUMMARY_MAX).to_owned() }
    }

    fn say(&self, code: &str) -> String {
        match self.messages.get(code) {
            Some(message) => format!("{message} ({code})"),
            None => format!("{code} is gone"),
        }
    }
}

/// Keeps the moments of codes that still differ, and begins those of new ones.
fn hold(since: &mut BTreeMap<String, Timestamp>, differ: BTreeSet<String>, now: Timestamp) {
    since.retain(|code, _| differ.contains(code));
    for code in differ {
        since.entry(code).or_insert(now);
    }
}

#[cfg(test)]
mod tests;
