//! The vocabulary that the manager and the agent share: identifiers, time, jobs, sections of an inventory, errors.
//!
//! Nothing here performs I/O or knows an async runtime; the one door to the system clock is [`time::SystemClock`].

pub mod cluster;
pub mod error;
pub mod hook;
pub mod id;
pub mod inventory;
pub mod job;
pub mod join;
pub mod link;
pub mod script;
pub mod step;
pub mod text;
pub mod time;
