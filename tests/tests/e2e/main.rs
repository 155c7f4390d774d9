//! End to end: the real binaries, real mutual TLS, the stock clients.

mod clients;
mod enrolment;
mod faults;
mod up;
