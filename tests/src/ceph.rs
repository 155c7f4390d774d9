//! A real Ceph cluster for tests: monitors, manager, OSDs and metadata servers of the Debian packages, as processes of this
//! machine, in a folder and on ports of their own, so that any number of clusters run side by side. Nothing of `/etc/ceph`
//! and `/var/lib/ceph` is read or written.
//!
//! A cluster is healthy some five seconds after its start. Its daemons run in the foreground, each in a process group of its
//! own; they are given back with the cluster, also when the test process dies ([`crate::ward`]). All of this blocks.
//!
//! Traps: an OSD that keeps its data in memory comes back empty after [`Cluster::kill`] and is filled again by the others;
//! `ceph osd stop` cannot be undone, so use [`Cluster::stop`]; never set the machine's clock beside a cluster.

pub(crate) mod client;
mod cluster;
mod configuration;
mod daemons;
mod images;
mod ports;

use std::net::Ipv4Addr;

pub use cluster::Cluster;
pub(crate) use configuration::COMMON;

use crate::means::{self, Need};
use crate::namespace::Namespace;

/// What the OSDs keep their data in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Memory: fastest, but a killed OSD comes back empty.
    #[default]
    Memory,
    /// `BlueStore` on a sparse file of 1 GiB.
    File,
}

/// What a cluster is like.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many monitors, named `a`, `b`, `c`, ...: 1 to 5.
    pub mons: u32,
    /// How many managers, named `x`, `y`, `z`: 1 to 3.
    pub mgrs: u32,
    /// How many OSDs: each is on a CRUSH host of its own, `host1` for OSD 0.
    pub osds: u32,
    /// How many metadata servers, named `a`, `b`, ...; with any, there is a file system `cephfs`.
    pub mds: u32,
    /// What the OSDs keep their data in.
    pub keep: Keep,
    /// Where the daemons run and on what address: the machine's loopback if not given. Clients run there too.
    pub place: Option<(Namespace, Ipv4Addr)>,
    /// More lines of `[global]`; the last setting of a name counts.
    pub settings: String,
    /// Whether daemons say that they run on hosts of their own: the first of each kind on `host1`, the second on `host2`. Wants
    /// root. [`Cluster::on_host`] is a command that thinks so, too.
    pub named: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mons: 1,
            mgrs: 1,
            osds: 3,
            mds: 0,
            keep: Keep::Memory,
            place: None,
            settings: String::new(),
            named: false,
        }
    }
}

/// Whether a cluster can be started on this machine; if not, that is said, or a failure (see [`means`]).
#[must_use]
pub fn possible() -> bool {
    let needs = [
        Need::Program("ceph", "ceph-common"),
        Need::Program("ceph-mon", "ceph-mon"),
        Need::Program("ceph-mgr", "ceph-mgr"),
        Need::Program("ceph-osd", "ceph-osd"),
        Need::Program("ceph-mds", "ceph-mds"),
    ];
    means::has("a Ceph cluster", &needs)
}
