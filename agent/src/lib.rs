//! The agent of a host. This page grows with the daemon; the modules below stand on their own.

pub mod lldp;
pub mod probes;
pub mod sys;
