//! What the tests share: the simulation of a whole fleet, and the lab that starts the real binaries.

pub mod both;
pub mod lab;
pub mod postgres;
pub mod sim;
