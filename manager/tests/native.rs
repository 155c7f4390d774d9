//! The native API and the server around it from outside: by function call, and over sockets.
// Helpers outside of test functions are tests all the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "native/app.rs"]
mod app;
#[path = "native/bad_input.rs"]
mod bad_input;
#[path = "native/hosts.rs"]
mod hosts;
#[path = "native/inventories.rs"]
mod inventories;
#[path = "native/join_tokens.rs"]
mod join_tokens;
#[path = "native/refreshes.rs"]
mod refreshes;
#[path = "native/rights.rs"]
mod rights;
#[path = "native/rules.rs"]
mod rules;
#[path = "native/service.rs"]
mod service;
#[path = "native/sockets.rs"]
mod sockets;
#[path = "support/manager.rs"]
mod support;
#[path = "native/tasks.rs"]
mod tasks;
