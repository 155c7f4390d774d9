//! Which host watches a cluster: one, for as long as it does.

use std::time::Duration;

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::command::Candidate;

/// How long the watching host may say nothing before another is chosen. Agents say something every 10 seconds.
pub const SILENCE: Duration = Duration::from_secs(30);

/// The choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Who watches; `None` while nobody can.
    pub host: Option<HostId>,
    /// When it was last heard of, or chosen.
    pub heard_at: Timestamp,
}

impl Watch {
    /// When the chosen host will have been silent for too long; `None` where there is none.
    #[must_use]
    pub fn silent_at(&self) -> Option<Timestamp> {
        self.host.map(|_| self.heard_at.after(SILENCE))
    }
}

/// Chooses. The choice stays as long as the host is connected, reaches the cluster and is not silent; otherwise the candidate
/// with the lowest number is next, and one that was silent only where there is no other.
#[must_use]
pub fn elect(now: Watch, candidates: &[Candidate], at: Timestamp) -> Watch {
    let current = now.host.filter(|host| candidates.iter().any(|candidate| candidate.host == *host));
    if current.is_some() && now.silent_at().is_some_and(|silent| at < silent) {
        return now;
    }
    let others = candidates.iter().filter(|candidate| Some(candidate.host) != current);
    let next = others.min_by_key(|candidate| candidate.number).map(|candidate| candidate.host);
    Watch { host: next.or(current), heard_at: at }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn host(number: u128) -> HostId {
        HostId(Uuid::from_u128(number))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    fn candidates(numbers: &[u128]) -> Vec<Candidate> {
        numbers.iter().map(|number| Candidate { number: *number as i64, host: host(*number) }).collect()
    }

    /// Who watches, heard at, candidates, now; who watches then.
    type Case = (Option<u128>, i64, &'static [u128], i64, Option<u128>);

    #[test]
    fn the_choice() {
        let cases: &[Case] = &[
            (None, 0, &[], 0, None),
            (None, 0, &[7, 3, 5], 0, Some(3)),
            // A better one that comes changes nothing.
            (Some(5), 100, &[1, 5], 129, Some(5)),
            // It went away.
            (Some(5), 100, &[7, 8], 101, Some(7)),
            (Some(5), 100, &[], 101, None),
            // It is there and says nothing.
            (Some(5), 100, &[5, 7], 130, Some(7)),
            (Some(5), 100, &[5, 3], 130, Some(3)),
            (Some(5), 100, &[5], 130, Some(5)),
        ];
        for (who, heard, hosts, now, then) in cases {
            let watch = Watch { host: who.map(host), heard_at: at(*heard) };
            let next = elect(watch, &candidates(hosts), at(*now));
            assert_eq!(next.host, then.map(host), "{who:?} {heard} {hosts:?} {now}");
        }
    }

    #[test]
    fn one_that_was_chosen_anew_has_time_to_speak() {
        let watch = Watch { host: Some(host(5)), heard_at: at(100) };
        let next = elect(watch, &candidates(&[5]), at(130));
        assert_eq!(next.silent_at(), Some(at(160)));
    }
}
