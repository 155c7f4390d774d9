//! The introspection dialect over a real store and engine, in one process and under a clock of its own. Each test is named
//! after its point of the conformance checklist (spec/introspection.md §8).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "tests say what they saw and what they skipped")]

mod callback;
mod conflicts;
mod data;
mod fixture;
mod list;
mod load;
mod rules;
#[path = "../support/manager.rs"]
mod support;
mod transport;
mod versions;
