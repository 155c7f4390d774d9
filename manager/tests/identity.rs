//! The identity dialect over a real store: what clients send and what they get, without a network.

// The lint's exception for tests does not reach the functions that tests share.
#![allow(clippy::unwrap_used)]

#[path = "identity/access.rs"]
mod access;
#[path = "identity/audit.rs"]
mod audit;
#[path = "identity/credentials.rs"]
mod credentials;
#[path = "identity/input.rs"]
mod input;
#[path = "identity/lab.rs"]
mod lab;
#[path = "identity/people.rs"]
mod people;
#[path = "identity/strategies.rs"]
mod strategies;
#[path = "support/manager.rs"]
mod support;
#[path = "identity/tokens.rs"]
mod tokens;
