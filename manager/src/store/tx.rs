//! Opening the store, reading from it and writing to it in transactions.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use hostler_common::error::Class;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AnyPool, Connection as _, Executor as _};

use super::cause::{self, Cause};
use super::dialect;
use super::writer::Writer;
use crate::metrics::hot::COUNTERS;

/// A connection, in or outside a transaction.
pub type Connection = sqlx::AnyConnection;

/// The result of everything that touches the store.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something could not be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The store does not answer, is full, or lost the connection: nothing was changed, the same may succeed later.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// Another manager changed the same thing in the meantime, or was in the way: nothing was changed, try again.
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

    /// The same error, with what it is about in its text.
    fn about(self, what: &str) -> Self {
        match self {
            Self::Unavailable(text) => Self::Unavailable(format!("{what}: {text}")),
            Self::Broken(text) => Self::Broken(format!("{what}: {text}")),
            other @ (Self::Moved | Self::Exists(_) | Self::Refused(..)) => other,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => dialect::meaning(&**database),
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

/// Where the store is.
#[derive(Clone, Debug)]
pub enum Options {
    /// A SQLite file that is made if it is not there.
    Sqlite(PathBuf),
    /// A PostgreSQL database: `postgres://…`.
    Postgres(String),
}

impl Options {
    /// Whether the place can be understood; nothing is opened.
    ///
    /// # Errors
    /// What is wrong, without the URL: there may be a password in it.
    pub fn check(&self) -> std::result::Result<(), String> {
        let Self::Postgres(url) = self else { return Ok(()) };
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err("must begin with postgres://; leave it out for SQLite".into());
        }
        let form = "must be postgres://USER:PASSWORD@HOST:PORT/DATABASE, special characters percent-encoded";
        PgConnectOptions::from_str(url).map(|_| ()).map_err(|_| form.into())
    }
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
        let url = dialect::sqlite_url(path)?;
        let open = async {
            let mut first = Connection::connect(&url).await?;
            dialect::prepare_sqlite(&mut first).await?;
            dialect::journal_sqlite(&mut first, path).await?;
            dialect::migrate_sqlite(&mut first).await?;
            let readers = AnyPoolOptions::new()
                .max_connections(4)
                .acquire_timeout(Duration::from_secs(10))
                .after_connect(|connection, _| Box::pin(dialect::prepare_sqlite_reader(connection)))
                .connect_with(AnyConnectOptions::from_str(&url)?)
                .await?;
            Ok((first, readers))
        };
        let (first, readers) = open.await.map_err(|error: Error| error.about(&path.display().to_string()))?;
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
        dialect::migrate(&mut first).await?;
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
        let work = caused(cause::current(), work);
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
        // An empty file is what SQLite also writes to; made here, it is the owner's alone: there are password hashes in it.
        let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(target);
        made.map_err(|error| Error::Refused(Class::Invalid, format!("{}: {error}", target.display())))?;
        // It leaves the pool, as no reader may write.
        let mut connection = self.read().await?.detach();
        connection.execute("pragma query_only = off").await?;
        let copy = sqlx::query("vacuum into $1").bind(target.display().to_string()).execute(&mut connection).await;
        if copy.is_err() {
            // Half a copy must not look like one.
            std::fs::remove_file(target).ok();
        }
        copy?;
        Ok(connection.close().await?)
    }
}

/// The same work, done for that cause also on another task.
fn caused<T, F>(
    cause: Option<Cause>,
    work: F,
) -> impl for<'t> FnOnce(&'t mut Connection) -> BoxFuture<'t, Result<T>> + Send + 'static
where
    T: Send + 'static,
    F: for<'t> FnOnce(&'t mut Connection) -> BoxFuture<'t, Result<T>> + Send + 'static,
{
    move |connection: &mut Connection| match cause {
        Some(cause) => Box::pin(cause::within(cause, work(connection))),
        None => work(connection),
    }
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
    fn urls_are_checked_without_being_repeated() {
        let check = |url: &str| Options::Postgres(url.into()).check();
        assert_eq!(check("postgres://u:p%40@db.example:5432/hostler"), Ok(()));
        for bad in ["mysql://u:hunter2@db/x", "postgres://u:hunter2@db:port/x", "postgres://u:hunter2@[::1/x"] {
            let error = check(bad).unwrap_err();
            assert!(error.contains("postgres://") && !error.contains("hunter2"), "{bad}: {error}");
        }
    }
}
