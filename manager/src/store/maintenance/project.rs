//! Projects of sessions: what they were asked last.

use hostler_common::id::SessionId;
use hostler_common::time::Timestamp;

use super::super::dialect::storable;
use super::super::tx::{Connection, Result};
use super::{CHUNK, rows_of};

/// A project of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectRow {
    /// Which.
    pub project: String,
    /// What it was asked last and what it answered: `S`, `ACK_S`, `NACK_S`.
    pub state: Option<String>,
    /// Until when an answer counts.
    pub reply_at: Option<Timestamp>,
    /// Whether anybody listens for it.
    pub subscribed: bool,
}

/// The projects of a session, by their ids.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn project_rows(connection: &mut Connection, session: SessionId) -> Result<Vec<ProjectRow>> {
    let rows: Vec<(String, Option<String>, Option<i64>, i64)> = sqlx::query_as(
        "select project_id, state, reply_at, subscribed from maintenance_project where session_id = $1 \
         order by project_id",
    )
    .bind(session.to_string())
    .fetch_all(connection)
    .await?;
    let read = |(project, state, reply_at, subscribed): (String, Option<String>, Option<i64>, i64)| ProjectRow {
        project,
        state,
        reply_at: reply_at.map(Timestamp::from_micros),
        subscribed: subscribed != 0,
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Writes projects of a session; those that are not there are made. Each at most once.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn project_put_all(connection: &mut Connection, session: SessionId, projects: &[ProjectRow]) -> Result<()> {
    for chunk in projects.chunks(CHUNK) {
        let text = format!(
            "insert into maintenance_project (session_id, project_id, state, reply_at, subscribed) values {} \
             on conflict (session_id, project_id) do update set state = excluded.state, \
             reply_at = excluded.reply_at, subscribed = excluded.subscribed",
            rows_of(1, chunk.len(), 5)
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
        for project in chunk {
            query = query
                .bind(session.to_string())
                .bind(storable(&project.project))
                .bind(project.state.as_deref().map(storable))
                .bind(project.reply_at.map(Timestamp::as_micros))
                .bind(i64::from(project.subscribed));
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
