//! What a session is doing, where that depends on its hosts.

use std::collections::BTreeMap;

use crate::maintenance::host::HostPhase;
use crate::maintenance::state::Phase;

/// What a session is doing right now, by what it says itself and by how many of its hosts are in which phase. A session is not
/// told each time that a host begins or ends to wait, so it may say that it works while all of them stand before closed gates, or
/// the other way round.
#[must_use]
pub fn phase_of(said: Phase, hosts: &BTreeMap<HostPhase, usize>) -> Phase {
    if !matches!(said, Phase::Working | Phase::WaitingHealth) {
        return said;
    }
    let count = |wanted: fn(HostPhase) -> bool| -> usize {
        hosts.iter().filter(|(phase, _)| wanted(**phase)).map(|(_, count)| count).sum()
    };
    let waits = |phase| matches!(phase, HostPhase::WaitingHealth | HostPhase::WaitingStorage);
    match (count(HostPhase::is_active), count(waits)) {
        (0, _) => said,
        (active, waiting) if active == waiting => Phase::WaitingHealth,
        _ => Phase::Working,
    }
}
