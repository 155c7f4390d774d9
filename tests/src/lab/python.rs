//! Where the stock clients are, and what becomes of tests that lack them. Nothing else of the lab is needed here, so that
//! test programs of other crates can use it, too.

use std::path::{Path, PathBuf};

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
