//! Introspection: the machine that runs it, and the processing of what probes found (spec/introspection.md).
//!
//! [`decide::Introspection`] says what happens when; [`process::process`] runs the processing hooks and the rules over a
//! raw document. Nothing here stores or sends anything; the caller commits what comes out.

pub mod command;
pub mod decide;
pub mod diff;
pub mod document;
pub mod facts;
pub mod hooks;
pub mod lldp;
pub mod lookup;
pub mod merge;
pub mod node;
pub mod process;
pub mod report;
pub mod rules;
pub mod state;
pub mod summary;

pub use decide::Introspection;
