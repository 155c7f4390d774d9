//! Hosts of sessions.

use std::collections::HashMap;

use hostler_common::id::{HostId, SessionId};
use hostler_common::time::Timestamp;
use hostler_core::maintenance::host::{HostPhase, SessionHost};
use hostler_core::maintenance::state::Reason;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::super::dialect::storable;
use super::super::host::parse_host;
use super::super::tx::{Connection, Result};
use super::{CHUNK, reason_from, reason_text, rows_of, small, unknown};

const COLUMNS: &str = "host_id, name, roles, order_no, domain, phase, maintained, disabled, disabled_before, reason, \
                       plugin, plugin_state, started_at, finished_at, attempts";

fn host_from(row: &AnyRow) -> Result<SessionHost> {
    let (id, phase): (String, String) = (row.try_get("host_id")?, row.try_get("phase")?);
    let moment = |name: &str| -> Result<Option<Timestamp>> {
        Ok(row.try_get::<Option<i64>, _>(name)?.map(Timestamp::from_micros))
    };
    Ok(SessionHost {
        host: parse_host(&id)?,
        name: row.try_get("name")?,
        roles: serde_json::from_str(row.try_get("roles")?)?,
        order_no: row.try_get::<Option<i64>, _>("order_no")?.map(small),
        domain: row.try_get("domain")?,
        phase: HostPhase::from_name(&phase).ok_or_else(|| unknown("phase of a host", &phase))?,
        maintained: row.try_get::<i64, _>("maintained")? != 0,
        disabled: row.try_get::<i64, _>("disabled")? != 0,
        disabled_before: row.try_get("disabled_before")?,
        reason: reason_from(row.try_get::<Option<String>, _>("reason")?.as_deref())?,
        plugin: row.try_get("plugin")?,
        plugin_state: row.try_get("plugin_state")?,
        started_at: moment("started_at")?,
        finished_at: moment("finished_at")?,
        attempts: small(row.try_get("attempts")?),
    })
}

/// All hosts of a session: those with a place in the plan by it, then the others by name.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn host_rows(connection: &mut Connection, session: SessionId) -> Result<Vec<SessionHost>> {
    let text = format!(
        "select {COLUMNS} from maintenance_host where session_id = $1 \
         order by coalesce(order_no, 9223372036854775807), name, host_id"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(text)).bind(session.to_string()).fetch_all(connection).await?;
    rows.iter().map(host_from).collect()
}

/// One host of a session.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn host_row(connection: &mut Connection, session: SessionId, host: HostId) -> Result<Option<SessionHost>> {
    let text = format!("select {COLUMNS} from maintenance_host where session_id = $1 and host_id = $2");
    let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(session.to_string()).bind(host.to_string());
    query.fetch_optional(connection).await?.as_ref().map(host_from).transpose()
}

/// Writes hosts of a session, whole; those that are not there are made. Each host at most once.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn host_put_all(connection: &mut Connection, session: SessionId, hosts: &[SessionHost]) -> Result<()> {
    for chunk in hosts.chunks(CHUNK) {
        let text = format!(
            "insert into maintenance_host (session_id, {COLUMNS}) values {} \
             on conflict (session_id, host_id) do update set name = excluded.name, roles = excluded.roles, \
             order_no = excluded.order_no, domain = excluded.domain, phase = excluded.phase, \
             maintained = excluded.maintained, disabled = excluded.disabled, \
             disabled_before = excluded.disabled_before, reason = excluded.reason, plugin = excluded.plugin, \
             plugin_state = excluded.plugin_state, started_at = excluded.started_at, \
             finished_at = excluded.finished_at, attempts = excluded.attempts",
            rows_of(1, chunk.len(), 16)
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
        for host in chunk {
            query = query
                .bind(session.to_string())
                .bind(host.host.to_string())
                .bind(storable(&host.name))
                .bind(serde_json::to_string(&host.roles)?)
                .bind(host.order_no.map(i64::from))
                .bind(host.domain.as_deref().map(storable))
                .bind(host.phase.name())
                .bind(i64::from(host.maintained))
                .bind(i64::from(host.disabled))
                .bind(host.disabled_before.as_deref().map(storable))
                .bind(reason_text(host.reason.as_ref())?)
                .bind(host.plugin.as_deref().map(storable))
                .bind(host.plugin_state.as_deref().map(storable))
                .bind(host.started_at.map(Timestamp::as_micros))
                .bind(host.finished_at.map(Timestamp::as_micros))
                .bind(i64::from(host.attempts));
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// What a stay says of its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StayRow {
    /// Which session.
    pub session: SessionId,
    /// Which host.
    pub host: HostId,
    /// Where it stands.
    pub phase: HostPhase,
    /// Why it waits.
    pub reason: Option<Reason>,
    /// The plug-in that runs, or ran last, and where it stands; `None` leaves what is there.
    pub plugin: Option<(String, String)>,
}

/// Writes what stays say of their hosts; where one says something twice, the last counts. A host that is not in the session
/// any more is passed over.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn stay_put_all(connection: &mut Connection, stays: &[StayRow]) -> Result<()> {
    let mut last: HashMap<(SessionId, HostId), StayRow> = HashMap::new();
    for stay in stays {
        let known = last.entry((stay.session, stay.host)).or_insert_with(|| stay.clone());
        let plugin = stay.plugin.clone().or_else(|| known.plugin.take());
        *known = StayRow { plugin, ..stay.clone() };
    }
    for stay in last.into_values() {
        let (plugin, state) = stay.plugin.unzip();
        sqlx::query(
            "update maintenance_host set phase = $3, reason = $4, plugin = coalesce($5, plugin), \
             plugin_state = coalesce($6, plugin_state) where session_id = $1 and host_id = $2",
        )
        .bind(stay.session.to_string())
        .bind(stay.host.to_string())
        .bind(stay.phase.name())
        .bind(reason_text(stay.reason.as_ref())?)
        .bind(plugin.as_deref().map(storable))
        .bind(state.as_deref().map(storable))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Takes a host out of a session.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn host_remove(connection: &mut Connection, session: SessionId, host: HostId) -> Result<()> {
    sqlx::query("delete from maintenance_host where session_id = $1 and host_id = $2")
        .bind(session.to_string())
        .bind(host.to_string())
        .execute(connection)
        .await?;
    Ok(())
}
