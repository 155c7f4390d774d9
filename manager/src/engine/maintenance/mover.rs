//! Moves of instances: what the engine must know of them, and how their orders reach the compute side.

use std::time::Duration;

use futures::future::BoxFuture;
use hostler_core::machine::Input;
use hostler_core::maintenance::movement::{End, Move, Word, Write};
use hostler_core::maintenance::word::MOVE;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::super::run::{Domain, Happening, apply_kind};
use super::super::{Engine, Turn};
use crate::store::maintenance::{Order, OrderState, order_abort, order_begun, order_end, order_open, order_put};
use crate::store::{Connection, Error, Result};

/// How many orders are looked at in one go.
const BATCH: u32 = 1024;

/// How long to wait before looking again, while moves are under way, and while there are none.
const POLL: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));

/// A move; the subject is an id of its own.
#[derive(Clone, Copy, Debug)]
pub struct MoveDomain;

impl Domain for MoveDomain {
    type Machine = Move;

    fn fresh(subject: &str) -> Result<Move> {
        let id = subject.parse().map_err(|_| Error::Broken(format!("not the id of a move: {subject}")))?;
        Ok(Move::new(id))
    }

    fn facts<'t>(_: &'t Turn, _: &'t mut Connection, _: &'t Move, _: &'t Input<Word>) -> BoxFuture<'t, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn write<'t>(
        turn: &'t Turn,
        tx: &'t mut Connection,
        next: &'t Move,
        writes: Vec<Write>,
    ) -> BoxFuture<'t, Result<()>> {
        Box::pin(async move {
            for write in writes {
                match write {
                    Write::Order { attempt, order } => order_put(tx, attempt, next.id, &order, turn.now).await?,
                    Write::Abort(attempt) => order_abort(tx, attempt).await?,
                }
            }
            Ok(())
        })
    }

    fn orders(before: &Move, after: &Move) -> bool {
        before != after
    }
}

impl Engine {
    /// Hands orders to the compute side and takes in what came of them, until `stop`.
    pub async fn run_moves(&self, stop: CancellationToken) {
        loop {
            let wait = match self.perform_moves().await {
                Ok(0) => POLL.1,
                Ok(_) => POLL.0,
                Err(error) => {
                    tracing::warn!(%error, "instances cannot be moved");
                    POLL.0
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.orders_made() => {}
                () = self.settings.compute.0.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Hands all orders over that the compute side may not have, and tells moves whose attempts ended; returns how many are
    /// still under way.
    ///
    /// # Errors
    /// The store does not answer. Where the compute side does not, the order waits for the next time.
    pub async fn perform_moves(&self) -> Result<usize> {
        let open = {
            let mut connection = self.store.read().await?;
            order_open(&mut connection, BATCH).await?
        };
        let mut left = 0;
        for order in open {
            match self.perform_move(&order).await {
                Ok(true) => {}
                Ok(false) => left += 1,
                Err(error) => {
                    tracing::warn!(order = %order.id, instance = order.document.instance, %error, "a move waits");
                    left += 1;
                }
            }
        }
        Ok(left)
    }

    /// `true` if the order has ended.
    async fn perform_move(&self, order: &Order) -> Result<bool> {
        let compute = &self.settings.compute.0;
        if order.abort {
            compute.abort(order.id).await?;
        } else if order.state == OrderState::Ordered {
            compute.begin(order.id, &order.document).await?;
            let id = order.id;
            self.store.write(move |tx| Box::pin(order_begun(tx, id))).await?;
        }
        match compute.outcome(order.id).await? {
            Some(end) => self.move_ended(order.id, order.mover, end).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Tells a move, once, that an attempt ended.
    async fn move_ended(&self, attempt: Uuid, mover: Uuid, end: End) -> Result<()> {
        let mut tries = 0;
        loop {
            let (turn, end) = (self.turn(None), end.clone());
            let done = self.store.write(move |tx| {
                Box::pin(async move {
                    if !order_end(tx, attempt).await? {
                        return Ok(None);
                    }
                    let body = Word::Ended { attempt, end }.to(mover).body;
                    apply_kind(&turn, tx, MOVE, &mover.to_string(), Happening::Message(body)).await.map(Some)
                })
            });
            tries += 1;
            match done.await {
                Err(Error::Moved) if tries < super::TRIES => {}
                Ok(wakes) => {
                    if let Some(wakes) = wakes {
                        self.wake_all(&wakes);
                    }
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }
}
