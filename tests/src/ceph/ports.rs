//! Ports for a cluster: each cluster of the machine has two hundred of its own.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use anyhow::Context as _;

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
    /// Whoever has the name has the range. It is no file, so it goes with the process.
    _name: UnixListener,
}

impl Ports {
    /// A range that no other cluster has and on which no monitor listens any more.
    pub(super) fn take() -> anyhow::Result<Self> {
        (0..CLUSTERS).find_map(Self::try_take).context("all ranges of ports are taken")
    }

    fn try_take(number: u16) -> Option<Self> {
        let name = SocketAddr::from_abstract_name(format!("hostler-ceph-ports.{number}")).ok()?;
        let name = UnixListener::bind_addr(&name).ok()?;
        let first = FIRST + number * RANGE;
        // The guard of a cluster that was killed may still be at work.
        let free = (first..first + 10).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
        free.then_some(Self { first, _name: name })
    }
}
