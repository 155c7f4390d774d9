//! What the tests share: the simulation of a whole fleet, and the harness that starts real binaries.

pub mod both;
pub mod postgres;
pub mod sim;
