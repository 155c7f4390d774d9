//! Events: immutable, numbered in the order of their commits (design §1).

use hostler_common::id::EventNumber;
use hostler_common::time::Timestamp;
pub use hostler_core::event::Recorded as Record;
use hostler_core::machine::Event;

use super::cause;
use super::tx::{Connection, Result, next_number};

/// Appends an event, with what it was caused by.
///
/// # Errors
/// See [`super::Error`].
pub async fn event_insert(
    connection: &mut Connection,
    at: Timestamp,
    actor: Option<&str>,
    event: &Event,
) -> Result<EventNumber> {
    let number = next_number(connection, "event").await?;
    let mut data = event.data.clone();
    if let Some(cause) = cause::current() {
        cause.note(&mut data);
    }
    sqlx::query("insert into event (number, at, kind, subject, actor, data) values ($1, $2, $3, $4, $5, $6)")
        .bind(number)
        .bind(at.as_micros())
        .bind(event.kind)
        .bind(&event.subject)
        .bind(actor)
        .bind(data.to_string())
        .execute(connection)
        .await?;
    Ok(EventNumber(number))
}

type Row = (i64, i64, String, String, Option<String>, String);

/// Events with greater numbers than `after`, oldest first.
///
/// # Errors
/// See [`super::Error`].
pub async fn event_list(connection: &mut Connection, after: EventNumber, limit: u32) -> Result<Vec<Record>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select number, at, kind, subject, actor, data from event where number > $1 order by number limit $2",
    )
    .bind(after.0)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(record).collect()
}

fn record((number, at, kind, subject, actor, data): Row) -> Result<Record> {
    let data = serde_json::from_str(&data)?;
    Ok(Record { number: EventNumber(number), at: Timestamp::from_micros(at), kind, subject, actor, data })
}

/// An event; `None` if there is none of that number, or none any more.
///
/// # Errors
/// See [`super::Error`].
pub async fn event_find(connection: &mut Connection, number: EventNumber) -> Result<Option<Record>> {
    let row: Option<Row> = sqlx::query_as("select number, at, kind, subject, actor, data from event where number = $1")
        .bind(number.0)
        .fetch_optional(connection)
        .await?;
    row.map(record).transpose()
}

/// The number of the newest event, also if that was removed since; 0 before the first. Numbers have no holes, so a reader
/// that knows it also knows what it missed.
///
/// # Errors
/// See [`super::Error`].
pub async fn event_newest(connection: &mut Connection) -> Result<EventNumber> {
    let row: (i64,) = sqlx::query_as("select value from counter where name = 'event'").fetch_one(connection).await?;
    Ok(EventNumber(row.0))
}

/// The number of the last event from before that moment; 0 if there is none any more.
///
/// # Errors
/// See [`super::Error`].
pub async fn event_before(connection: &mut Connection, at: Timestamp) -> Result<EventNumber> {
    let row: Option<(i64,)> =
        sqlx::query_as("select number from event where at < $1 order by at desc, number desc limit 1")
            .bind(at.as_micros())
            .fetch_optional(connection)
            .await?;
    Ok(EventNumber(row.map_or(0, |(number,)| number)))
}

/// Removes at most `limit` events from before `until`, the oldest first; returns how many.
///
/// # Errors
/// See [`super::Error`].
pub async fn event_prune(connection: &mut Connection, until: Timestamp, limit: u32) -> Result<u64> {
    let text = "delete from event where number in (select number from event where at < $1 order by at limit $2)";
    let done = sqlx::query(text).bind(until.as_micros()).bind(i64::from(limit)).execute(connection).await?;
    Ok(done.rows_affected())
}
