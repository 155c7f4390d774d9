//! What stays wait to hear from servers elsewhere: gates that somebody else opens (spec/maintenance.md §3.9). A row is a question
//! ([`hostler_core::maintenance::policy::Gate::question`]), which for gates of kind `http` is the URL.

use std::collections::BTreeMap;

use hostler_common::time::Timestamp;
use hostler_core::machine::Machine as _;
use hostler_core::maintenance::stay::{LOOK, Stay, UrlAnswer};

use super::super::dialect::{numbered, storable};
use super::super::tx::{Connection, Result};

/// The answers of those of the URLs that were asked.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn url_answers(connection: &mut Connection, urls: &[String]) -> Result<BTreeMap<String, UrlAnswer>> {
    if urls.is_empty() {
        return Ok(BTreeMap::new());
    }
    type Row = (String, i64, Option<i64>, Option<String>);
    let text = format!(
        "select url, answered_at, status, error from maintenance_url where answered_at is not null and url in ({})",
        numbered(1, urls.len())
    );
    let query = urls.iter().fold(sqlx::query_as(sqlx::AssertSqlSafe(text)), |query, url| query.bind(storable(url)));
    let rows: Vec<Row> = query.fetch_all(connection).await?;
    let read = |(url, at, status, error): Row| {
        let status = match status.and_then(|status| u16::try_from(status).ok()) {
            Some(status) => Ok(status),
            None => Err(error.unwrap_or_else(|| "no answer".into())),
        };
        (url, UrlAnswer { at: Timestamp::from_micros(at), status })
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Somebody waits for these URLs from that moment on.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn url_want(connection: &mut Connection, urls: &[String], at: Timestamp) -> Result<()> {
    for url in urls {
        sqlx::query(
            "insert into maintenance_url (url, wanted_at) values ($1, $2) \
             on conflict (url) do update set wanted_at = excluded.wanted_at",
        )
        .bind(storable(url))
        .bind(at.as_micros())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// URLs that were wanted after `since` and of which nothing was heard after `heard`; first those that wait longest.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn url_due(
    connection: &mut Connection,
    since: Timestamp,
    heard: Timestamp,
    limit: u32,
) -> Result<Vec<String>> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "select url from maintenance_url where wanted_at > $1 and coalesce(answered_at, 0) < $2 \
         order by coalesce(answered_at, 0), url limit $3",
    )
    .bind(since.as_micros())
    .bind(heard.as_micros())
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|(url,)| url).collect())
}

/// Records what a URL answered. Stays that wait for it look again at that moment, rather than when they would have.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn url_answered(connection: &mut Connection, url: &str, answer: &UrlAnswer, at: Timestamp) -> Result<()> {
    sqlx::query("update maintenance_url set answered_at = $2, status = $3, error = $4 where url = $1")
        .bind(storable(url))
        .bind(answer.at.as_micros())
        .bind(answer.status.as_ref().ok().map(|status| i64::from(*status)))
        .bind(answer.status.as_ref().err().map(|error| storable(error)))
        .execute(&mut *connection)
        .await?;
    for machine in waiting(connection, url, at).await? {
        sqlx::query("update timer set due_at = $3 where machine_id = $1 and name = $2 and due_at > $3")
            .bind(machine)
            .bind(LOOK)
            .bind(at.as_micros())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Stays that wait for that URL and would only look later than `at`. The text of a document shows roughly who may; to wake
/// others would shorten what they wait for on purpose.
async fn waiting(connection: &mut Connection, url: &str, at: Timestamp) -> Result<Vec<String>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select m.id, m.document from timer t join machine m on m.id = t.machine_id \
         where t.name = $1 and t.due_at > $2 and m.kind = $3 \
         and (m.document like '%\"gate\":\"http\"%' or m.document like '%\"gate\":\"alerts_clear\"%')",
    )
    .bind(LOOK)
    .bind(at.as_micros())
    .bind(Stay::KIND)
    .fetch_all(connection)
    .await?;
    let mut found = Vec::new();
    for (id, document) in rows {
        let stay: Stay = serde_json::from_str(&document)?;
        if stay.urls().iter().any(|wanted| storable(wanted) == url) {
            found.push(id);
        }
    }
    Ok(found)
}

/// Removes URLs that nobody wanted after `until`; returns how many.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn url_prune(connection: &mut Connection, until: Timestamp, limit: u32) -> Result<u64> {
    let text =
        "delete from maintenance_url where url in (select url from maintenance_url where wanted_at < $1 limit $2)";
    let done = sqlx::query(text).bind(until.as_micros()).bind(i64::from(limit)).execute(connection).await?;
    Ok(done.rows_affected())
}
