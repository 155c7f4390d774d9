//! A throw-away PostgreSQL server: one for a test process, with a fresh database for each test.
//!
//! The server listens on a Unix socket in a private folder and on nothing else, so it needs no free port and nobody else
//! on the machine reaches it. A guard process holds it: when the test process ends in whatever way, also by SIGKILL, the
//! guard's standard input ends, and it stops the server and removes the folder.
//!
//! The cluster sorts texts by the rules of a language (ICU) where PostgreSQL can, because installations do: a query that
//! relies on the order of bytes fails here and not at an operator's site.

mod cluster;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use sqlx::{Connection as _, Executor as _};

use cluster::Cluster;

static CLUSTER: OnceLock<Result<Option<Cluster>, String>> = OnceLock::new();

/// The URL of a new, empty database; `None` if PostgreSQL is not installed, which is an error where `CI=true`.
///
/// # Errors
/// The server cannot be started, or the database cannot be made.
pub async fn fresh_database() -> anyhow::Result<Option<String>> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let started = CLUSTER.get_or_init(|| Cluster::start().map_err(|error| format!("{error:#}")));
    let Some(cluster) = started.as_ref().map_err(|error| anyhow::anyhow!("PostgreSQL: {error}"))? else {
        if std::env::var("CI").is_ok_and(|value| value == "true") {
            anyhow::bail!("PostgreSQL is not installed, and CI=true: install the package postgresql");
        }
        announce("SKIPPED: PostgreSQL is not installed (package postgresql), nothing is tested on it");
        return Ok(None);
    };
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::SeqCst));
    let mut admin =
        sqlx::PgConnection::connect(&cluster.url("postgres")).await.context("the server does not answer")?;
    admin.execute(sqlx::AssertSqlSafe(format!("create database {name}"))).await.context("create database")?;
    admin.close().await?;
    Ok(Some(cluster.url(&name)))
}

/// Says something past the capture of the test harness: what was not tested must be seen.
pub fn announce(text: &str) {
    use std::io::Write as _;
    // There is nobody to tell when standard error is closed.
    writeln!(std::io::stderr().lock(), "{text}").ok();
}
