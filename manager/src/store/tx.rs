//! Opening the store, reading from it and writing to it in transactions.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use hostler_common::error::Class;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyPool, Connection as _, Executor as _};

use super::writer::Writer;
use crate::metrics::hot::COUNTERS;

/// A connection, in or outside a transaction.
pub type Connection = sqlx::AnyConnection;

/// The result of everything that touches the store.
pub type Result<T> = std::result::Result<T, Error>;

/// How long a writer waits for another process that holds SQLite's write lock.
const BUSY_TIMEOUT_MS: u32 = 5000;

/// Why something could not be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The store does not answer, is full, or lost the connection: nothing was changed, the same may succeed later.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// Another manager changed the same thing in the meantime: nothing was changed, try again.
    #[error("changed by somebody else meanwhile")]
    Moved,
    /// A unique name or id is taken: nothing was changed.
    #[error("exists already: {0}")]
    Exists(String),
    /// A broken invariant: a row that cannot be read, a statement that is wrong.
    #[error("the store is broken: {0}")]
    Broken(String),
    /// The work of the transaction itself says no; everything it wrote is taken back.
    #[error("{1}")]
    Refused(Class, String),
}

impl Error {
    /// The class of the failure.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Unavailable(_) => Class::Unavailable,
            Self::Moved | Self::Exists(_) => Class::Conflict,
            Self::Broken(_) => Class::Internal,
            Self::Refused(class, _) => *class,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) if database.is_unique_violation() => {
                Self::Exists(database.message().to_owned())
            }
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                if is_passing(&code) { Self::Unavailable(error.to_string()) } else { Self::Broken(error.to_string()) }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error.to_string()),
            _ => Self::Broken(error.to_string()),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Broken(format!("a stored document cannot be read: {error}"))
    }
}

/// Whether an engine's code says that the same may succeed later. SQLite: busy 5, locked 6, I/O 10, full 13, cannot open
/// 14, read-only 8 (with their extended codes, whose low byte they are). PostgreSQL: classes 08 connection, 40 rollback, 53
/// resources, 57 intervention, 58 system.
fn is_passing(code: &str) -> bool {
    if code.len() == 5 {
        return matches!(&code[..2], "08" | "40" | "53" | "57" | "58");
    }
    code.parse::<u32>().is_ok_and(|number| matches!(number & 0xff, 5 | 6 | 8 | 10 | 13 | 14))
}

/// Where the store is.
#[derive(Clone, Debug)]
pub enum Options {
    /// A SQLite file that is made if it is not there.
    Sqlite(PathBuf),
    /// A PostgreSQL database: `postgres://…`.
    Postgres(String),
}

/// Is asked before each transaction; an error keeps it from beginning. With it, simulations stop a manager between any two
/// transactions, as a crash would.
pub trait Gate: Send + Sync {
    /// Whether the next transaction may begin.
    ///
    /// # Errors
    /// It may not; whoever wanted it gets this error.
    fn pass(&self) -> Result<()>;
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    readers: AnyPool,
    writes: Writes,
    gate: Option<Arc<dyn Gate>>,
}

#[derive(Clone, Debug)]
enum Writes {
    /// One task that groups the transactions of everybody into one commit.
    Grouped(Writer),
    /// Every transaction on a connection of its own.
    Pooled,
}

impl Store {
    /// Opens the store and brings its schema up to date.
    ///
    /// # Errors
    /// The database cannot be opened, or a migration failed.
    pub async fn open(options: &Options) -> Result<Self> {
        sqlx::any::install_default_drivers();
        match options {
            Options::Sqlite(path) => Self::open_sqlite(path).await,
            Options::Postgres(url) => Self::open_postgres(url).await,
        }
    }

    async fn open_sqlite(path: &std::path::Path) -> Result<Self> {
        let url = format!("sqlite://{}?mode=rwc", path.display());
        let mut first = Connection::connect(&url).await?;
        first.execute("pragma journal_mode = wal").await?;
        prepare_sqlite(&mut first).await?;
        migrate(&mut first).await?;
        let options = AnyConnectOptions::from_str(&url)?;
        let readers = AnyPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(10))
            .after_connect(|connection, _| Box::pin(prepare_reader(connection)))
            .connect_with(options)
            .await?;
        let writer = Writer::start(url, first);
        Ok(Self { readers, writes: Writes::Grouped(writer), gate: None })
    }

    async fn open_postgres(url: &str) -> Result<Self> {
        let options = AnyConnectOptions::from_str(url)?;
        let readers = AnyPoolOptions::new()
            .max_connections(12)
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(options)
            .await?;
        let mut first = readers.acquire().await?;
        migrate(&mut first).await?;
        drop(first);
        Ok(Self { readers, writes: Writes::Pooled, gate: None })
    }

    /// The same store, with `gate` before each transaction.
    #[must_use]
    pub fn gated(mut self, gate: Arc<dyn Gate>) -> Self {
        self.gate = Some(gate);
        self
    }

    /// A connection to read from.
    ///
    /// # Errors
    /// None becomes free, or the database does not answer.
    pub async fn read(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Any>> {
        Ok(self.readers.acquire().await?)
    }

    /// Runs `work` in a transaction. When this returns `Ok`, what it wrote is durable; when it returns an error, nothing of
    /// it was written.
    ///
    /// # Errors
    /// Those of `work`, and those of the commit.
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Connection) -> BoxFuture<'t, Result<T>> + Send + 'static,
    {
        if let Some(gate) = &self.gate {
            gate.pass()?;
        }
        let begun = std::time::Instant::now();
        let done = match &self.writes {
            Writes::Grouped(writer) => writer.run(work).await,
            Writes::Pooled => self.write_pooled(work).await,
        };
        COUNTERS.transaction(done.is_ok(), begun.elapsed());
        done
    }

    async fn write_pooled<T, F>(&self, work: F) -> Result<T>
    where
        F: for<'t> FnOnce(&'t mut Connection) -> BoxFuture<'t, Result<T>>,
    {
        let mut transaction = self.readers.begin().await?;
        let done = work(&mut transaction).await?;
        transaction.commit().await?;
        Ok(done)
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<()> {
        let mut connection = self.read().await?;
        sqlx::query("select 1").execute(&mut *connection).await?;
        Ok(())
    }

    /// Writes a consistent copy of a SQLite store to `target`, while the store is in use.
    ///
    /// # Errors
    /// The store is not SQLite (PostgreSQL has `pg_dump`), or the file exists or cannot be written.
    pub async fn backup(&self, target: &std::path::Path) -> Result<()> {
        if matches!(self.writes, Writes::Pooled) {
            return Err(Error::Refused(Class::Invalid, "a PostgreSQL store is backed up with pg_dump".into()));
        }
        let mut connection = self.read().await?;
        sqlx::query("vacuum into $1").bind(target.display().to_string()).execute(&mut *connection).await?;
        Ok(())
    }
}

/// What every connection to SQLite needs: commits that survive a power cut, enforced references, patience.
pub(super) async fn prepare_sqlite(connection: &mut Connection) -> Result<()> {
    let pragmas =
        format!("pragma synchronous = full; pragma foreign_keys = on; pragma busy_timeout = {BUSY_TIMEOUT_MS}");
    connection.execute(sqlx::AssertSqlSafe(pragmas)).await?;
    Ok(())
}

async fn prepare_reader(connection: &mut Connection) -> std::result::Result<(), sqlx::Error> {
    connection.execute("pragma query_only = on; pragma busy_timeout = 5000; pragma cache_size = -4000").await?;
    Ok(())
}

async fn migrate(connection: &mut Connection) -> Result<()> {
    sqlx::migrate!("./migrations")
        .run_direct(None, connection, false)
        .await
        .map_err(|error| Error::Broken(format!("the schema cannot be brought up to date: {error}")))
}

/// The next number of a counter; gapless in the order of commits.
pub(super) async fn next_number(connection: &mut Connection, counter: &'static str) -> Result<i64> {
    let row: (i64,) = sqlx::query_as("update counter set value = value + 1 where name = $1 returning value")
        .bind(counter)
        .fetch_one(connection)
        .await?;
    Ok(row.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passing_failures_are_told_from_broken_statements() {
        for passing in ["5", "261", "13", "10", "778", "40001", "08006", "53100"] {
            assert!(is_passing(passing), "{passing}");
        }
        for lasting in ["1", "19", "42601", "23505", ""] {
            assert!(!is_passing(lasting), "{lasting}");
        }
    }
}
