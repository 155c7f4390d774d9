//! Sessions of maintenance, whole: hosts without instances, instances that move, failures, ends, crashes.

mod crash;
mod crew;
mod moves;
mod storage;
mod whole;
