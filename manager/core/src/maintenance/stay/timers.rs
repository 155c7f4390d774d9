//! The timers of a stay follow from its document: each names what is waited for.

use std::collections::BTreeMap;
use std::time::Duration;

use hostler_common::time::Timestamp;

use super::doc::Stay;
use super::draft::Draft;
use crate::machine::{Effect, WHEN_ONLINE};

/// It is looked after the job that is waited for.
pub(super) const JOB: &str = "job";
/// It is looked again at what is waited for, or the next attempt begins. Whoever knows that something changed may let it come due
/// early: the storage lock is free, a URL answered.
pub const LOOK: &str = "look";
/// What is waited for is given up.
pub(super) const LIMIT: &str = "limit";
/// The host's time is over.
pub(super) const HOST: &str = "host";
/// Nothing came on for so long that people should know.
pub(super) const STALL: &str = "stall";
/// A flag of ours is set for so long that people should know.
pub(super) const FLAG: &str = "flag";

/// After how long without progress people are told (§2.6).
const STALL_AFTER: Duration = Duration::from_secs(1800);
/// After how long a flag that is set is told (§8.3).
const FLAG_AFTER: Duration = Duration::from_secs(4 * 3600);

/// Timers of what is waited for: they are late only if no manager is there.
const GRANTED: [&str; 4] = [JOB, LOOK, LIMIT, HOST];

const ALL: [&str; 7] = [JOB, LOOK, LIMIT, HOST, STALL, FLAG, WHEN_ONLINE];

impl Stay {
    /// What it waits for, until when.
    pub(super) fn timers(&self) -> BTreeMap<&'static str, Timestamp> {
        let mut due = BTreeMap::new();
        let mut set = |name, at: Option<Timestamp>| {
            if let Some(at) = at {
                due.insert(name, at);
            }
        };
        if self.marks.noout.maybe() {
            let last = self.marks.noout_told.or(self.marks.noout_since);
            set(FLAG, last.map(|last| last.after(FLAG_AFTER)));
        }
        if self.stage.is_active() {
            let open = self.open.as_ref();
            let job = open.and_then(|open| open.job.as_ref());
            set(JOB, job.map(|job| job.due));
            set(WHEN_ONLINE, job.filter(|job| !job.taken && job.host == self.host).map(|job| job.due));
            set(LOOK, open.map_or(self.again_at, |open| open.next.filter(|_| open.job.is_none())));
            set(LIMIT, open.and_then(|open| open.until).filter(|_| !self.paused));
            set(HOST, self.host_until.filter(|_| !self.expired && !self.paused && self.ending.is_none()));
            set(STALL, self.moved_at.map(|moved| moved.after(STALL_AFTER)));
        }
        due
    }
}

impl Draft<'_> {
    /// Where something should have been looked at long ago, no manager was there to do it: that time is nobody's fault. All that
    /// is waited for gets as much more, and agents get the time to come back (§2.6).
    pub(super) fn grant_outage(&mut self) {
        let (now, timers) = (self.now(), self.next.timers());
        let first = GRANTED.iter().filter_map(|name| timers.get(name)).min();
        let Some(first) = first.copied().filter(|first| *first <= now && self.cx.missed(*first)) else { return };
        let (late, back) = (now.since(first), self.cx.grace());
        let later = |at: Option<Timestamp>| at.map(|at| at.after(late).max(back));
        if !self.next.paused {
            self.next.host_until = later(self.next.host_until);
        }
        let early = |at: Option<Timestamp>| at.map(|at| at.max(now));
        self.next.again_at = early(self.next.again_at);
        let Some(open) = &mut self.next.open else { return };
        open.outage += late.as_secs();
        open.next = early(open.next);
        open.until = later(open.until);
        if let Some(job) = &mut open.job {
            job.since = job.since.after(late);
            job.due = job.due.max(back);
        }
    }
}

/// What has to be done about timers. `fired` came due just now and is there no longer.
pub(super) fn changes(before: &Stay, next: &Stay, fired: Option<&str>) -> Vec<Effect> {
    let (old, new) = (before.timers(), next.timers());
    let mut effects = Vec::new();
    for name in ALL {
        match (old.get(name).filter(|_| fired != Some(name)), new.get(name)) {
            (was, Some(at)) if was != Some(at) => effects.push(Effect::SetTimer(name, *at)),
            (Some(_), None) => effects.push(Effect::ClearTimer(name)),
            _ => {}
        }
    }
    effects
}
