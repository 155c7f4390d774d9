//! Orders to the compute side: a move that was decided on is made once, however often managers come and go.

use hostler_common::id::SessionId;
use hostler_common::time::Timestamp;
use hostler_core::maintenance::word::MoveOrder;
use uuid::Uuid;

use super::super::tx::{Connection, Error, Result};
use super::unknown;

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderState {
    /// The compute side may not know of it.
    Ordered,
    /// The compute side took it.
    Begun,
    /// It ended, and its move was told.
    Ended,
}

impl OrderState {
    const ALL: [Self; 3] = [Self::Ordered, Self::Begun, Self::Ended];

    fn name(self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::Begun => "begun",
            Self::Ended => "ended",
        }
    }
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its id: the compute side takes the same one once.
    pub id: Uuid,
    /// The move whose attempt it is.
    pub mover: Uuid,
    /// What is to be done.
    pub document: MoveOrder,
    /// Where it stands.
    pub state: OrderState,
    /// Whether it is to be ended.
    pub abort: bool,
}

/// A new order.
///
/// # Errors
/// See [`Error`].
pub async fn order_put(
    connection: &mut Connection,
    id: Uuid,
    mover: Uuid,
    document: &MoveOrder,
    at: Timestamp,
) -> Result<()> {
    sqlx::query(
        "insert into move_order (id, move_id, session_id, document, state, abort, created_at) \
         values ($1, $2, $3, $4, 'ordered', 0, $5) on conflict (id) do nothing",
    )
    .bind(id.to_string())
    .bind(mover.to_string())
    .bind(SessionId(document.session).to_string())
    .bind(serde_json::to_string(document)?)
    .bind(at.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// The compute side took an order.
///
/// # Errors
/// See [`Error`].
pub async fn order_begun(connection: &mut Connection, id: Uuid) -> Result<()> {
    sqlx::query("update move_order set state = 'begun' where id = $1 and state = 'ordered'")
        .bind(id.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// An order is to be ended.
///
/// # Errors
/// See [`Error`].
pub async fn order_abort(connection: &mut Connection, id: Uuid) -> Result<()> {
    sqlx::query("update move_order set abort = 1 where id = $1").bind(id.to_string()).execute(connection).await?;
    Ok(())
}

/// An order ended; `false` if that was known: only one of several managers tells its move.
///
/// # Errors
/// See [`Error`].
pub async fn order_end(connection: &mut Connection, id: Uuid) -> Result<bool> {
    let done = sqlx::query("update move_order set state = 'ended' where id = $1 and state <> 'ended'")
        .bind(id.to_string())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Orders that have not ended, the oldest first.
///
/// # Errors
/// See [`Error`].
pub async fn order_open(connection: &mut Connection, limit: u32) -> Result<Vec<Order>> {
    let rows: Vec<(String, String, String, String, i64)> = sqlx::query_as(
        "select id, move_id, document, state, abort from move_order where state <> 'ended' \
         order by created_at, id limit $1",
    )
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    let read = |(id, mover, document, state, abort): (String, String, String, String, i64)| {
        Ok(Order {
            id: uuid(&id)?,
            mover: uuid(&mover)?,
            document: serde_json::from_str(&document)?,
            state: OrderState::ALL
                .into_iter()
                .find(|known| known.name() == state)
                .ok_or_else(|| unknown("state of an order", &state))?,
            abort: abort != 0,
        })
    };
    rows.into_iter().map(read).collect()
}

fn uuid(text: &str) -> Result<Uuid> {
    Uuid::try_parse(text).map_err(|_| Error::Broken(format!("not an id: {text}")))
}
