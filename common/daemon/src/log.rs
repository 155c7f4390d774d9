//! The log of a daemon, on standard error (design §9).

use anyhow::Context as _;
use serde::Deserialize;
use tracing_subscriber::{EnvFilter, fmt};

use crate::settings::Wrong;

/// Logging, to standard error.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// What is logged: a level, or directives such as `info,hostler_manager::fleet=debug`.
    pub filter: String,
    /// Whether a line is one JSON object.
    pub json: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".into(), json: false }
    }
}

impl Log {
    /// Checks the section, which is `log` in the settings of every daemon.
    ///
    /// # Errors
    /// The filter is none.
    pub fn check(&self) -> Result<(), Wrong> {
        EnvFilter::try_new(&self.filter).map(drop).map_err(|error| {
            Wrong::new(
                "log.filter",
                format!("must be a level (error, warn, info, debug, trace) or directives: {error}"),
            )
        })
    }

    /// Sends what is logged from now on to standard error. Once in the life of a process.
    ///
    /// # Errors
    /// The filter is none.
    pub fn start(&self) -> anyhow::Result<()> {
        let filter = EnvFilter::try_new(&self.filter).context("log.filter")?;
        let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
        if self.json {
            builder.json().init();
        } else {
            builder.with_ansi(false).init();
        }
        Ok(())
    }
}
