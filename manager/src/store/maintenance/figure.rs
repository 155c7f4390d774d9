//! What is counted of maintenance, for Prometheus (spec/maintenance.md §4.6).

use hostler_common::time::Timestamp;
use sqlx::Row as _;

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
    /// Waiting that is over, in sessions that are not deleted, by kind.
    pub waited: Vec<(String, Waited)>,
    /// Since when the oldest waiting lasts that is not over, in sessions that are not deleted, by kind; nothing where there is none.
    pub waits: Vec<(String, Timestamp)>,
}

/// How long waiting of one kind lasted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waited {
    /// How often somebody was waited for.
    pub count: i64,
    /// How long that was in all, in microseconds.
    pub micros: i64,
    /// How often it was at most so long, for each of [`BOUNDS`].
    pub within: [i64; BOUNDS.len()],
}

/// Upper bounds of how long is waited, in seconds: from what a program answers at once to what takes people a day.
pub const BOUNDS: [i64; 9] = [1, 5, 15, 60, 300, 900, 3600, 21_600, 86_400];

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
    let waited = waited(&mut *connection).await?;
    let waits: Vec<(String, i64)> = sqlx::query_as(
        "select t.kind, min(t.started_at) from maintenance_session s join maintenance_step t on t.session_id = s.id \
         where s.deleted_at is null and t.finished_at is null and t.kind in ($1, $2) group by t.kind",
    )
    .bind(WAITING[0])
    .bind(WAITING[1])
    .fetch_all(connection)
    .await?;
    let waits = waits.into_iter().map(|(kind, since)| (kind, Timestamp::from_micros(since))).collect();
    Ok(Figures { sessions, hosts, steps, waited, waits })
}

async fn waited(connection: &mut Connection) -> Result<Vec<(String, Waited)>> {
    let took = "t.finished_at - t.started_at";
    let within = |(place, seconds): (usize, i64)| {
        let most = seconds * 1_000_000;
        format!(", cast(sum(case when {took} <= {most} then 1 else 0 end) as bigint) as within_{place}")
    };
    let within: String = BOUNDS.into_iter().enumerate().map(within).collect();
    let text = format!(
        "select t.kind, count(*) as waited, cast(sum({took}) as bigint) as micros{within} \
         from maintenance_session s join maintenance_step t on t.session_id = s.id \
         where s.deleted_at is null and t.finished_at is not null and t.kind in ($1, $2) group by t.kind"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(WAITING[0]).bind(WAITING[1]);
    let mut all = Vec::new();
    for row in query.fetch_all(connection).await? {
        let mut found = Waited { count: row.try_get("waited")?, micros: row.try_get("micros")?, ..Waited::default() };
        for (place, count) in found.within.iter_mut().enumerate() {
            *count = row.try_get(format!("within_{place}").as_str())?;
        }
        all.push((row.try_get("kind")?, found));
    }
    Ok(all)
}
