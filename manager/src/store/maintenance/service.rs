//! Whether instances may be scheduled on hosts.

use std::collections::BTreeMap;

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;

use super::super::dialect::storable;
use super::super::host::parse_host;
use super::super::tx::{Connection, Result};
use super::CHUNK;

/// Takes hosts out of service, with the reasons, or puts them back. The moment is that of the last real change; a host that is
/// gone is passed over. Each host at most once.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn service_put_all(
    connection: &mut Connection,
    hosts: &[(HostId, Option<String>)],
    at: Timestamp,
) -> Result<()> {
    for chunk in hosts.chunks(CHUNK) {
        let row = |n: usize| format!("(cast(${} as text), cast(${} as text))", 2 * n + 2, 2 * n + 3);
        let text = format!(
            "with fresh (host_id, disabled_reason) as (values {}) \
             insert into host_service (host_id, disabled_reason, since) \
             select fresh.host_id, fresh.disabled_reason, $1 from fresh join host on host.id = fresh.host_id where 1 = 1 \
             on conflict (host_id) do update set disabled_reason = excluded.disabled_reason, \
             since = case when coalesce(host_service.disabled_reason, '') = coalesce(excluded.disabled_reason, '') \
             then host_service.since else excluded.since end",
            (0..chunk.len()).map(row).collect::<Vec<_>>().join(", ")
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(at.as_micros());
        for (host, disabled) in chunk {
            query = query.bind(host.to_string()).bind(disabled.as_deref().map(storable));
        }
        query.execute(&mut *connection).await?;
    }
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
