//! Hooks: which script runs at which moment on which hosts (spec/hooks.md §4, §5).

use std::collections::{BTreeMap, HashMap};

use hostler_common::hook::{HookPoint, OnFailure};
use hostler_common::id::{HookId, HostId, ScriptId};
use hostler_common::time::Timestamp;
use hostler_core::hook::Hook;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::host::parse_host;
use super::script::script_ref;
use super::tx::{Connection, Error, Result, next_number};

/// A hook as it is written: what it is bound to is named, not resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewHook {
    /// The script.
    pub script: ScriptId,
    /// The revision that it is pinned to; `None` means the newest.
    pub revision: Option<u32>,
    /// The moment.
    pub point: HookPoint,
    /// Whether it is bound to every host.
    pub all_hosts: bool,
    /// The hosts that it is bound to otherwise, in the order in which somebody named them.
    pub hosts: Vec<HostId>,
    /// Whether it runs at all.
    pub enabled: bool,
    /// Hooks of one moment run by this, then by number.
    pub order: i32,
    /// The rest.
    pub details: Details,
}

/// What of a hook is kept as a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// What a failure means where something waits.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// How long the script may take, in seconds.
    pub timeout_s: u32,
    /// The account; `None` means that of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as: Option<String>,
    /// More of its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Names of stored secrets, by file name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// On how many hosts it may run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// Whether it gets the occurrence as JSON on its standard input.
    #[serde(default)]
    pub stdin_json: bool,
    /// Whether it also runs at what others brought about.
    #[serde(default)]
    pub external: bool,
    /// Whether processes that it leaves behind live on.
    #[serde(default)]
    pub leave_children: bool,
}

/// A stored hook, and the revision that it is pinned to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The hook, with what it runs now.
    pub hook: Hook,
    /// The revision that it is pinned to.
    pub pinned: Option<u32>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Stored {
    /// The hook as it would be written again.
    #[must_use]
    pub fn as_new(&self) -> NewHook {
        let hook = self.hook.clone();
        NewHook {
            script: hook.script_id,
            revision: self.pinned,
            point: hook.point,
            all_hosts: hook.all_hosts,
            hosts: hook.hosts,
            enabled: hook.enabled,
            order: hook.order,
            details: Details {
                on_failure: hook.on_failure,
                timeout_s: hook.timeout_s,
                run_as: hook.run_as,
                env: hook.env,
                secrets: hook.secrets,
                max_parallel: hook.max_parallel,
                stdin_json: hook.stdin_json,
                external: hook.external,
                leave_children: hook.leave_children,
            },
        }
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select h.id, h.script_id, h.revision as pinned, h.point, h.all_hosts, h.enabled, h.position, h.details, ",
            "h.created_at, r.name, r.revision, r.digest, r.signature from hook h join script s on s.id = h.script_id ",
            "join script_revision r on r.script_id = s.id and r.revision = coalesce(h.revision, s.revision) ",
            $rest
        )
    };
}

fn stored_from(row: &AnyRow, hosts: Vec<HostId>) -> Result<Stored> {
    let (id, script_id): (i64, i64) = (row.try_get("id")?, row.try_get("script_id")?);
    let (point, details): (String, String) = (row.try_get("point")?, row.try_get("details")?);
    let details: Details = serde_json::from_str(&details)?;
    let order: i64 = row.try_get("position")?;
    let pinned: Option<i64> = row.try_get("pinned")?;
    let point = HookPoint::ALL.iter().copied().find(|known| known.name() == point);
    let digest: String = row.try_get("digest")?;
    let (name, revision, signature) = (row.try_get("name")?, row.try_get("revision")?, row.try_get("signature")?);
    let hook = Hook {
        id: HookId(id),
        point: point.ok_or_else(|| Error::Broken(format!("hook {id} is bound to an unknown moment")))?,
        script_id: ScriptId(script_id),
        script: script_ref(Some(script_id), name, revision, &digest, signature)?,
        all_hosts: row.try_get::<i64, _>("all_hosts")? != 0,
        hosts,
        enabled: row.try_get::<i64, _>("enabled")? != 0,
        order: i32::try_from(order).unwrap_or(if order < 0 { i32::MIN } else { i32::MAX }),
        on_failure: details.on_failure,
        timeout_s: details.timeout_s,
        run_as: details.run_as,
        env: details.env,
        secrets: details.secrets,
        max_parallel: details.max_parallel,
        stdin_json: details.stdin_json,
        external: details.external,
        leave_children: details.leave_children,
    };
    Ok(Stored {
        hook,
        pinned: pinned.and_then(|number| u32::try_from(number).ok()),
        created_at: Timestamp::from_micros(row.try_get("created_at")?),
    })
}

async fn hosts_of(connection: &mut Connection, hook: Option<HookId>) -> Result<HashMap<i64, Vec<HostId>>> {
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "select hook_id, host_id from hook_host where ($1 = 0 or hook_id = $1) order by hook_id, position",
    )
    .bind(hook.map_or(0, |hook| hook.0))
    .fetch_all(connection)
    .await?;
    let mut hosts: HashMap<i64, Vec<HostId>> = HashMap::new();
    for (hook, host) in rows {
        hosts.entry(hook).or_default().push(parse_host(&host)?);
    }
    Ok(hosts)
}

/// Makes a hook.
///
/// # Errors
/// [`Error::Exists`] if the script has one at that moment already; see [`Error`].
pub async fn hook_insert(connection: &mut Connection, new: &NewHook, at: Timestamp) -> Result<HookId> {
    let id = HookId(next_number(connection, "hook").await?);
    sqlx::query(
        "insert into hook (id, script_id, revision, point, all_hosts, enabled, position, details, created_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(id.0)
    .bind(new.script.0)
    .bind(new.revision.map(i64::from))
    .bind(new.point.name())
    .bind(i64::from(new.all_hosts))
    .bind(i64::from(new.enabled))
    .bind(i64::from(new.order))
    .bind(serde_json::to_string(&new.details)?)
    .bind(at.as_micros())
    .execute(&mut *connection)
    .await?;
    bind_hosts(connection, id, &new.hosts).await?;
    Ok(id)
}

/// Writes a hook over the one with its number.
///
/// # Errors
/// [`Error::Exists`] if the script has another one at that moment already; see [`Error`].
pub async fn hook_update(connection: &mut Connection, id: HookId, new: &NewHook) -> Result<()> {
    sqlx::query(
        "update hook set script_id = $2, revision = $3, point = $4, all_hosts = $5, enabled = $6, position = $7, \
         details = $8 where id = $1",
    )
    .bind(id.0)
    .bind(new.script.0)
    .bind(new.revision.map(i64::from))
    .bind(new.point.name())
    .bind(i64::from(new.all_hosts))
    .bind(i64::from(new.enabled))
    .bind(i64::from(new.order))
    .bind(serde_json::to_string(&new.details)?)
    .execute(&mut *connection)
    .await?;
    sqlx::query("delete from hook_host where hook_id = $1").bind(id.0).execute(&mut *connection).await?;
    bind_hosts(connection, id, &new.hosts).await
}

async fn bind_hosts(connection: &mut Connection, id: HookId, hosts: &[HostId]) -> Result<()> {
    for (position, host) in (0_i64..).zip(hosts) {
        sqlx::query("insert into hook_host (hook_id, host_id, position) values ($1, $2, $3)")
            .bind(id.0)
            .bind(host.to_string())
            .bind(position)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Removes a hook; `false` if there is none of that number.
///
/// # Errors
/// See [`Error`].
pub async fn hook_delete(connection: &mut Connection, id: HookId) -> Result<bool> {
    Ok(sqlx::query("delete from hook where id = $1").bind(id.0).execute(connection).await?.rows_affected() > 0)
}

/// The hook of that number.
///
/// # Errors
/// See [`Error`].
pub async fn hook_find(connection: &mut Connection, id: HookId) -> Result<Option<Stored>> {
    let row = sqlx::query(select!("where h.id = $1")).bind(id.0).fetch_optional(&mut *connection).await?;
    let Some(row) = row else { return Ok(None) };
    let mut hosts = hosts_of(connection, Some(id)).await?;
    stored_from(&row, hosts.remove(&id.0).unwrap_or_default()).map(Some)
}

/// All hooks, by number.
///
/// # Errors
/// See [`Error`].
pub async fn hook_list(connection: &mut Connection) -> Result<Vec<Stored>> {
    let rows = sqlx::query(select!("order by h.id")).fetch_all(&mut *connection).await?;
    with_hosts(connection, &rows).await
}

/// The hooks of a moment that run at all, in the order in which they run.
///
/// # Errors
/// See [`Error`].
pub async fn hook_of_point(connection: &mut Connection, point: HookPoint) -> Result<Vec<Hook>> {
    let rows = sqlx::query(select!("where h.point = $1 and h.enabled = 1 order by h.position, h.id"))
        .bind(point.name())
        .fetch_all(&mut *connection)
        .await?;
    Ok(with_hosts(connection, &rows).await?.into_iter().map(|stored| stored.hook).collect())
}

async fn with_hosts(connection: &mut Connection, rows: &[AnyRow]) -> Result<Vec<Stored>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut hosts = hosts_of(connection, None).await?;
    let stored = |row: &AnyRow| {
        let id: i64 = row.try_get("id")?;
        stored_from(row, hosts.remove(&id).unwrap_or_default())
    };
    rows.iter().map(stored).collect()
}
