//! The agent of Hostler: runs what the manager orders on one host, within what the host allows (design §6).

pub mod artifacts;
mod attempts;
pub mod backoff;
pub mod boot;
pub mod bus;
pub mod ceph;
pub mod config;
pub mod daemon;
pub mod dial;
pub mod downloads;
pub mod hooks;
pub mod identity;
pub mod join;
pub mod journal;
pub mod link;
pub mod lldp;
pub mod load;
pub mod operator;
pub mod ours;
pub mod probes;
pub mod process;
pub mod runner;
pub mod script;
pub mod shared_identity;
pub mod steps;
pub mod sys;
pub mod watch;

pub use hostler_daemon::files;
