//! Ports for a cluster: each cluster of the machine has two hundred of its own.

use std::fs::File;
use std::net::TcpListener;

use anyhow::Context as _;
use nix::fcntl::{Flock, FlockArg};

/// How many ports a cluster has: five for monitors, the rest for the other daemons, which take eight each at the most.
pub(super) const RANGE: u16 = 200;

/// Below the ports that the kernel gives out by itself.
const FIRST: u16 = 17_000;
const CLUSTERS: u16 = 70;

/// A range of ports, for as long as this is held.
#[derive(Debug)]
pub(super) struct Ports {
    /// The first one.
    pub first: u16,
    _lock: Flock<File>,
}

impl Ports {
    /// A range that no other cluster has and on which no monitor listens any more.
    pub(super) fn take() -> anyhow::Result<Self> {
        (0..CLUSTERS).find_map(Self::try_take).context("all ranges of ports are taken")
    }

    fn try_take(number: u16) -> Option<Self> {
        let path = std::env::temp_dir().join(format!("hostler-ceph-ports.{number}"));
        let file = File::options().create(true).write(true).truncate(false).open(path).ok()?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()?;
        let first = FIRST + number * RANGE;
        // The guard of a cluster that was killed may still be at work.
        let free = (first..first + 10).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
        free.then_some(Self { first, _lock: lock })
    }
}
