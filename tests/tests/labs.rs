//! The laboratories themselves: that clusters, hosts, disks, leases and mounts are real, break as they should, heal, and
//! leave nothing behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this is a test, also outside of its test functions"
)]

#[path = "labs/ceph.rs"]
mod ceph;
#[path = "labs/hosts.rs"]
mod hosts;
#[path = "labs/maintenance.rs"]
mod maintenance;
#[path = "labs/packages.rs"]
mod packages;
#[path = "labs/things.rs"]
mod things;
#[path = "labs/units.rs"]
mod units;
#[path = "labs/ward.rs"]
mod ward;
