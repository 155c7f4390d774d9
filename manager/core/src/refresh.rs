//! Refreshes: inventories are read again without anybody asking (spec/introspection.md §6.1, §6.4).
//!
//! One machine per host, [`Refresh`], from the host's first day to its last. It knows which groups of sections are due
//! when ([`schedule`]), orders one probe for all that are due, and puts what comes back into the newest inventory. It
//! never touches the record of introspections, which API users look at, and gives way to any introspection of its host.

pub mod age;
pub mod command;
pub mod decide;
pub mod schedule;

pub use decide::Refresh;
