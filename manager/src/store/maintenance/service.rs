//! Whether instances may be scheduled on hosts.

use std::collections::BTreeMap;

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;

use super::super::dialect::storable;
use super::super::host::parse_host;
use super::super::tx::{Connection, Result};

/// Takes a host out of service, with the reason, or puts it back. The moment is that of the last real change.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn service_put(
    connection: &mut Connection,
    host: HostId,
    disabled: Option<&str>,
    at: Timestamp,
) -> Result<()> {
    sqlx::query(
        "insert into host_service (host_id, disabled_reason, since) \
         select id, $2, $3 from host where id = $1 \
         on conflict (host_id) do update set disabled_reason = excluded.disabled_reason, \
         since = case when coalesce(host_service.disabled_reason, '') = coalesce(excluded.disabled_reason, '') \
         then host_service.since else excluded.since end",
    )
    .bind(host.to_string())
    .bind(disabled.map(storable))
    .bind(at.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// Why nothing is scheduled on a host; `None` means that it is in service.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn service_find(connection: &mut Connection, host: HostId) -> Result<Option<String>> {
    let row: Option<(Option<String>,)> = sqlx::query_as("select disabled_reason from host_service where host_id = $1")
        .bind(host.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(row.and_then(|(reason,)| reason))
}

/// All hosts that are out of service: why, and since when.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn service_all(connection: &mut Connection) -> Result<BTreeMap<HostId, (String, Timestamp)>> {
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "select host_id, disabled_reason, since from host_service where disabled_reason is not null order by host_id",
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|(host, reason, since)| Ok((parse_host(&host)?, (reason, Timestamp::from_micros(since)))))
        .collect()
}
