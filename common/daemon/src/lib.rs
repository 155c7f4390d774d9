//! What a daemon of Hostler is besides its work: settings, log, signals, systemd, files that are whole or not there,
//! certificates of hosts.
//!
//! The manager and the agent share it; the vocabulary that they share as well is in hostler-common, which does no I/O.

pub mod files;
pub mod log;
pub mod pki;
pub mod process;
pub mod settings;
mod words;
