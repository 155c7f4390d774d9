//! Sessions of maintenance over a simulated fleet: hosts that boot, lose power and carry Ceph, projects that are silent, refuse
//! and repeat themselves, operators who pause, continue, skip and delete, and everything of [`super`] besides.

mod check;
mod people;
mod site;
mod tally;
mod world;

pub use site::{FSID, Site};
pub use tally::Tally;
pub use world::run_session_schedule;
