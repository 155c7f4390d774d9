//! When the facts of each section of a host last arrived (spec/introspection.md §6.4, staleness).

use std::collections::HashMap;
use std::time::Duration;

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use hostler_core::introspection::merge::Read;
use hostler_core::refresh::age::Mark;

use super::host::parse_host;
use super::tx::{Connection, Result};

/// Records that sections of a host were read.
///
/// # Errors
/// See [`super::Error`].
pub async fn section_put(connection: &mut Connection, host: HostId, read: &[Read], at: Timestamp) -> Result<()> {
    for section in read {
        sqlx::query(
            "insert into section (host_id, name, collected_at, ttl_s, status) values ($1, $2, $3, $4, $5) \
             on conflict (host_id, name) do update set collected_at = excluded.collected_at, ttl_s = excluded.ttl_s, \
             status = excluded.status",
        )
        .bind(host.to_string())
        .bind(super::dialect::storable(&section.name))
        .bind(at.as_micros())
        .bind(i64::try_from(section.ttl_s).unwrap_or(i64::MAX))
        .bind(&section.status)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Forgets the sections of a host that are not among `names`, which are words of ours or of the agent.
///
/// # Errors
/// See [`super::Error`].
pub async fn section_retain(connection: &mut Connection, host: HostId, names: &[String]) -> Result<()> {
    for mark in section_list(connection, host).await? {
        if !names.contains(&mark.name) {
            sqlx::query("delete from section where host_id = $1 and name = $2")
                .bind(host.to_string())
                .bind(&mark.name)
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}

type Row = (String, String, i64, i64, String);

fn mark_from((host, name, collected_at, ttl_s, status): Row) -> Result<(HostId, Mark)> {
    let ttl = Duration::from_secs(u64::try_from(ttl_s).unwrap_or(0));
    Ok((parse_host(&host)?, Mark { name, collected_at: Timestamp::from_micros(collected_at), ttl, status }))
}

/// The sections of a host, by name.
///
/// # Errors
/// See [`super::Error`].
pub async fn section_list(connection: &mut Connection, host: HostId) -> Result<Vec<Mark>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select host_id, name, collected_at, ttl_s, status from section where host_id = $1 order by name",
    )
    .bind(host.to_string())
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| mark_from(row).map(|(_, mark)| mark)).collect()
}

/// The sections of all hosts with numbers from `first` to `last`, which is what a page of hosts is.
///
/// # Errors
/// See [`super::Error`].
pub async fn section_of_numbers(
    connection: &mut Connection,
    first: i64,
    last: i64,
) -> Result<HashMap<HostId, Vec<Mark>>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select host_id, name, collected_at, ttl_s, status from section \
         where host_id in (select id from host where number between $1 and $2) order by host_id, name",
    )
    .bind(first)
    .bind(last)
    .fetch_all(connection)
    .await?;
    let mut found: HashMap<HostId, Vec<Mark>> = HashMap::new();
    for row in rows {
        let (host, mark) = mark_from(row)?;
        found.entry(host).or_default().push(mark);
    }
    Ok(found)
}
