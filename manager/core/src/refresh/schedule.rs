//! Which sections are read how often, and when (spec/introspection.md §6.4).

use std::time::Duration;

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Sections that are read together, as they age alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Parts of the machine and their firmware.
    Static,
    /// Disks, links and neighbours.
    Topology,
    /// Measured values and error counts.
    Health,
    /// The operating system and what is installed on it.
    Software,
    /// Devices and daemons of Ceph.
    Ceph,
    /// The management controller, which is slow and must not be asked often.
    Bmc,
}

impl Group {
    /// All groups.
    pub const ALL: [Self; 6] = [Self::Static, Self::Topology, Self::Health, Self::Software, Self::Ceph, Self::Bmc];

    /// The sections of the group; a section is in one group at the most.
    #[must_use]
    pub fn sections(self) -> &'static [&'static str] {
        match self {
            Self::Static => &["system", "firmware", "cpu", "memory", "numa", "pci"],
            Self::Topology => &["net", "lldp", "storage", "usb"],
            Self::Health => &["health", "time", "agent"],
            Self::Software => &["os", "packages", "kvm"],
            Self::Ceph => &["ceph"],
            Self::Bmc => &["bmc"],
        }
    }

    /// The group of a section; `None` for sections that are not refreshed.
    #[must_use]
    pub fn of(section: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.sections().contains(&section))
    }
}

/// How often each group is read.
#[derive(Clone, Debug)]
pub struct Intervals([Duration; 6]);

impl Intervals {
    /// Intervals in the order of [`Group::ALL`]; zero means never.
    #[must_use]
    pub fn new(intervals: [Duration; 6]) -> Self {
        Self(intervals)
    }

    /// The interval of a group; `None` if it is never read by itself.
    #[must_use]
    pub fn of(&self, group: Group) -> Option<Duration> {
        let index = Group::ALL.iter().position(|known| *known == group)?;
        self.0.get(index).copied().filter(|interval| !interval.is_zero())
    }
}

impl Default for Intervals {
    fn default() -> Self {
        Self([86_400, 600, 900, 21_600, 600, 21_600].map(Duration::from_secs))
    }
}

/// The next moment after `now` at which a host reads a group: a fixed grid whose offset follows from the host's id.
///
/// Hosts are spread evenly, delays do not add up, and as the intervals are multiples of each other, groups that are read
/// seldom are read together with one that is read often.
#[must_use]
pub fn next(host: HostId, interval: Duration, now: Timestamp) -> Timestamp {
    let interval = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX).max(1);
    let offset = spread(host) % interval;
    let since = now.as_micros().saturating_sub(offset).rem_euclid(interval);
    now.after(Duration::from_micros(u64::try_from(interval - since).unwrap_or(1)))
}

/// A number from 0 on that differs between hosts, however their ids were made.
fn spread(host: HostId) -> i64 {
    let bits = host.0.as_u128();
    // The finaliser of splitmix64 over both halves.
    let mut mixed = (bits >> 64) as u64 ^ (bits as u64).rotate_left(32);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    i64::try_from((mixed ^ (mixed >> 31)) >> 1).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn every_section_has_one_group() {
        let mut all: Vec<&str> = Group::ALL.iter().flat_map(|group| group.sections()).copied().collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert_eq!((Group::of("bmc"), Group::of("gpu")), (Some(Group::Bmc), None));
    }

    #[test]
    fn hosts_are_spread_over_the_interval_and_keep_their_place() {
        let (interval, now) = (Duration::from_secs(600), Timestamp::from_micros(1_800_000_000_000_000));
        let mut tenths = [0_u32; 10];
        for n in 0..10_000_u128 {
            // Numbered ids too, which differ in a few bits only.
            let host = HostId(Uuid::from_u128(n));
            let first = next(host, interval, now);
            let ahead = first.since(now);
            assert!(first > now && ahead <= interval);
            assert_eq!(next(host, interval, first), first.after(interval));
            assert_eq!(next(host, interval, first.before(Duration::from_micros(1))), first);
            tenths[(ahead.as_secs() / 60).min(9) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (850..1150).contains(count)), "{tenths:?}");
    }

    #[test]
    fn seldom_groups_fall_on_the_moments_of_frequent_ones() {
        let host = HostId(Uuid::from_u128(99));
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let intervals = Intervals::default();
        let of = |group| next(host, intervals.of(group).unwrap(), now);
        let seldom = of(Group::Static);
        let frequent = intervals.of(Group::Topology).unwrap();
        assert_eq!(next(host, frequent, seldom.before(Duration::from_micros(1))), seldom);
        assert_eq!(Intervals::new([Duration::ZERO; 6]).of(Group::Bmc), None);
    }
}
