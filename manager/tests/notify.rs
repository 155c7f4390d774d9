//! Who is told of maintenance, and how it arrives: whole sessions with receivers over HTTP and followers of the stream
//! (spec/maintenance.md §4; §9, 6, 15 and 16).
// Helpers outside of test functions are tests all the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "notify/deliver.rs"]
mod deliver;
#[path = "notify/follow.rs"]
mod follow;
#[path = "notify/manage.rs"]
mod manage;
#[path = "../../tests/src/lab/python.rs"]
#[allow(clippy::print_stdout, reason = "a test that does not run says so")]
mod python;
#[path = "events/receiver.rs"]
mod receiver;
#[path = "maintenance/site.rs"]
#[allow(dead_code, reason = "the tests of the dialect use all of it")]
mod site;
#[path = "notify/stage.rs"]
mod stage;
#[path = "support/manager.rs"]
mod support;
#[path = "notify/tacker.rs"]
mod tacker;
#[path = "notify/vnfm.rs"]
mod vnfm;

/// What the receiver knows of its surroundings.
mod lab {
    /// Longer than anything here takes, shorter than anybody's patience.
    pub const LONG: std::time::Duration = std::time::Duration::from_secs(60);
}
