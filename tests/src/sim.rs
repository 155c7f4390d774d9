//! A manager and its agents in one process, with time, crashes and the network in the hands of a seed.
//!
//! The manager is the real engine, store and desk; the agents are the real runner over a journal in memory. Everything
//! happens one after another on one thread, so a seed replays exactly: `HOSTLER_SIM_SEED=7 tests/run simulation`.

mod agent;
mod check;
mod clock;
mod maintenance;
mod manager;
mod random;
mod wire;
mod world;

pub use maintenance::{FSID, Site, Tally, run_session_schedule};
pub use random::Random;
pub use world::{Summary, run_schedule};
