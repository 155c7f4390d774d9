//! Sessions that were deleted long ago go, with everything of theirs.

use hostler_common::id::SessionId;
use hostler_common::time::Timestamp;

use super::super::tx::{Connection, Result};
use super::session::session_id;

/// At most `limit` sessions that were deleted before `until` and have no host any more.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn session_expired(connection: &mut Connection, until: Timestamp, limit: u32) -> Result<Vec<SessionId>> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "select id from maintenance_session s where deleted_at < $1 \
         and not exists (select 1 from host_lock l where l.session_id = s.id) \
         and not exists (select 1 from storage_lock l where l.session_id = s.id) order by deleted_at limit $2",
    )
    .bind(until.as_micros())
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|(id,)| session_id(&id)).collect()
}

/// Removes at most `limit` records of what belongs to a session: its steps first, then its machines, and the session itself
/// once nothing else is left; returns how many.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn session_prune(connection: &mut Connection, id: SessionId, limit: u32) -> Result<u64> {
    let id = id.to_string();
    let steps = "delete from maintenance_step where number in \
                 (select number from maintenance_step where session_id = $1 order by number limit $2)";
    let mut removed = sqlx::query(steps).bind(&id).bind(i64::from(limit)).execute(&mut *connection).await?;
    if removed.rows_affected() > 0 {
        return Ok(removed.rows_affected());
    }
    // A stay is found by its subject, which begins with its session; a move by its orders.
    let machines = "delete from machine where id in (select m.id from machine m where m.kind = 'stay' \
                    and m.subject like $1 || '.%' union select m.id from machine m where m.kind = 'move' \
                    and m.subject in (select o.move_id from move_order o where o.session_id = $1) limit $2)";
    removed = sqlx::query(machines).bind(&id).bind(i64::from(limit)).execute(&mut *connection).await?;
    if removed.rows_affected() > 0 {
        return Ok(removed.rows_affected());
    }
    sqlx::query("delete from move_order where session_id = $1").bind(&id).execute(&mut *connection).await?;
    sqlx::query("delete from machine where kind = 'session' and subject = $1")
        .bind(&id)
        .execute(&mut *connection)
        .await?;
    let done = sqlx::query("delete from maintenance_session where id = $1").bind(&id).execute(connection).await?;
    Ok(done.rows_affected())
}
