//! Instances of sessions.

use std::collections::BTreeMap;

use hostler_common::id::SessionId;
use hostler_common::time::Timestamp;
use hostler_core::maintenance::instance::{InstanceState, MoveAction, SessionInstance};
use serde_json::Value;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::super::dialect::storable;
use super::super::host::parse_host;
use super::super::tx::{Connection, Result};
use super::{CHUNK, rows_of};

const COLUMNS: &str = "instance_id, name, project_id, host_id, state, project_state, action, action_done, details, \
                       impacted_from, recovered_at";

/// A word of the core, as its own serialization says it.
fn word<T: serde::Serialize>(value: T) -> Result<String> {
    match serde_json::to_value(value)? {
        Value::String(text) => Ok(text),
        other => Ok(other.to_string()),
    }
}

pub(super) fn action_from(text: String) -> Result<MoveAction> {
    Ok(serde_json::from_value(Value::String(text))?)
}

fn instance_from(row: &AnyRow) -> Result<SessionInstance> {
    let (host, state): (String, String) = (row.try_get("host_id")?, row.try_get("state")?);
    let action: Option<String> = row.try_get("action")?;
    let moment = |name: &str| -> Result<Option<Timestamp>> {
        Ok(row.try_get::<Option<i64>, _>(name)?.map(Timestamp::from_micros))
    };
    Ok(SessionInstance {
        id: row.try_get("instance_id")?,
        name: row.try_get("name")?,
        project: row.try_get("project_id")?,
        host: parse_host(&host)?,
        state: serde_json::from_value::<InstanceState>(Value::String(state))?,
        project_state: row.try_get("project_state")?,
        action: action.map(action_from).transpose()?,
        action_done: row.try_get::<i64, _>("action_done")? != 0,
        details: row.try_get("details")?,
        impacted_from: moment("impacted_from")?,
        recovered_at: moment("recovered_at")?,
    })
}

/// The instances of a session, by their ids; only those of a project, if one is given.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn instance_rows(
    connection: &mut Connection,
    session: SessionId,
    project: Option<&str>,
) -> Result<Vec<SessionInstance>> {
    let text = format!(
        "select {COLUMNS} from maintenance_instance where session_id = $1 and ($2 = '' or project_id = $2) \
         order by instance_id"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(session.to_string()).bind(project.unwrap_or_default());
    query.fetch_all(connection).await?.iter().map(instance_from).collect()
}

/// Some of the instances of a session: at most so many with greater ids than `after`.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn instance_page(
    connection: &mut Connection,
    session: SessionId,
    after: &str,
    limit: u32,
) -> Result<Vec<SessionInstance>> {
    let text = format!(
        "select {COLUMNS} from maintenance_instance where session_id = $1 and instance_id > $2 \
         order by instance_id limit $3"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(session.to_string()).bind(storable(after));
    query.bind(i64::from(limit)).fetch_all(connection).await?.iter().map(instance_from).collect()
}

/// Writes instances of a session, whole; those that are not there are made. Each at most once.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn instance_put_all(
    connection: &mut Connection,
    session: SessionId,
    instances: &[SessionInstance],
) -> Result<()> {
    for chunk in instances.chunks(CHUNK) {
        let text = format!(
            "insert into maintenance_instance (session_id, {COLUMNS}) values {} \
             on conflict (session_id, instance_id) do update set name = excluded.name, \
             project_id = excluded.project_id, host_id = excluded.host_id, state = excluded.state, \
             project_state = excluded.project_state, action = excluded.action, action_done = excluded.action_done, \
             details = excluded.details, impacted_from = excluded.impacted_from, \
             recovered_at = excluded.recovered_at",
            rows_of(1, chunk.len(), 12)
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
        for instance in chunk {
            query = query
                .bind(session.to_string())
                .bind(storable(&instance.id))
                .bind(storable(&instance.name))
                .bind(storable(&instance.project))
                .bind(instance.host.to_string())
                .bind(word(instance.state)?)
                .bind(instance.project_state.as_deref().map(storable))
                .bind(instance.action.map(word).transpose()?)
                .bind(i64::from(instance.action_done))
                .bind(instance.details.as_deref().map(storable))
                .bind(instance.impacted_from.map(Timestamp::as_micros))
                .bind(instance.recovered_at.map(Timestamp::as_micros));
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Takes an instance out of a session.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn instance_remove(connection: &mut Connection, session: SessionId, instance: &str) -> Result<()> {
    sqlx::query("delete from maintenance_instance where session_id = $1 and instance_id = $2")
        .bind(session.to_string())
        .bind(storable(instance))
        .execute(connection)
        .await?;
    Ok(())
}

/// Instances whose service any session impairs at that moment, with the moment at which they recover, if that is known.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn impacted(connection: &mut Connection, at: Timestamp) -> Result<BTreeMap<String, Option<Timestamp>>> {
    let rows: Vec<(String, Option<i64>)> = sqlx::query_as(
        "select instance_id, recovered_at from maintenance_instance \
         where impacted_from is not null and (recovered_at is null or recovered_at > $1)",
    )
    .bind(at.as_micros())
    .fetch_all(connection)
    .await?;
    let mut all = BTreeMap::new();
    for (instance, recovered_at) in rows {
        let recovered_at = recovered_at.map(Timestamp::from_micros);
        let known = all.entry(instance).or_insert(recovered_at);
        // Of several sessions, the one that takes longest counts; unknown is longer than any moment.
        *known = known.zip(recovered_at).map(|(one, other)| one.max(other));
    }
    Ok(all)
}
