//! What is counted of maintenance, for Prometheus (spec/maintenance.md §4.6).

use super::super::tx::{Connection, Result};

/// Counts of what there is right now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Sessions that are not deleted, by state.
    pub sessions: Vec<(String, i64)>,
    /// Hosts of sessions that are neither over nor deleted, by phase.
    pub hosts: Vec<(String, i64)>,
    /// Steps that run in sessions that are not deleted, by kind.
    pub steps: Vec<(String, i64)>,
    /// Steps that waited for somebody in sessions that are not deleted, by kind: how many ended, and how long they took
    /// together, in microseconds.
    pub waited: Vec<(String, i64, i64)>,
}

/// Kinds of steps that wait for somebody: for the answer of a project, and for a gate.
pub const WAITING: [&str; 2] = ["reply", "gate"];

/// What there is to count.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn figures(connection: &mut Connection) -> Result<Figures> {
    let sessions =
        sqlx::query_as("select state, count(*) from maintenance_session where deleted_at is null group by state")
            .fetch_all(&mut *connection)
            .await?;
    let hosts = sqlx::query_as(
        "select h.phase, count(*) from maintenance_session s join maintenance_host h on h.session_id = s.id \
         where s.deleted_at is null and s.state not in ('MAINTENANCE_DONE', 'MAINTENANCE_FAILED') group by h.phase",
    )
    .fetch_all(&mut *connection)
    .await?;
    let steps = sqlx::query_as(
        "select t.kind, count(*) from maintenance_session s join maintenance_step t on t.session_id = s.id \
         where s.deleted_at is null and t.finished_at is null group by t.kind",
    )
    .fetch_all(&mut *connection)
    .await?;
    let waited = sqlx::query_as(
        "select t.kind, count(*), cast(coalesce(sum(t.finished_at - t.started_at), 0) as bigint) \
         from maintenance_session s join maintenance_step t on t.session_id = s.id \
         where s.deleted_at is null and t.finished_at is not null and t.kind in ($1, $2) group by t.kind",
    )
    .bind(WAITING[0])
    .bind(WAITING[1])
    .fetch_all(connection)
    .await?;
    Ok(Figures { sessions, hosts, steps, waited })
}
