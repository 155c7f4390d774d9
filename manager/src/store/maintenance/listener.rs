//! Who listens for projects: a project that nobody listens for hears no question (spec/maintenance.md §4.6).

use std::collections::BTreeSet;

use hostler_common::id::SessionId;
use hostler_common::time::Timestamp;

use super::super::dialect::storable;
use super::super::tx::{Connection, Result};

/// Somebody listens for a project in every session: until that moment, or until it is taken back.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn listener_put(
    connection: &mut Connection,
    project: &str,
    listener: &str,
    until: Option<Timestamp>,
) -> Result<()> {
    listener_put_in(connection, project, None, listener, until).await
}

/// The same, in that session alone if there is one.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn listener_put_in(
    connection: &mut Connection,
    project: &str,
    session: Option<SessionId>,
    listener: &str,
    until: Option<Timestamp>,
) -> Result<()> {
    sqlx::query(
        "insert into project_listener (project_id, listener, session_id, until) values ($1, $2, $3, $4) \
         on conflict (project_id, listener) do update set session_id = excluded.session_id, until = excluded.until",
    )
    .bind(storable(project))
    .bind(storable(listener))
    .bind(session.map(|session| session.to_string()))
    .bind(until.map(Timestamp::as_micros))
    .execute(connection)
    .await?;
    Ok(())
}

/// Somebody listens no more, for any project.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn listener_delete(connection: &mut Connection, listener: &str) -> Result<()> {
    sqlx::query("delete from project_listener where listener = $1")
        .bind(storable(listener))
        .execute(connection)
        .await?;
    Ok(())
}

/// The projects that somebody listens for at that moment, in that session.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn listened(connection: &mut Connection, session: SessionId, at: Timestamp) -> Result<BTreeSet<String>> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "select distinct project_id from project_listener where (until is null or until > $1) \
         and (session_id is null or session_id = $2)",
    )
    .bind(at.as_micros())
    .bind(session.to_string())
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|(project,)| project).collect())
}

/// Removes at most `limit` of those who stopped listening before `until`; returns how many.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn listener_prune(connection: &mut Connection, until: Timestamp, limit: u32) -> Result<u64> {
    let text = "delete from project_listener where until < $1 and until <= (select max(until) from \
                (select until from project_listener where until < $1 order by until limit $2) as oldest)";
    let done = sqlx::query(text).bind(until.as_micros()).bind(i64::from(limit)).execute(connection).await?;
    Ok(done.rows_affected())
}
