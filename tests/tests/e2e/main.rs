//! End to end: the real binaries, real mutual TLS, the stock clients.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a test measured is shown when it fails")]

mod acceptance;
mod cli;
mod clients;
mod enrolment;
mod faults;
mod fleet;
mod hooks;
mod hooks_lab;
mod maintenance;
mod maintenance_cli;
mod maintenance_plan;
mod pki;
mod scripts;
mod site;
mod steps;
mod up;
