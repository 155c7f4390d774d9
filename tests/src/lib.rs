//! What the tests share: the simulation of a whole fleet, the lab that starts the real binaries, and the load tool with its
//! thousands of agents.

pub mod both;
pub mod lab;
pub mod postgres;
pub mod sim;
pub mod swarm;
