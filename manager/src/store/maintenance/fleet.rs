//! What sessions and stays know of hosts.

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use hostler_core::machine::WHEN_ONLINE;
use hostler_core::maintenance::host::{FleetHost, HostPhase, Role};
use hostler_core::maintenance::state::State;
use hostler_core::maintenance::stay::LOOK;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::super::host::parse_host;
use super::super::tx::{Connection, Result};
use super::session::session_id;

fn fleet_from(row: &AnyRow, manager: Option<&str>) -> Result<FleetHost> {
    let (id, name): (String, String) = (row.try_get("id")?, row.try_get("name")?);
    let roles: Vec<String> = serde_json::from_str(row.try_get("roles")?)?;
    let state: &str = row.try_get("agent_state")?;
    let locked_by: Option<String> = row.try_get("session_id")?;
    let labels: &str = row.try_get("labels")?;
    Ok(FleetHost {
        host: parse_host(&id)?,
        number: row.try_get("number")?,
        manager: manager.is_some_and(|manager| manager.eq_ignore_ascii_case(&name)),
        name,
        roles: roles.iter().map(|role| Role::from_name(role)).collect(),
        zone: row.try_get("zone")?,
        labels: match labels {
            "{}" => std::collections::BTreeMap::new(),
            labels => serde_json::from_str(labels)?,
        },
        connected: state == "online",
        disabled: row.try_get("disabled_reason")?,
        locked_by: locked_by.map(|id| session_id(&id)).transpose()?.map(|id| id.0),
        cluster: row.try_get("fsid")?,
    })
}

/// All hosts that are not cut off, by number. `manager` is the name of the host on which the manager runs.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn fleet_all(connection: &mut Connection, manager: Option<&str>) -> Result<Vec<FleetHost>> {
    let rows = sqlx::query(
        "select h.id, h.number, h.name, h.roles, h.zone, h.labels, h.agent_state, s.disabled_reason, l.session_id, \
         r.fsid from host h left join host_service s on s.host_id = h.id left join host_lock l on l.host_id = h.id \
         left join reach r on r.host_id = h.id where h.agent_state <> 'revoked' order by h.number",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| fleet_from(row, manager)).collect()
}

/// What a stay knows of its host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seat {
    /// Whether its agent is there.
    pub connected: bool,
    /// The kernel's boot id that its agent last said.
    pub boot_id: Option<String>,
    /// Why nothing is scheduled on it.
    pub disabled: Option<String>,
    /// The cluster of its default configuration.
    pub fsid: Option<String>,
}

/// What is known of that host; `None` if it is gone.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn seat_find(connection: &mut Connection, host: HostId) -> Result<Option<Seat>> {
    type Row = (String, Option<String>, Option<String>, Option<String>);
    let row: Option<Row> = sqlx::query_as(
        "select h.agent_state, h.boot_id, s.disabled_reason, r.fsid from host h \
         left join host_service s on s.host_id = h.id left join reach r on r.host_id = h.id where h.id = $1",
    )
    .bind(host.to_string())
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(state, boot_id, disabled, fsid)| Seat { connected: state == "online", boot_id, disabled, fsid }))
}

/// Hosts that are connected and reach that cluster, by number; those that no session has come first.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn ceph_hosts(connection: &mut Connection, fsid: &str) -> Result<Vec<HostId>> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "select h.id from reach r join host h on h.id = r.host_id left join host_lock l on l.host_id = h.id \
         where r.fsid = $1 and h.agent_state = 'online' \
         order by case when l.host_id is null then 0 else 1 end, h.number limit 32",
    )
    .bind(fsid)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|(host,)| parse_host(&host)).collect()
}

/// The connected host on which the manager runs: the one of that name, else the first with the role of a management node.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn management(connection: &mut Connection, manager: Option<&str>) -> Result<Option<HostId>> {
    let row: Option<(String,)> = sqlx::query_as(
        "select id from host where agent_state = 'online' and (lower(name) = lower($1) or roles like '%\"management\"%') \
         order by case when lower(name) = lower($1) then 0 else 1 end, number limit 1",
    )
    .bind(manager.unwrap_or_default())
    .fetch_optional(connection)
    .await?;
    row.map(|(host,)| parse_host(&host)).transpose()
}

/// What stays that work on a host wait for comes due early, where they wait for the host's agent.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn stay_hurry(connection: &mut Connection, host: HostId, at: Timestamp) -> Result<()> {
    // The session that has the host, and errands of sessions that are at work.
    sqlx::query(
        "update timer set due_at = $3 where name = $2 and due_at > $3 and machine_id in (select m.id \
         from (select session_id || '.' || host_id as subject from host_lock where host_id = $1 \
         union all select id || '.' || $1 || '.pre' from maintenance_session where state not in ($4, $5) \
         union all select id || '.' || $1 || '.post' from maintenance_session where state not in ($4, $5)) stay \
         join machine m on m.kind = 'stay' and m.subject = stay.subject)",
    )
    .bind(host.to_string())
    .bind(WHEN_ONLINE)
    .bind(at.as_micros())
    .bind(State::MaintenanceDone.name())
    .bind(State::MaintenanceFailed.name())
    .execute(connection)
    .await?;
    Ok(())
}

/// What stays that wait for the storage of a cluster wait for comes due early.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn storage_hurry(connection: &mut Connection, at: Timestamp) -> Result<()> {
    sqlx::query(
        "update timer set due_at = $2 where name = $1 and due_at > $2 and machine_id in (select m.id from host_lock l \
         join maintenance_host h on h.session_id = l.session_id and h.host_id = l.host_id and h.phase = $3 \
         join machine m on m.kind = 'stay' and m.subject = l.session_id || '.' || l.host_id)",
    )
    .bind(LOOK)
    .bind(at.as_micros())
    .bind(HostPhase::WaitingStorage.name())
    .execute(connection)
    .await?;
    Ok(())
}
