//! The durable state of the manager: one module per noun, the same SQL text for SQLite and PostgreSQL (design §7).
//!
//! The functions of the modules take a connection: one from [`Store::read`], or the one that [`Store::write`] hands to the
//! work of a transaction. The store knows neither HTTP nor the network to the hosts.

pub mod api_token;
pub mod audit;
pub mod callback_token;
pub mod cause;
pub mod cluster;
mod dialect;
pub mod drift;
pub mod event;
pub mod held;
pub mod hook;
pub mod host;
pub mod idempotency;
pub mod identity;
pub mod introspection;
pub mod inventory;
pub mod job;
pub mod join_token;
pub mod lookup;
pub mod machine;
pub mod maintenance;
pub mod rule;
pub mod script;
pub mod secret;
pub mod section;
pub mod target;
pub mod task;
mod tx;
pub mod webhook;
mod writer;

pub use tx::{Connection, Error, Gate, Options, Result, Store};
