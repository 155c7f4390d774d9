//! Whether daemons may stop, and whether their stop went well (spec/maintenance.md §8.2, §8.6). The cluster's own answers are asked
//! for by agents; this is the second opinion.

use std::collections::BTreeSet;

use hostler_common::step::maintenance::{CephSample, CephStopAnswer, Daemons};
use serde::{Deserialize, Serialize};

use super::Blocker;
use super::gate::{NO_QUORUM, UNAVAILABLE, list};

/// How many of so many monitors are a quorum.
#[must_use]
pub fn quorum(monitors: usize) -> usize {
    monitors / 2 + 1
}

/// What speaks against stopping these daemons, by what was read of the cluster and by what it answered.
#[must_use]
pub fn against(daemons: &Daemons, sample: &CephSample, answer: &CephStopAnswer) -> Vec<Blocker> {
    let mut found = Vec::new();
    if !answer.ok {
        let why = if answer.against.is_empty() { "the cluster says no".to_owned() } else { answer.against.join("; ") };
        found.push(Blocker::hard("NOT_OK_TO_STOP", why));
    }
    let left = sample.quorum.iter().filter(|name| !daemons.mons.contains(name)).count();
    if !daemons.mons.is_empty() && left < quorum(sample.mons.len()) {
        let text = format!(
            "{left} of {} monitors would be left, a quorum is {}",
            sample.mons.len(),
            quorum(sample.mons.len())
        );
        found.push(Blocker::hard(NO_QUORUM, text));
    }
    let all: BTreeSet<&String> =
        sample.mgr_standbys.iter().chain([&sample.mgr_active]).filter(|name| !name.is_empty()).collect();
    if !daemons.mgrs.is_empty() && all.iter().all(|name| daemons.mgrs.contains(name)) {
        found.push(Blocker::soft("MGR_NO_STANDBY", "no manager daemon of another host could take over"));
    }
    // The cluster takes an OSD that is down for one that may stop: its yes proves nothing about these.
    let dead: Vec<i64> =
        daemons.osds.iter().filter(|osd| sample.down.contains(osd) && !sample.out.contains(osd)).copied().collect();
    if !dead.is_empty() {
        found.push(Blocker::hard("OSD_DOWN", format!("{} are down already, and not by our hand", list(&dead))));
    }
    found
}

/// What is known of the cluster before daemons stop: by it the stop is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Before {
    /// OSDs of the whole cluster that were up.
    pub up: u64,
    /// Those of the host that were up, and are to stop.
    pub stopping: BTreeSet<i64>,
    /// For how long whoever stopped them watched, and saw nothing that was wrong, in seconds.
    pub watched_s: u64,
}

impl Before {
    /// Reads it from the last sample before the stop.
    #[must_use]
    pub fn of(sample: &CephSample, osds: &[i64]) -> Self {
        let stopping = osds.iter().filter(|osd| !sample.down.contains(osd)).copied().collect();
        Self { up: sample.num_up_osds, stopping, watched_s: 0 }
    }
}

/// How a stop went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landed {
    /// As it should, so far.
    Well,
    /// Not all of it shows yet.
    NotYet(String),
    /// Data is out of reach, or others went down, too.
    Badly(String),
}

/// Judges a stop by a sample taken after it.
#[must_use]
pub fn landed(before: &Before, sample: &CephSample) -> Landed {
    let unavailable = sample.checks.iter().find(|check| check.code == UNAVAILABLE);
    if let Some(check) = unavailable {
        return Landed::Badly(check.message.clone());
    }
    if sample.inactive_ppm > 0 {
        return Landed::Badly("placement groups are not active".into());
    }
    let wanted = before.up.saturating_sub(before.stopping.len() as u64);
    if sample.num_up_osds < wanted {
        return Landed::Badly(format!("{} OSDs are up, {wanted} should be: others went down, too", sample.num_up_osds));
    }
    if sample.num_up_osds > wanted {
        return Landed::NotYet(format!("{} OSDs are up, {wanted} should be", sample.num_up_osds));
    }
    Landed::Well
}

/// OSDs of the host and monitors of it that are not back; empty texts mean that all are. OSDs that were away before do not count.
#[must_use]
pub fn not_back(daemons: &Daemons, before: &Before, sample: &CephSample) -> Vec<String> {
    let down: Vec<i64> = before.stopping.iter().filter(|osd| sample.down.contains(osd)).copied().collect();
    let mut missing = Vec::new();
    if !down.is_empty() {
        missing.push(format!("{} are not up", list(&down)));
    }
    let mons: Vec<&str> =
        daemons.mons.iter().filter(|name| !sample.quorum.contains(name)).map(String::as_str).collect();
    if !mons.is_empty() {
        missing.push(format!("monitors {} are not in the quorum", mons.join(", ")));
    }
    missing
}
