//! The one writer of a SQLite store: groups whatever transactions are queued into one commit.
//!
//! Each transaction is a savepoint inside the group, so one that fails takes back only its own changes. Nobody is told of
//! success before the group's commit is on the disk. A group whose commit fails (full disk) tells everybody so; nothing of
//! it was written.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use sqlx::{Connection as _, Executor as _};
use tokio::sync::{mpsc, oneshot};

use super::dialect::prepare_sqlite;
use super::tx::{Connection, Error, Result};

/// How many transactions may wait; a further one waits for room.
const QUEUE: usize = 1024;

/// How many transactions share one commit at the most.
const GROUP: usize = 128;

#[derive(Clone, Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Unit>>,
}

impl Writer {
    /// Starts the writer on an open connection; `url` is for opening it anew. It ends when the last handle is dropped.
    pub(super) fn start(url: String, connection: Connection) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(serve(url, Some(connection), waiting));
        Self { queue }
    }

    /// Runs `work` in a transaction and waits until it is durable.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Connection) -> BoxFuture<'t, Result<T>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let unit = Work { work: Some(work), done: None, answer: Some(answer) };
        let gone = || Error::Unavailable("the writer has stopped".into());
        self.queue.send(Box::new(unit)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

/// One queued transaction, whatever it returns.
trait Unit: Send {
    /// Does the work; `false` if its changes must be taken back.
    fn run<'t>(&'t mut self, connection: &'t mut Connection) -> BoxFuture<'t, bool>;
    /// Tells the one who waits, after the commit or its failure.
    fn settle(&mut self, commit: &Result<()>);
}

struct Work<T, F> {
    work: Option<F>,
    done: Option<Result<T>>,
    answer: Option<oneshot::Sender<Result<T>>>,
}

impl<T, F> Unit for Work<T, F>
where
    T: Send + 'static,
    F: for<'t> FnOnce(&'t mut Connection) -> BoxFuture<'t, Result<T>> + Send + 'static,
{
    fn run<'t>(&'t mut self, connection: &'t mut Connection) -> BoxFuture<'t, bool> {
        async move {
            let Some(work) = self.work.take() else { return false };
            // A panic in one transaction must not end the writer of all others.
            let done = AssertUnwindSafe(async { work(connection).await }).catch_unwind().await;
            let done = done.unwrap_or_else(|_| Err(Error::Broken("the work of a transaction panicked".into())));
            let keep = done.is_ok();
            self.done = Some(done);
            keep
        }
        .boxed()
    }

    fn settle(&mut self, commit: &Result<()>) {
        let result = match (self.done.take(), commit) {
            (Some(Ok(_)) | None, Err(error)) => Err(error.clone()),
            (Some(result), _) => result,
            (None, Ok(())) => Err(Error::Broken("a transaction was not run".into())),
        };
        if let Some(answer) = self.answer.take() {
            // Whoever asked may have gone away; what was written stays written.
            let _gone = answer.send(result);
        }
    }
}

async fn serve(url: String, mut connection: Option<Connection>, mut waiting: mpsc::Receiver<Box<dyn Unit>>) {
    let mut group = Vec::with_capacity(GROUP);
    while waiting.recv_many(&mut group, GROUP).await > 0 {
        let commit = match open(&url, connection.take()).await {
            Ok(mut open) => {
                let commit = run_group(&mut open, &mut group).await;
                if commit.is_ok() || open.execute("rollback").await.is_ok() || open.ping().await.is_ok() {
                    connection = Some(open);
                }
                commit
            }
            Err(error) => Err(error),
        };
        for mut unit in group.drain(..) {
            unit.settle(&commit);
        }
    }
}

async fn open(url: &str, connection: Option<Connection>) -> Result<Connection> {
    if let Some(connection) = connection {
        return Ok(connection);
    }
    let mut connection = Connection::connect(url).await?;
    prepare_sqlite(&mut connection).await?;
    Ok(connection)
}

async fn run_group(connection: &mut Connection, group: &mut [Box<dyn Unit>]) -> Result<()> {
    connection.execute("begin immediate").await?;
    let alone = group.len() == 1;
    for unit in group {
        if !alone {
            control(connection, "savepoint unit").await?;
        }
        let keep = unit.run(connection).await;
        match (keep, alone) {
            (true, true) => {}
            (true, false) => control(connection, "release unit").await?,
            (false, true) => return control(connection, "rollback").await,
            (false, false) => control(connection, "rollback to unit; release unit").await?,
        }
    }
    control(connection, "commit").await
}

/// Runs a statement that steers the transaction of a group. Where the disk is full or fails, SQLite ends a transaction by
/// itself and then knows nothing to steer: that is no fault of the statement, and the same may succeed later.
async fn control(connection: &mut Connection, statement: &'static str) -> Result<()> {
    match connection.execute(statement).await.map_err(Error::from) {
        Ok(_) => Ok(()),
        Err(Error::Broken(text)) => Err(Error::Unavailable(format!("a group of transactions was ended: {text}"))),
        Err(error) => Err(error),
    }
}
