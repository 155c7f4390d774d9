//! Introspection of hosts: what is done with the facts that an agent reports (spec/introspection.md §3, §4, §6.4).
//!
//! [`process::process`] is the way in: it runs the processing hooks and the rules over a raw document. Nothing here
//! stores or sends anything; the caller commits what comes out.

pub mod diff;
pub mod document;
pub mod hooks;
pub mod lldp;
pub mod node;
pub mod process;
pub mod rules;
