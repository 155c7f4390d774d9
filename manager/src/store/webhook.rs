//! Webhooks: their numbers, their machines as a list, and the events that they gave up.

use hostler_common::id::{EventNumber, WebhookId};
use hostler_common::time::Timestamp;
use hostler_core::machine::Machine as _;
use hostler_core::webhook::Webhook;

use super::tx::{Connection, Result, next_number};

/// How many dead letters of one webhook are kept; a further one takes the place of the oldest.
pub const DEAD_LETTERS_MAX: i64 = 10_000;

/// The number of the next webhook.
///
/// # Errors
/// See [`super::Error`].
pub async fn webhook_number(connection: &mut Connection) -> Result<WebhookId> {
    next_number(connection, "webhook").await.map(WebhookId)
}

/// All webhooks, by number.
///
/// # Errors
/// See [`super::Error`].
pub async fn webhook_list(connection: &mut Connection) -> Result<Vec<Webhook>> {
    let rows: Vec<(String,)> = sqlx::query_as("select document from machine where kind = $1")
        .bind(Webhook::KIND)
        .fetch_all(connection)
        .await?;
    let read = |(document,): (String,)| Ok(serde_json::from_str::<Webhook>(&document)?);
    let mut all = rows.into_iter().map(read).collect::<Result<Vec<_>>>()?;
    all.sort_by_key(|webhook| webhook.id);
    Ok(all)
}

/// A webhook; `None` if there is none of that number.
///
/// # Errors
/// See [`super::Error`].
pub async fn webhook_find(connection: &mut Connection, id: WebhookId) -> Result<Option<Webhook>> {
    let found = super::machine::machine_find(connection, Webhook::KIND, &id.to_string()).await?;
    Ok(found.map(|record| record.machine))
}

/// Removes a webhook with its timers and its dead letters.
///
/// # Errors
/// See [`super::Error`].
pub async fn webhook_delete(connection: &mut Connection, id: WebhookId) -> Result<()> {
    sqlx::query("delete from webhook_dead_letter where webhook = $1").bind(id.0).execute(&mut *connection).await?;
    sqlx::query("delete from machine where kind = $1 and subject = $2")
        .bind(Webhook::KIND)
        .bind(id.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// An event that a webhook gave up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event.
    pub event: EventNumber,
    /// When it was given up.
    pub at: Timestamp,
    /// How often it was tried, the last time that it was.
    pub attempts: u32,
    /// The status of the last answer, if there was one.
    pub status: Option<u16>,
    /// Why the last attempt failed.
    pub reason: String,
}

/// Writes a dead letter, over the one of the same event if there is one.
///
/// # Errors
/// See [`super::Error`].
pub async fn dead_letter_put(connection: &mut Connection, webhook: WebhookId, letter: &DeadLetter) -> Result<()> {
    sqlx::query(
        "insert into webhook_dead_letter (webhook, event, at, attempts, status, reason) values ($1, $2, $3, $4, $5, $6) \
         on conflict (webhook, event) do update set at = excluded.at, attempts = excluded.attempts, \
         status = excluded.status, reason = excluded.reason",
    )
    .bind(webhook.0)
    .bind(letter.event.0)
    .bind(letter.at.as_micros())
    .bind(i64::from(letter.attempts))
    .bind(letter.status.map(i64::from))
    .bind(super::dialect::storable(&letter.reason))
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "delete from webhook_dead_letter where webhook = $1 and event <= \
         (select event from webhook_dead_letter where webhook = $1 order by event desc limit 1 offset $2)",
    )
    .bind(webhook.0)
    .bind(DEAD_LETTERS_MAX)
    .execute(connection)
    .await?;
    Ok(())
}

type Row = (i64, i64, i64, Option<i64>, String);

fn letter((event, at, attempts, status, reason): Row) -> DeadLetter {
    DeadLetter {
        event: EventNumber(event),
        at: Timestamp::from_micros(at),
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        status: status.and_then(|status| u16::try_from(status).ok()),
        reason,
    }
}

/// Dead letters of a webhook in the order of their events, after that one.
///
/// # Errors
/// See [`super::Error`].
pub async fn dead_letter_list(
    connection: &mut Connection,
    webhook: WebhookId,
    after: EventNumber,
    limit: u32,
) -> Result<Vec<DeadLetter>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select event, at, attempts, status, reason from webhook_dead_letter \
         where webhook = $1 and event > $2 order by event limit $3",
    )
    .bind(webhook.0)
    .bind(after.0)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(letter).collect())
}

/// How many dead letters a webhook has.
///
/// # Errors
/// See [`super::Error`].
pub async fn dead_letter_count(connection: &mut Connection, webhook: WebhookId) -> Result<i64> {
    let row: (i64,) = sqlx::query_as("select count(*) from webhook_dead_letter where webhook = $1")
        .bind(webhook.0)
        .fetch_one(connection)
        .await?;
    Ok(row.0)
}

/// Whether an event is a dead letter of a webhook.
///
/// # Errors
/// See [`super::Error`].
pub async fn dead_letter_exists(connection: &mut Connection, webhook: WebhookId, event: EventNumber) -> Result<bool> {
    let row: Option<(i64,)> = sqlx::query_as("select event from webhook_dead_letter where webhook = $1 and event = $2")
        .bind(webhook.0)
        .bind(event.0)
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

/// Removes a dead letter, if it is there.
///
/// # Errors
/// See [`super::Error`].
pub async fn dead_letter_delete(connection: &mut Connection, webhook: WebhookId, event: EventNumber) -> Result<()> {
    sqlx::query("delete from webhook_dead_letter where webhook = $1 and event = $2")
        .bind(webhook.0)
        .bind(event.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes at most `limit` dead letters from before `until`; returns how many.
///
/// # Errors
/// See [`super::Error`].
pub async fn dead_letter_prune(connection: &mut Connection, until: Timestamp, limit: u32) -> Result<u64> {
    let done = sqlx::query(
        "delete from webhook_dead_letter where at < $1 and at <= \
         (select max(at) from (select at from webhook_dead_letter where at < $1 order by at limit $2) as oldest)",
    )
    .bind(until.as_micros())
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
