//! How the healing of a cluster comes along, for people (spec/maintenance.md §8.4).

use std::time::Duration;

use hostler_common::step::maintenance::CephSample;
use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::gate::percent;

/// What was to heal when it was first looked at: by it the rest is estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healing {
    /// When that was.
    since: Timestamp,
    /// Degraded and misplaced objects then, in millionths.
    ppm: u64,
}

impl Healing {
    /// Begins, or begins again where there is more to heal than before.
    #[must_use]
    pub fn observe(before: Option<Self>, sample: &CephSample, now: Timestamp) -> Option<Self> {
        let ppm = to_heal(sample);
        match before {
            _ if ppm == 0 => None,
            Some(before) if ppm <= before.ppm => Some(before),
            _ => Some(Self { since: now, ppm }),
        }
    }

    /// How long it will take at the pace so far; `None` where there is no pace yet.
    #[must_use]
    pub fn left(&self, sample: &CephSample, now: Timestamp) -> Option<Duration> {
        let (left, done) = (to_heal(sample), self.ppm.saturating_sub(to_heal(sample)));
        let spent = now.since(self.since).as_secs();
        (done > 0 && spent > 0).then(|| Duration::from_secs(spent.saturating_mul(left) / done))
    }
}

fn to_heal(sample: &CephSample) -> u64 {
    sample.degraded_ppm + sample.misplaced_ppm
}

/// One line of progress; empty where nothing heals.
#[must_use]
pub fn in_words(healing: Option<&Healing>, sample: &CephSample, now: Timestamp) -> String {
    let mut parts = Vec::new();
    if sample.degraded_ppm > 0 {
        parts.push(format!("{} degraded", percent(sample.degraded_ppm)));
    }
    if sample.misplaced_ppm > 0 {
        parts.push(format!("{} misplaced", percent(sample.misplaced_ppm)));
    }
    if sample.recovering > 0 {
        parts.push(format!("recovery at {} MiB/s", sample.recovering.div_ceil(1 << 20)));
    }
    if let Some(left) = healing.and_then(|healing| healing.left(sample, now)) {
        parts.push(format!("about {} min left", left.as_secs().div_ceil(60)));
    }
    parts.join(", ")
}
