//! Ceph clusters: who reaches them, and who watches each.

use std::collections::HashMap;

use hostler_common::id::HostId;
use hostler_core::cluster::Candidate;

use super::host::parse_host;
use super::tx::{Connection, Result};

/// What the agent of a host said when it connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The cluster of the host's default configuration.
    pub fsid: Option<String>,
    /// Whether its scripts before the start failed: it takes no step that changes the host.
    pub degraded: bool,
}

/// Records what an agent says when it connects.
///
/// # Errors
/// See [`super::Error`].
pub async fn reach_put(connection: &mut Connection, host: HostId, reach: &Reach) -> Result<()> {
    sqlx::query(
        "insert into reach (host_id, fsid, degraded) values ($1, $2, $3) \
         on conflict (host_id) do update set fsid = excluded.fsid, degraded = excluded.degraded",
    )
    .bind(host.to_string())
    .bind(reach.fsid.as_deref())
    .bind(i64::from(reach.degraded))
    .execute(connection)
    .await?;
    Ok(())
}

/// What the agent of a host said when it last connected.
///
/// # Errors
/// See [`super::Error`].
pub async fn reach_find(connection: &mut Connection, host: HostId) -> Result<Reach> {
    let row: Option<(Option<String>, i64)> = sqlx::query_as("select fsid, degraded from reach where host_id = $1")
        .bind(host.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|(fsid, degraded)| Reach { fsid, degraded: degraded != 0 }).unwrap_or_default())
}

/// What the agents of the hosts from one number to another said when they last connected.
///
/// # Errors
/// See [`super::Error`].
pub async fn reach_of_numbers(connection: &mut Connection, first: i64, last: i64) -> Result<HashMap<HostId, Reach>> {
    let rows: Vec<(String, Option<String>, i64)> = sqlx::query_as(
        "select r.host_id, r.fsid, r.degraded from reach r join host h on h.id = r.host_id where h.number between $1 and $2",
    )
    .bind(first)
    .bind(last)
    .fetch_all(connection)
    .await?;
    let reach = |(host, fsid, degraded): (String, Option<String>, i64)| {
        Ok((parse_host(&host)?, Reach { fsid, degraded: degraded != 0 }))
    };
    rows.into_iter().map(reach).collect()
}

/// Hosts that are connected and reach that cluster.
///
/// # Errors
/// See [`super::Error`].
pub async fn cluster_candidates(connection: &mut Connection, fsid: &str) -> Result<Vec<Candidate>> {
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "select h.number, h.id from reach r join host h on h.id = r.host_id \
         where r.fsid = $1 and h.agent_state = 'online' order by h.number",
    )
    .bind(fsid)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|(number, host)| Ok(Candidate { number, host: parse_host(&host)? })).collect()
}

/// Records who watches a cluster; `None` means nobody.
///
/// # Errors
/// See [`super::Error`].
pub async fn watcher_put(connection: &mut Connection, fsid: &str, host: Option<HostId>) -> Result<()> {
    let Some(host) = host else {
        sqlx::query("delete from watcher where fsid = $1").bind(fsid).execute(connection).await?;
        return Ok(());
    };
    sqlx::query(
        "insert into watcher (fsid, host_id) values ($1, $2) \
         on conflict (fsid) do update set host_id = excluded.host_id",
    )
    .bind(fsid)
    .bind(host.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

/// The clusters that a host is to watch.
///
/// # Errors
/// See [`super::Error`].
pub async fn watched_by(connection: &mut Connection, host: HostId) -> Result<Vec<String>> {
    let rows: Vec<(String,)> = sqlx::query_as("select fsid from watcher where host_id = $1 order by fsid")
        .bind(host.to_string())
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|(fsid,)| fsid).collect())
}
