//! Hosts with a real systemd as their first process, on a network of their own: machines of a fleet, as far as containers of
//! systemd-nspawn can be machines.
//!
//! A [`Lab`] is a switch (a bridge in a network namespace), a namespace for the manager and the test's own programs at
//! [`MANAGER`], and any number of [`Host`]s. Nothing of it is connected to the machine's own network; tests reach into it by
//! [`crate::namespace::Namespace::reach`]. Everything is given back with the lab, also when the test process dies
//! ([`crate::ward`]). All of this blocks, so asynchronous tests want more than one thread.
//!
//! What is different from a machine: the kernel, its clock and its block devices are shared. So hosts are entered in two
//! ways only, both of which take away what could change the machine ([`Host::exec`], [`Host::exec_unit`]), and there is no
//! own clock, no udev, no kernel log. `/proc` and `/sys` tell of the whole machine, except for networks.

mod agent;
mod archive;
mod base;
mod boot;
mod ceph;
mod enter;
mod fault;
mod groups;
mod host;
mod lab;
mod storage;

pub use groups::own as own_groups;
pub use host::{File, Host, Options};
pub use lab::{Lab, MANAGER};
pub use storage::{Sight, Storage, Writer, Written};

use crate::means::{self, Need};

/// Whether hosts can be booted on this machine; if not, that is said, or a failure (see [`means`]).
#[must_use]
pub fn possible() -> bool {
    let needs = [
        Need::Root,
        Need::Program("systemd-nspawn", "systemd-container"),
        Need::Program("mmdebstrap", "mmdebstrap"),
        Need::Program("ip", "iproute2"),
        Need::Program("nsenter", "util-linux"),
        Need::Program("setpriv", "util-linux"),
        Need::Filesystem("overlay"),
        Need::Networks,
        Need::Groups,
    ];
    means::has("hosts with systemd", &needs)
}
