//! When a session may be over.

use std::time::Duration;

use hostler_common::time::Timestamp;

use crate::maintenance::host::{HostPhase, SessionHost};
use crate::maintenance::policy::Policy;

/// When the hosts may all be done, judged by those that are: each takes as long as the one in the middle of them took, so that one
/// that stood before a closed gate all night does not count for all, and as many go at once as the policy allows, or go now where
/// it allows any number. `None` while no host is done, as nothing can be said, and when none is left.
///
/// It is an estimate for people. Windows, projects that take their time and closed gates are not in it.
#[must_use]
pub fn ends_at(hosts: &[SessionHost], policy: &Policy, start: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let mut took: Vec<Duration> = hosts
        .iter()
        .filter(|host| host.phase == HostPhase::Done)
        .filter_map(|host| Some(host.finished_at?.since(host.started_at?)))
        .collect();
    took.sort_unstable();
    // Of an even number the later one: to be done early annoys nobody.
    let each = *took.get(took.len() / 2)?;
    let left = |host: &SessionHost| each.saturating_sub(now.since(host.started_at.unwrap_or(now)));
    let active: Vec<Duration> = hosts.iter().filter(|host| host.phase.is_active()).map(left).collect();
    let pending = hosts.iter().filter(|host| host.phase == HostPhase::Pending).count();
    if active.is_empty() && pending == 0 {
        return None;
    }
    let lanes = match policy.max_parallel_hosts as usize {
        0 => active.len().max(1),
        most => most.max(1),
    };
    let rounds = u32::try_from(pending.div_ceil(lanes)).unwrap_or(u32::MAX);
    let busy = active.into_iter().max().unwrap_or_default();
    Some(start.max(now).after(busy.saturating_add(each.saturating_mul(rounds))))
}
