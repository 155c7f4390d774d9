//! What the tests share: the simulation of a whole fleet, and the load tool with its thousands of agents.

pub mod sim;
pub mod swarm;
