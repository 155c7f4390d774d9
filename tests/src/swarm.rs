//! A swarm: many agents in one process, each with its own certificate and its own link, for load and memory measurements.
//!
//! The agents are real where the manager can tell: enrolment, mutual TLS, the link with its heartbeats and renewals, and
//! the runner are the agent's own code. Two things are not: the journal is in memory, and the program of a job is a
//! document that is there already, because a thousand probes and a thousand disks would measure this machine and not the
//! manager.

pub mod agent;
pub mod crew;
pub mod document;
pub mod fill;
pub mod report;
pub mod rest;
pub mod rounds;
pub mod scripts;
pub mod sessions;
pub mod usage;
