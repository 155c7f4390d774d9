//! The health gate (spec/maintenance.md §8.4): whether a cluster is clean enough for a host to be touched, or to be left.

use std::collections::BTreeSet;

use hostler_common::step::maintenance::{CephCheck, CephSample};
use hostler_common::time::Timestamp;

use super::Blocker;
use super::stop::quorum;

/// Health checks that close a gate whatever the baseline and the session's policy say. Those that follow from others are
/// judged by their own rules: `OSD_FLAGS`, `OSDMAP_FLAGS`, `RECENT_CRASH`, and all whose name begins with `UPGRADE_`.
pub const BLOCKING: &[&str] = &[
    "FS_DEGRADED",
    "MDS_ALL_DOWN",
    "MON_CLOCK_SKEW",
    "MON_DOWN",
    "OSD_BACKFILLFULL",
    "OSD_DOWN",
    "OSD_FULL",
    "OSD_HOST_DOWN",
    "OSD_NEARFULL",
    "OSD_SCRUB_ERRORS",
    "PG_AVAILABILITY",
    "PG_DAMAGED",
    "PG_DEGRADED",
    "POOL_FULL",
    "SLOW_OPS",
];

/// The code for data that is or may be out of reach. Nobody can have it ignored.
pub const UNAVAILABLE: &str = "PG_AVAILABILITY";

/// The code for a cluster without a quorum. Nobody can have it ignored.
pub const NO_QUORUM: &str = "MON_QUORUM_LOST";

/// What a gate is judged by.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Codes that the session's policy ignores; those of [`BLOCKING`] have no effect here.
    pub ignorable: BTreeSet<String>,
    /// Codes that an operator ignores by name, for good reasons.
    pub forced: BTreeSet<String>,
    /// Codes that were there when the session began: as warnings they do not close it.
    pub baseline: BTreeSet<String>,
    /// The largest share of misplaced objects, in millionths.
    pub misplaced_ppm: u64,
    /// The bucket whose `noout` is, or may be, ours.
    pub ours: Option<String>,
    /// When the session began: crashes from before do not count.
    pub since: Timestamp,
    /// OSDs that were down or out before we came.
    pub away_before: BTreeSet<i64>,
    /// OSDs that are down or out by our hand.
    pub stopped: BTreeSet<i64>,
    /// OSDs that must be up and in.
    pub wanted: BTreeSet<i64>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            ignorable: BTreeSet::new(),
            forced: BTreeSet::new(),
            baseline: BTreeSet::new(),
            misplaced_ppm: 0,
            ours: None,
            since: Timestamp::from_micros(0),
            away_before: BTreeSet::new(),
            stopped: BTreeSet::new(),
            wanted: BTreeSet::new(),
        }
    }
}

/// What keeps the gate closed; nothing means that it is open.
#[must_use]
pub fn judge(sample: &CephSample, rules: &Rules) -> Vec<Blocker> {
    if !matches!(sample.health.as_str(), "HEALTH_OK" | "HEALTH_WARN" | "HEALTH_ERR") {
        return vec![Blocker::hard("HEALTH_UNKNOWN", "the cluster does not say how it is")];
    }
    let mut found = placement(sample, rules);
    found.extend(osds(sample, rules));
    found.extend(daemons(sample));
    found.extend(sample.checks.iter().filter_map(|check| check_of(check, sample, rules)));
    found.retain(|one| !(one.ignorable && pardoned(&one.code, rules)));
    // A check of the cluster and a rule of ours may find the same thing; the first word is enough.
    let mut codes = BTreeSet::new();
    found.retain(|one| codes.insert((one.code.clone(), one.ignorable)));
    found
}

/// Whether somebody decided that the code does not matter.
fn pardoned(code: &str, rules: &Rules) -> bool {
    rules.forced.contains(code) || (rules.ignorable.contains(code) && !BLOCKING.contains(&code))
}

/// Rules 1 and 2: all placement groups are where and how they should be.
fn placement(sample: &CephSample, rules: &Rules) -> Vec<Blocker> {
    let (mut away, mut unclean, mut moving, mut trimming) = (0, Vec::new(), 0, 0);
    for (state, count) in sample.pgs.iter().filter(|(_, count)| **count > 0) {
        let parts: BTreeSet<&str> = state.split('+').collect();
        match () {
            () if !parts.contains("active") => away += count,
            () if parts.contains("clean") && parts.iter().any(|part| part.starts_with("snaptrim")) => trimming += count,
            () if parts.iter().all(|part| matches!(*part, "active" | "clean" | "scrubbing" | "deep"))
                && parts.contains("clean") => {}
            () if parts.iter().all(|part| MOVING.contains(part)) => moving += count,
            () => unclean.push(format!("{count} {state}")),
        }
    }
    let mut found = Vec::new();
    let told: u64 = sample.pgs.values().sum();
    if told != sample.num_pgs {
        let text = format!(
            "the states of {} of {} placement groups are not known",
            sample.num_pgs.abs_diff(told),
            sample.num_pgs
        );
        found.push(Blocker::hard(UNAVAILABLE, text));
    }
    if away > 0 || sample.inactive_ppm > 0 || sample.unknown_ppm > 0 {
        found.push(Blocker::hard(UNAVAILABLE, format!("{away} placement groups are not active")));
    }
    if !unclean.is_empty() || sample.degraded_ppm > 0 {
        let states = if unclean.is_empty() { String::new() } else { format!(": {}", unclean.join(", ")) };
        let text = format!("{} of the objects are degraded{states}", percent(sample.degraded_ppm));
        found.push(Blocker::soft("PG_DEGRADED", text));
    }
    if sample.misplaced_ppm > rules.misplaced_ppm || (moving > 0 && rules.misplaced_ppm == 0) {
        let text =
            format!("{} of the objects are misplaced, {moving} placement groups move", percent(sample.misplaced_ppm));
        found.push(Blocker::soft("OBJECT_MISPLACED", text));
    }
    if trimming > 0 {
        found.push(Blocker::soft("PG_SNAPTRIM", format!("{trimming} placement groups trim snapshots")));
    }
    found
}

/// Parts of the states of placement groups that are whole, but on their way to another place.
const MOVING: &[&str] =
    &["active", "clean", "remapped", "backfilling", "backfill_wait", "scrubbing", "deep", "forced_backfill"];

/// Rule 3: no OSD is away that was not before.
fn osds(sample: &CephSample, rules: &Rules) -> Vec<Blocker> {
    let mut found = Vec::new();
    let missing: Vec<i64> =
        rules.wanted.iter().filter(|osd| sample.down.contains(osd) || sample.out.contains(osd)).copied().collect();
    if !missing.is_empty() {
        found.push(Blocker::soft("OSD_NOT_BACK", format!("{} of this host are not up and in", list(&missing))));
    }
    let others: Vec<i64> = sample
        .all_down_or_out
        .iter()
        .filter(|osd| !rules.away_before.contains(osd) && !rules.stopped.contains(osd) && !rules.wanted.contains(osd))
        .copied()
        .collect();
    if !others.is_empty() {
        found.push(Blocker::soft("OSD_AWAY", format!("{} are down or out and were not before", list(&others))));
    }
    // Where the cluster counts fewer OSDs than it names, nobody knows which are meant.
    let away = sample.num_osds.saturating_sub(sample.num_up_osds.min(sample.num_in_osds));
    if away > sample.all_down_or_out.len() as u64 {
        let text =
            format!("of {} OSDs {} are up and {} are in", sample.num_osds, sample.num_up_osds, sample.num_in_osds);
        found.push(Blocker::soft("OSD_COUNT", text));
    }
    found
}

/// Rule 4: the quorum is whole and a manager daemon waits.
fn daemons(sample: &CephSample) -> Vec<Blocker> {
    let mut found = Vec::new();
    if sample.quorum.len() < quorum(sample.mons.len()) || sample.mons.is_empty() {
        let text = format!("{} of {} monitors are in the quorum", sample.quorum.len(), sample.mons.len());
        found.push(Blocker::hard(NO_QUORUM, text));
    } else if let Some(absent) = some(sample.mons.iter().filter(|name| !sample.quorum.contains(name))) {
        found.push(Blocker::soft("MON_DOWN", format!("monitors {absent} are not in the quorum")));
    }
    if !sample.mgr_available {
        found.push(Blocker::soft("MGR_DOWN", "no manager daemon is active"));
    } else if sample.mgr_standbys.is_empty() {
        found.push(Blocker::soft("MGR_NO_STANDBY", "no manager daemon waits to take over"));
    }
    found
}

fn some<'n>(names: impl Iterator<Item = &'n String>) -> Option<String> {
    let names: Vec<&str> = names.map(String::as_str).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// Rule 5: what a health check means.
fn check_of(check: &CephCheck, sample: &CephSample, rules: &Rules) -> Option<Blocker> {
    let code = check.code.as_str();
    let blocks = match code {
        UNAVAILABLE => return Some(Blocker::hard(code, &check.message)),
        "OSD_FLAGS" => !only_ours(check, sample, rules),
        "OSDMAP_FLAGS" => true,
        "RECENT_CRASH" => sample.crashes.iter().any(|at| Timestamp::from_micros(*at) >= rules.since),
        _ if BLOCKING.contains(&code) || code.starts_with("UPGRADE_") => true,
        // Whoever muted a check has seen it.
        _ if check.muted => false,
        _ if check.severity == "HEALTH_WARN" => !rules.baseline.contains(code),
        _ => true,
    };
    blocks.then(|| Blocker::soft(code, &check.message))
}

/// Whether the only flags below the cluster are those that we set: `noout` of our bucket.
fn only_ours(check: &CephCheck, sample: &CephSample, rules: &Rules) -> bool {
    let Some(bucket) = &rules.ours else { return false };
    let nodes = sample.node_flags.iter().filter(|(_, flags)| !flags.is_empty());
    let ours = nodes.clone().all(|(node, flags)| node == bucket && flags.as_slice() == ["noout"]);
    // Flags of single OSDs and of device classes are in no list of nodes; the detail names what has them.
    let named = check
        .detail
        .iter()
        .all(|line| line.split(" has flags").next().is_some_and(|who| who.split_whitespace().last() == Some(bucket)));
    ours && named && nodes.count() == 1
}

/// `osd.3, osd.4`.
#[must_use]
pub fn list(osds: &[i64]) -> String {
    let names: Vec<String> = osds.iter().map(|osd| format!("osd.{osd}")).collect();
    names.join(", ")
}

/// Millionths as a percentage for people.
#[must_use]
pub fn percent(ppm: u64) -> String {
    format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100)
}
