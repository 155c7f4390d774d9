//! The rules of the product: what may happen to a thing and what follows from it.
//!
//! Everything here is a function of its arguments. No I/O, no clock, no randomness, no async runtime: the engine of the
//! manager hands in the time, the identifiers and the facts, and carries out what is decided, after it is committed
//! (design §3).

pub mod cloudevent;
pub mod cluster;
pub mod event;
pub mod hook;
pub mod introspection;
pub mod machine;
pub mod maintenance;
pub mod operation;
pub mod outage;
pub mod policy;
pub mod refresh;
pub mod run;
pub mod webhook;
