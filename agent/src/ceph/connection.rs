//! A way to a cluster on a thread of its own, so that a cluster that hangs holds up nobody (spec/hooks.md §13.11).

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{CephClient, Error};

/// How long an answer is waited for. The ways themselves give up earlier; this is for a library that does not come back.
const LIMIT: Duration = Duration::from_secs(15);
/// Questions that may wait behind one that is open. More are not needed: who asks waits for the answer.
const WAITING: usize = 4;

type Work = Box<dyn FnOnce(&mut dyn CephClient) + Send>;

/// A way to a cluster on a thread of its own. The thread ends with the value, or when the call that it hangs in returns.
#[derive(Debug)]
pub struct Connection {
    queue: SyncSender<Work>,
    limit: Duration,
}

impl Connection {
    /// Starts the thread, on which `make` finds the way.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn open(make: impl FnOnce() -> Box<dyn CephClient> + Send + 'static) -> io::Result<Self> {
        let (queue, orders) = sync_channel::<Work>(WAITING);
        thread::Builder::new().name("ceph".into()).spawn(move || {
            let mut client = make();
            for work in orders {
                work(client.as_mut());
            }
        })?;
        Ok(Self { queue, limit: LIMIT })
    }

    /// Does something with the way, on its thread.
    ///
    /// # Errors
    /// [`Error::Unknown`] if that takes too long, or what was asked before still hangs.
    pub async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn CephClient) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |client| {
            // Nobody waits any more where it took too long.
            answer.send(work(client)).ok();
        });
        self.queue.try_send(work).map_err(|_| Error::Unknown("an earlier question has no answer yet".into()))?;
        match tokio::time::timeout(self.limit, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::Unknown("the thread of the connection ended".into())),
            Err(_) => Err(Error::Unknown(format!("no answer within {} s", self.limit.as_secs()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::ceph::Reply;

    struct Hangs;

    impl CephClient for Hangs {
        fn send(&mut self, command: &Value, _: &[u8]) -> Result<Reply, Error> {
            if command["prefix"] == "hang" {
                thread::sleep(Duration::from_secs(3600));
            }
            Ok(Reply { output: b"\n{\"a\":1}\n".to_vec(), status: String::new() })
        }
    }

    #[tokio::test]
    async fn one_that_hangs_is_unknown_and_holds_up_nobody() {
        let mut connection = Connection::open(|| Box::new(Hangs)).unwrap();
        let answer = connection.with(|client| client.ask(&json!({"prefix": "x"}))).await;
        assert_eq!(answer, Ok::<Value, Error>(json!({"a": 1})));
        connection.limit = Duration::from_millis(20);
        for _ in 0..10 {
            let answer = connection.with(|client| client.ask(&json!({"prefix": "hang"}))).await;
            assert!(answer.unwrap_err().is_unknown());
        }
    }
}
