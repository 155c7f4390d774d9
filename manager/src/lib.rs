//! The manager of Hostler: serves the REST dialects, keeps the state of the fleet and schedules its work (design §2).

pub mod api;
pub mod assemble;
pub mod capability;
pub mod config;
pub mod download;
pub mod engine;
pub mod fleet;
pub mod gate;
pub mod hooks;
pub mod identity;
pub mod metrics;
pub mod startup;
pub mod store;
pub mod webhook;
