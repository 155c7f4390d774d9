//! Sessions at a glance: how many hosts of each are where.

use std::collections::BTreeMap;

use hostler_common::id::SessionId;

use super::super::dialect::numbered;
use super::super::tx::{Connection, Result};
use super::session::session_id;
use super::{CHUNK, small};

/// How many hosts of each session are in each phase, by the names of the phases. A session without hosts is not there.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn phase_counts(
    connection: &mut Connection,
    sessions: &[SessionId],
) -> Result<BTreeMap<SessionId, BTreeMap<String, u32>>> {
    let mut all: BTreeMap<SessionId, BTreeMap<String, u32>> = BTreeMap::new();
    for chunk in sessions.chunks(CHUNK) {
        let text = format!(
            "select session_id, phase, count(*) from maintenance_host where session_id in ({}) \
             group by session_id, phase",
            numbered(1, chunk.len())
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(text));
        let query = chunk.iter().fold(query, |query, id| query.bind(id.to_string()));
        let rows: Vec<(String, String, i64)> = query.fetch_all(&mut *connection).await?;
        for (id, phase, count) in rows {
            all.entry(session_id(&id)?).or_default().insert(phase, small(count));
        }
    }
    Ok(all)
}
