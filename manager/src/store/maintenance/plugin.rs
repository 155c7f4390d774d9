//! Plug-ins of the operators: a script of the library with a manifest.

use std::collections::BTreeMap;

use hostler_common::id::ScriptId;
use hostler_common::script::ScriptRef;
use hostler_common::time::Timestamp;
use hostler_core::maintenance::plugin::Manifest;

use super::super::dialect::storable;
use super::super::script::script_ref;
use super::super::tx::{Connection, Result};

/// A plug-in.
#[derive(Clone, Debug, PartialEq)]
pub struct Plugin {
    /// Its name, unique: that of its manifest.
    pub name: String,
    /// The script that it runs, always in its newest revision.
    pub script: ScriptId,
    /// What is known of it before it runs.
    pub manifest: Manifest,
    /// When it was last written.
    pub updated_at: Timestamp,
}

type Row = (String, i64, String, i64);

fn plugin_from((name, script, manifest, updated_at): Row) -> Result<Plugin> {
    Ok(Plugin {
        name,
        script: ScriptId(script),
        manifest: serde_json::from_str(&manifest)?,
        updated_at: Timestamp::from_micros(updated_at),
    })
}

/// Makes a plug-in, or writes it over the one of that name.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn plugin_put(connection: &mut Connection, plugin: &Plugin) -> Result<()> {
    sqlx::query(
        "insert into maintenance_plugin (name, script_id, manifest, updated_at) values ($1, $2, $3, $4) \
         on conflict (name) do update set script_id = excluded.script_id, manifest = excluded.manifest, \
         updated_at = excluded.updated_at",
    )
    .bind(storable(&plugin.name))
    .bind(plugin.script.0)
    .bind(serde_json::to_string(&plugin.manifest)?)
    .bind(plugin.updated_at.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes a plug-in; `false` if there is none of that name.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn plugin_delete(connection: &mut Connection, name: &str) -> Result<bool> {
    let done =
        sqlx::query("delete from maintenance_plugin where name = $1").bind(storable(name)).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}

/// The plug-in of that name.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn plugin_find(connection: &mut Connection, name: &str) -> Result<Option<Plugin>> {
    let row: Option<Row> =
        sqlx::query_as("select name, script_id, manifest, updated_at from maintenance_plugin where name = $1")
            .bind(storable(name))
            .fetch_optional(connection)
            .await?;
    row.map(plugin_from).transpose()
}

/// All plug-ins, by their names.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn plugin_list(connection: &mut Connection) -> Result<Vec<Plugin>> {
    let rows: Vec<Row> =
        sqlx::query_as("select name, script_id, manifest, updated_at from maintenance_plugin order by name")
            .fetch_all(connection)
            .await?;
    rows.into_iter().map(plugin_from).collect()
}

/// The manifests of all plug-ins.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn plugin_all(connection: &mut Connection) -> Result<BTreeMap<String, Manifest>> {
    let all = plugin_list(connection).await?;
    Ok(all.into_iter().map(|plugin| (plugin.name, plugin.manifest)).collect())
}

/// The manifests of all plug-ins with the newest revisions of their scripts; `None` where the script is gone.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn plugins_with_scripts(
    connection: &mut Connection,
) -> Result<BTreeMap<String, (Manifest, Option<ScriptRef>)>> {
    type Joined = (String, String, i64, Option<String>, Option<i64>, Option<String>, Option<String>);
    let rows: Vec<Joined> = sqlx::query_as(
        "select p.name, p.manifest, p.script_id, s.name, r.revision, r.digest, r.signature from maintenance_plugin p \
         left join script s on s.id = p.script_id \
         left join script_revision r on r.script_id = s.id and r.revision = s.revision",
    )
    .fetch_all(connection)
    .await?;
    let mut all = BTreeMap::new();
    for (name, manifest, id, script, revision, digest, signature) in rows {
        let script = match (script, revision, digest, signature) {
            (Some(script), Some(revision), Some(digest), Some(signature)) => {
                Some(script_ref(Some(id), script, revision, &digest, signature)?)
            }
            _ => None,
        };
        all.insert(name, (serde_json::from_str(&manifest)?, script));
    }
    Ok(all)
}
