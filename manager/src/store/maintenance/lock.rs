//! Which session a host is in, and whose turn it is to stop daemons of a Ceph cluster.

use std::collections::BTreeMap;

use hostler_common::error::Class;
use hostler_common::id::{HostId, SessionId};
use hostler_common::time::Timestamp;

use super::super::dialect::numbered;
use super::super::host::parse_host;
use super::super::tx::{Connection, Error, Result};
use super::session::session_id;
use super::{CHUNK, rows_of};

/// Gives hosts to a session.
///
/// # Errors
/// Class `Conflict`, with their names, if some of them are another session's; see [`Error`].
pub async fn lock_hosts(
    connection: &mut Connection,
    session: SessionId,
    hosts: &[HostId],
    at: Timestamp,
) -> Result<()> {
    for chunk in hosts.chunks(CHUNK) {
        let text = format!(
            "insert into host_lock (host_id, session_id, since) values {} on conflict (host_id) do nothing",
            rows_of(1, chunk.len(), 3)
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
        for host in chunk {
            query = query.bind(host.to_string()).bind(session.to_string()).bind(at.as_micros());
        }
        let taken = query.execute(&mut *connection).await?.rows_affected();
        if taken < chunk.len() as u64 {
            refuse_others(connection, session, chunk).await?;
        }
    }
    Ok(())
}

/// Refuses if another session has some of these hosts.
async fn refuse_others(connection: &mut Connection, session: SessionId, hosts: &[HostId]) -> Result<()> {
    let text = format!(
        "select host.name, host_lock.session_id from host_lock join host on host.id = host_lock.host_id \
         where host_lock.session_id <> $1 and host_lock.host_id in ({}) order by host.name",
        numbered(2, hosts.len())
    );
    let query = sqlx::query_as(sqlx::AssertSqlSafe(text)).bind(session.to_string());
    let query = hosts.iter().fold(query, |query, host| query.bind(host.to_string()));
    let others: Vec<(String, String)> = query.fetch_all(connection).await?;
    if others.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = others.iter().map(|(name, session)| format!("{name} (session {session})")).collect();
    Err(Error::Refused(Class::Conflict, format!("hosts are in other sessions: {}", named.join(", "))))
}

/// Takes hosts back from a session; those of others stay theirs.
///
/// # Errors
/// See [`Error`].
pub async fn unlock_hosts(connection: &mut Connection, session: SessionId, hosts: &[HostId]) -> Result<()> {
    for chunk in hosts.chunks(CHUNK) {
        let text = format!("delete from host_lock where session_id = $1 and host_id in ({})", numbered(2, chunk.len()));
        let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(session.to_string());
        let query = chunk.iter().fold(query, |query, host| query.bind(host.to_string()));
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Which session each of the hosts is in that are in one.
///
/// # Errors
/// See [`Error`].
pub async fn locks_of(connection: &mut Connection) -> Result<BTreeMap<HostId, SessionId>> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("select host_id, session_id from host_lock").fetch_all(connection).await?;
    rows.into_iter().map(|(host, session)| Ok((parse_host(&host)?, session_id(&session)?))).collect()
}

/// Whose turn it is to stop daemons of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageLock {
    /// The cluster.
    pub fsid: String,
    /// The session.
    pub session: SessionId,
    /// The host whose stay it is.
    pub host: HostId,
}

/// Gives the storage of a cluster to a stay.
///
/// # Errors
/// [`Error::Moved`] if it is another stay's; see [`Error`].
pub async fn storage_lock(connection: &mut Connection, lock: &StorageLock, at: Timestamp) -> Result<()> {
    let done = sqlx::query(
        "insert into storage_lock (fsid, session_id, host_id, since) values ($1, $2, $3, $4) \
         on conflict (fsid) do update set since = storage_lock.since \
         where storage_lock.session_id = excluded.session_id and storage_lock.host_id = excluded.host_id",
    )
    .bind(&lock.fsid)
    .bind(lock.session.to_string())
    .bind(lock.host.to_string())
    .bind(at.as_micros())
    .execute(connection)
    .await?;
    if done.rows_affected() == 0 {
        // Another stay was faster since the facts were read: its turn is over one day, and this one decides anew.
        return Err(Error::Moved);
    }
    Ok(())
}

/// Takes the storage of a cluster back from a session; only from the stay of one host, if one is given. What others have
/// stays theirs, and `false` says so.
///
/// # Errors
/// See [`Error`].
pub async fn storage_unlock(
    connection: &mut Connection,
    fsid: &str,
    session: SessionId,
    host: Option<HostId>,
) -> Result<bool> {
    let done =
        sqlx::query("delete from storage_lock where fsid = $1 and session_id = $2 and ($3 = '' or host_id = $3)")
            .bind(fsid)
            .bind(session.to_string())
            .bind(host.map(|host| host.to_string()).unwrap_or_default())
            .execute(connection)
            .await?;
    Ok(done.rows_affected() > 0)
}

/// Whose turn it is to stop daemons of that cluster.
///
/// # Errors
/// See [`Error`].
pub async fn storage_lock_find(connection: &mut Connection, fsid: &str) -> Result<Option<StorageLock>> {
    let row: Option<(String, String)> = sqlx::query_as("select session_id, host_id from storage_lock where fsid = $1")
        .bind(fsid)
        .fetch_optional(connection)
        .await?;
    row.map(|(session, host)| {
        Ok(StorageLock { fsid: fsid.to_owned(), session: session_id(&session)?, host: parse_host(&host)? })
    })
    .transpose()
}
