//! The REST interfaces: one folder per dialect, each with its own error shape and quirks and nothing else (design §8).
//!
//! A dialect turns a request into a command or a query of the layers below and renders the answer.

mod answer;
pub mod audit;
pub mod auth;
mod bounded;
pub mod certificate;
pub mod croit;
pub mod follow;
pub mod identity;
pub mod introspection;
mod json;
mod links;
pub mod maintenance;
pub mod native;
pub mod origin;
pub mod peer;
mod replay;
pub mod request_id;
pub mod server;
mod url;

use std::sync::Arc;

use crate::config::Config;
use crate::engine::Engine;
use crate::fleet::Fleet;
use crate::hooks::Hooks;
use crate::identity::Identity;

/// What every handler works with. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    /// Runs machines, has the store and the clock.
    pub engine: Engine,
    /// Knows who is who.
    pub identity: Identity,
    /// Enrols hosts and holds the links to their agents.
    pub fleet: Fleet,
    /// Manages scripts, hooks and secrets.
    pub hooks: Hooks,
    /// The settings of the installation.
    pub config: Arc<Config>,
}
