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

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

pub use agent::{Agent, join};
pub use manager::{Answer, Manager, Options, Place};
pub use process::Daemon;

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

/// The stock clients' Python, if the tests were started by tests/run.
///
/// # Panics
/// It is not there and `CI` is `true`.
#[must_use]
pub fn python() -> Option<PathBuf> {
    let venv = std::env::var_os("HOSTLER_TEST_VENV").map(|venv| Path::new(&venv).join("bin/python"));
    let found = venv.filter(|python| python.is_file());
    if found.is_none() {
        skip("the stock clients are not installed (HOSTLER_TEST_VENV)");
    }
    found
}

/// Says loudly that a test does not run; in CI that is a failure.
///
/// # Panics
/// `CI` is `true`.
pub fn skip(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "this test must run in CI: {why}");
    println!("\n!!! SKIPPED: {why}\n");
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
