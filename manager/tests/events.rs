//! Events from outside: streams that are resumed, webhooks and their receivers, over real sockets, also across the death
//! of the manager.
// Helpers outside of test functions are tests all the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "events/delivery.rs"]
mod delivery;
#[path = "events/failures.rs"]
mod failures;
#[path = "events/lab.rs"]
mod lab;
#[path = "events/manage.rs"]
mod manage;
#[path = "events/receiver.rs"]
mod receiver;
#[path = "events/streams.rs"]
mod streams;
