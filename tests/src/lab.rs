//! The lab: real managers and real agents on this machine, each in a folder of its own, on free ports.
//!
//! Everything that is started is ended when its handle is dropped, by its own process number; logs are shown when a test
//! fails.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "the lab is part of tests: it fails and speaks as they do"
)]

mod agent;
mod manager;
mod process;
mod python;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

pub use agent::{Agent, join};
pub use manager::{Answer, Manager, Options, Place};
pub use process::Daemon;
pub use python::{python, skip};

/// The binary of that name, built before the tests (tests/run does).
///
/// # Panics
/// It is not there.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let found = test.ancestors().skip(1).take(3).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built; run tests/run, or cargo build --workspace --bins"))
}

/// Asks `what` until it says yes.
///
/// # Errors
/// It did not within `limit`.
pub async fn until<F>(limit: Duration, what: &str, mut done: impl FnMut() -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<bool>>,
{
    let began = Instant::now();
    loop {
        if done().await.with_context(|| what.to_owned())? {
            return Ok(());
        }
        if began.elapsed() > limit {
            bail!("not within {limit:?}: {what}");
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
