//! Who listens for projects: a project that nobody listens for hears no question (spec/maintenance.md §4.6).

use std::collections::BTreeSet;

use hostler_common::time::Timestamp;

use super::super::dialect::storable;
use super::super::tx::{Connection, Result};

/// Somebody listens for a project: until that moment, or until it is taken back.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn listener_put(
    connection: &mut Connection,
    project: &str,
    listener: &str,
    until: Option<Timestamp>,
) -> Result<()> {
    sqlx::query(
        "insert into project_listener (project_id, listener, until) values ($1, $2, $3) \
         on conflict (project_id, listener) do update set until = excluded.until",
    )
    .bind(storable(project))
    .bind(storable(listener))
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

/// The projects that somebody listens for at that moment.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn listened(connection: &mut Connection, at: Timestamp) -> Result<BTreeSet<String>> {
    let rows: Vec<(String,)> =
        sqlx::query_as("select distinct project_id from project_listener where until is null or until > $1")
            .bind(at.as_micros())
            .fetch_all(connection)
            .await?;
    Ok(rows.into_iter().map(|(project,)| project).collect())
}
