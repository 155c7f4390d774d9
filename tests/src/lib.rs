//! What the tests share: the simulation of a whole fleet, the lab that starts the real binaries, and the load tool with its
//! thousands of agents; and laboratories: real Ceph clusters and hosts with a real systemd.

pub mod both;
pub mod ceph;
pub mod dhcp;
pub mod disk;
pub mod hosts;
pub mod lab;
pub mod means;
pub mod mounted;
pub mod namespace;
pub mod postgres;
pub mod shell;
pub mod sim;
pub mod swarm;
pub mod ward;
