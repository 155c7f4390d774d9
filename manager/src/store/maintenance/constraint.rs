//! What owners ask for their instances and groups; independent of any session.

use std::collections::BTreeMap;

use hostler_common::time::Timestamp;
use hostler_core::maintenance::constraint::{GroupConstraint, InstanceConstraint};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::super::dialect::storable;
use super::super::tx::{Connection, Result};
use super::instance::action_from;
use super::small;

fn constraint_from(row: &AnyRow) -> Result<InstanceConstraint> {
    Ok(InstanceConstraint {
        instance_id: row.try_get("instance_id")?,
        project_id: row.try_get("project_id")?,
        group_id: row.try_get("group_id")?,
        instance_name: row.try_get("instance_name")?,
        max_interruption_time: small(row.try_get("max_interruption_time")?),
        migration_type: action_from(row.try_get("migration_type")?)?,
        resource_mitigation: row.try_get::<i64, _>("resource_mitigation")? != 0,
        lead_time: small(row.try_get("lead_time")?),
    })
}

/// Writes what an instance needs over what it needed before.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn constraint_put(connection: &mut Connection, new: &InstanceConstraint, at: Timestamp) -> Result<()> {
    sqlx::query(
        "insert into instance_constraint (instance_id, project_id, group_id, instance_name, max_interruption_time, \
         migration_type, resource_mitigation, lead_time, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         on conflict (instance_id) do update set project_id = excluded.project_id, group_id = excluded.group_id, \
         instance_name = excluded.instance_name, max_interruption_time = excluded.max_interruption_time, \
         migration_type = excluded.migration_type, resource_mitigation = excluded.resource_mitigation, \
         lead_time = excluded.lead_time, updated_at = excluded.updated_at",
    )
    .bind(storable(&new.instance_id))
    .bind(storable(&new.project_id))
    .bind(new.group_id.as_deref().map(storable))
    .bind(new.instance_name.as_deref().map(storable))
    .bind(i64::from(new.max_interruption_time))
    .bind(new.migration_type.name())
    .bind(i64::from(new.resource_mitigation))
    .bind(i64::from(new.lead_time))
    .bind(at.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// What an instance needs, if its owner said.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn constraint_find(connection: &mut Connection, instance: &str) -> Result<Option<InstanceConstraint>> {
    let row = sqlx::query("select * from instance_constraint where instance_id = $1")
        .bind(storable(instance))
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(constraint_from).transpose()
}

/// What instances need, by their ids; only those of a project, if one is given.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn constraint_list(connection: &mut Connection, project: Option<&str>) -> Result<Vec<InstanceConstraint>> {
    let rows = sqlx::query("select * from instance_constraint where $1 = '' or project_id = $1 order by instance_id")
        .bind(project.unwrap_or_default())
        .fetch_all(connection)
        .await?;
    rows.iter().map(constraint_from).collect()
}

/// What all instances need, by their ids.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn constraint_all(connection: &mut Connection) -> Result<BTreeMap<String, InstanceConstraint>> {
    let all = constraint_list(connection, None).await?;
    Ok(all.into_iter().map(|one| (one.instance_id.clone(), one)).collect())
}

/// An instance needs nothing any more; `false` if it never did.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn constraint_delete(connection: &mut Connection, instance: &str) -> Result<bool> {
    let done = sqlx::query("delete from instance_constraint where instance_id = $1")
        .bind(storable(instance))
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

fn group_from(row: &AnyRow) -> Result<GroupConstraint> {
    Ok(GroupConstraint {
        group_id: row.try_get("group_id")?,
        project_id: row.try_get("project_id")?,
        group_name: row.try_get("group_name")?,
        anti_affinity_group: row.try_get::<i64, _>("anti_affinity_group")? != 0,
        max_instances_per_host: small(row.try_get("max_instances_per_host")?),
        max_impacted_members: small(row.try_get("max_impacted_members")?),
        recovery_time: small(row.try_get("recovery_time")?),
        resource_mitigation: row.try_get::<i64, _>("resource_mitigation")? != 0,
    })
}

/// Writes what a group needs over what it needed before.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn group_put(connection: &mut Connection, new: &GroupConstraint, at: Timestamp) -> Result<()> {
    sqlx::query(
        "insert into instance_group (group_id, project_id, group_name, anti_affinity_group, max_instances_per_host, \
         max_impacted_members, recovery_time, resource_mitigation, updated_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (group_id) do update set \
         project_id = excluded.project_id, group_name = excluded.group_name, \
         anti_affinity_group = excluded.anti_affinity_group, \
         max_instances_per_host = excluded.max_instances_per_host, \
         max_impacted_members = excluded.max_impacted_members, recovery_time = excluded.recovery_time, \
         resource_mitigation = excluded.resource_mitigation, updated_at = excluded.updated_at",
    )
    .bind(storable(&new.group_id))
    .bind(storable(&new.project_id))
    .bind(new.group_name.as_deref().map(storable))
    .bind(i64::from(new.anti_affinity_group))
    .bind(i64::from(new.max_instances_per_host))
    .bind(i64::from(new.max_impacted_members))
    .bind(i64::from(new.recovery_time))
    .bind(i64::from(new.resource_mitigation))
    .bind(at.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// What a group needs, if its owner said.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn group_find(connection: &mut Connection, group: &str) -> Result<Option<GroupConstraint>> {
    let row = sqlx::query("select * from instance_group where group_id = $1")
        .bind(storable(group))
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(group_from).transpose()
}

/// What groups need, by their ids; only those of a project, if one is given.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn group_list(connection: &mut Connection, project: Option<&str>) -> Result<Vec<GroupConstraint>> {
    let rows = sqlx::query("select * from instance_group where $1 = '' or project_id = $1 order by group_id")
        .bind(project.unwrap_or_default())
        .fetch_all(connection)
        .await?;
    rows.iter().map(group_from).collect()
}

/// What all groups need, by their ids.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn group_all(connection: &mut Connection) -> Result<BTreeMap<String, GroupConstraint>> {
    let all = group_list(connection, None).await?;
    Ok(all.into_iter().map(|one| (one.group_id.clone(), one)).collect())
}

/// A group needs nothing any more; returns how many instances still name it, or `None` if there was none.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn group_delete(connection: &mut Connection, group: &str) -> Result<Option<u32>> {
    let group = storable(group);
    let done =
        sqlx::query("delete from instance_group where group_id = $1").bind(&group).execute(&mut *connection).await?;
    if done.rows_affected() == 0 {
        return Ok(None);
    }
    let (named,): (i64,) = sqlx::query_as("select count(*) from instance_constraint where group_id = $1")
        .bind(&group)
        .fetch_one(connection)
        .await?;
    Ok(Some(small(named)))
}
