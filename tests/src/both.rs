//! One test, both engines: [`on_both!`](crate::on_both) makes two tests of one function, which gets an empty [`Bed`].

use std::path::PathBuf;

use hostler_manager::store::{Connection, Options, Store};
use sqlx::Connection as _;

/// An engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The embedded one.
    Sqlite,
    /// The server.
    Postgres,
}

/// An empty database.
#[derive(Debug)]
pub struct Bed {
    /// Of which engine.
    pub kind: Kind,
    /// Where it is.
    pub options: Options,
    dir: tempfile::TempDir,
}

impl Bed {
    /// An empty database; `None` if the engine is not on this machine.
    ///
    /// # Errors
    /// It cannot be made.
    pub async fn new(kind: Kind) -> anyhow::Result<Option<Self>> {
        let dir = tempfile::tempdir()?;
        let options = match kind {
            Kind::Sqlite => Options::Sqlite(dir.path().join("manager.db")),
            Kind::Postgres => match crate::postgres::fresh_database().await? {
                Some(url) => Options::Postgres(url),
                None => return Ok(None),
            },
        };
        Ok(Some(Self { kind, options, dir }))
    }

    /// Opens the store; each call opens it once more.
    ///
    /// # Errors
    /// See [`hostler_manager::store::Error`].
    pub async fn open(&self) -> hostler_manager::store::Result<Store> {
        Store::open(&self.options).await
    }

    /// A connection of its own that may write: what another program on the same database would have.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn raw(&self) -> anyhow::Result<Connection> {
        sqlx::any::install_default_drivers();
        let url = match &self.options {
            Options::Sqlite(path) => format!("sqlite://{}?mode=rwc", path.display()),
            Options::Postgres(url) => url.clone(),
        };
        Ok(Connection::connect(&url).await?)
    }

    /// A path in the folder of this test.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Makes of each named `async fn name(bed: Bed)` the tests `on_sqlite::name` and `on_postgres::name`.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(bed) = $crate::both::Bed::new($crate::both::Kind::Sqlite).await.unwrap() {
                    super::$name(bed).await;
                }
            })*
        }

        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(bed) = $crate::both::Bed::new($crate::both::Kind::Postgres).await.unwrap() {
                    super::$name(bed).await;
                }
            })*
        }
    };
}

/// Runs `$body` with `$tx` in one transaction of `$store`; gives what the commit gives. What the body names is moved in.
#[macro_export]
macro_rules! commit {
    ($store:expr, $tx:ident => $body:expr) => {
        $store.write(move |$tx| Box::pin(async move { $body })).await
    };
}
