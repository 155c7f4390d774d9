//! Plug-ins: those that are built in, and those of operators.

use axum::Json;
use axum::extract::{Path, State};
use hostler_common::id::ScriptId;
use hostler_core::maintenance::plugin::Manifest;
use hostler_core::maintenance::stay::builtin;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;

use super::super::body::{Fields, shown};
use super::super::error::{Error, Result};
use super::super::guard::Actor;
use super::super::query::{Page, Query};
use crate::api::Api;
use crate::api::json::kind;
use crate::store::Connection;
use crate::store::maintenance::{Plugin, plugin_find, plugin_list};
use crate::store::script::{script_by_name, script_find};

/// The longest name and version, in bytes, and the longest description.
const NAME_MAX: usize = 255;
const TEXT_MAX: usize = 4096;

/// The largest schema of parameters, in bytes as JSON.
const SCHEMA_MAX: usize = 64 << 10;

/// How long a plug-in may be allowed to take, in seconds, and how often it may be repeated.
const TIMEOUT_MAX: u32 = 7 * 86_400;
const RETRIES_MAX: u32 = 100;

/// `MaintenancePlugin` of docs/native-api.md.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginView {
    name: String,
    built_in: bool,
    script: Option<ScriptView>,
    manifest: Manifest,
    updated_at: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct ScriptView {
    id: i64,
    name: Option<String>,
}

impl PluginView {
    fn built_in(manifest: Manifest) -> Self {
        Self { name: manifest.name.clone(), built_in: true, script: None, manifest, updated_at: None }
    }

    async fn of(connection: &mut Connection, plugin: Plugin) -> Result<Self> {
        let script = script_find(connection, plugin.script).await?;
        Ok(Self {
            name: plugin.name,
            built_in: false,
            script: Some(ScriptView { id: plugin.script.0, name: script.map(|script| script.name) }),
            manifest: plugin.manifest,
            updated_at: Some(plugin.updated_at.rfc3339()),
        })
    }
}

fn no_plugin(name: &str) -> Error {
    Error::not_found(format!("there is no plug-in {}", shown(name)))
}

/// `GET /maintenance/plugins`: first those that are built in, then those of operators by name; all on one page.
///
/// # Errors
/// A parameter is not known; see [`crate::store::Error`].
pub async fn list(State(api): State<Api>, mut query: Query) -> Result<Json<Page<PluginView>>> {
    let (_, _) = (query.limit()?, query.take("after")?);
    query.finish()?;
    let mut connection = api.engine.store.read().await?;
    let mut all: Vec<PluginView> = builtin::manifests().into_iter().map(PluginView::built_in).collect();
    for plugin in plugin_list(&mut connection).await? {
        all.push(PluginView::of(&mut connection, plugin).await?);
    }
    let count = u32::try_from(all.len()).unwrap_or(u32::MAX);
    Ok(Json(Page::new(all, count, |plugin| plugin.name.clone(), |plugin| plugin)))
}

/// `GET /maintenance/plugins/{name}`
///
/// # Errors
/// There is no such plug-in; see [`crate::store::Error`].
pub async fn show(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<PluginView>> {
    if let Some(manifest) = builtin::manifest(&name) {
        return Ok(Json(PluginView::built_in(manifest)));
    }
    let mut connection = api.engine.store.read().await?;
    let plugin = plugin_find(&mut connection, &name).await?.ok_or_else(|| no_plugin(&name))?;
    Ok(Json(PluginView::of(&mut connection, plugin).await?))
}

/// `PUT /maintenance/plugins/{name}`
///
/// # Errors
/// A field breaks a rule, the name is a built-in one's, there is no such script; see [`crate::store::Error`].
pub async fn set(
    State(api): State<Api>,
    Actor(actor): Actor,
    Path(name): Path<String>,
    mut fields: Fields,
) -> Result<Json<PluginView>> {
    check_name(&name)?;
    let script = fields.take("script");
    let manifest = manifest(&name, fields.take("manifest"))?;
    fields.finish()?;
    let script = find_script(&api, script).await?;
    let plugin = api.engine.plugin_set(script, manifest, &actor).await?;
    let mut connection = api.engine.store.read().await?;
    Ok(Json(PluginView::of(&mut connection, plugin).await?))
}

/// `DELETE /maintenance/plugins/{name}`
///
/// # Errors
/// There is no such plug-in, it is built in, a session that is not over uses it; see [`crate::store::Error`].
pub async fn delete(State(api): State<Api>, Actor(actor): Actor, Path(name): Path<String>) -> Result<StatusCode> {
    if builtin::canonical(&name).is_some() {
        return Err(Error::conflict(format!("the plug-in {name} is built in and cannot be removed")));
    }
    api.engine.plugin_remove(&name, &actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn check_name(name: &str) -> Result<()> {
    let sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(sign) {
        return Err(Error::field("name", "must have from 1 to 255 of A-Z, a-z, 0-9, '.', '_' and '-'"));
    }
    match builtin::canonical(name) {
        Some(_) => Err(Error::conflict(format!("{name} is the name of a plug-in that is built in; choose another"))),
        None => Ok(()),
    }
}

/// The manifest of a request: without one, that of a plug-in for any type that takes anything.
fn manifest(name: &str, given: Option<Value>) -> Result<Manifest> {
    let mut manifest: Manifest = match given {
        None | Some(Value::Null) => Manifest::default(),
        Some(given @ Value::Object(_)) => {
            serde_json::from_value(given).map_err(|error| Error::field("manifest", error))?
        }
        Some(other) => return Err(Error::field("manifest", format_args!("must be an object, is {}", kind(&other)))),
    };
    if !manifest.name.is_empty() && manifest.name != name {
        return Err(Error::field("manifest.name", "must be the one in the path, or absent"));
    }
    name.clone_into(&mut manifest.name);
    let wrong = |field: &str, rule: String| Err(Error::field(&format!("manifest.{field}"), rule));
    if manifest.description.len() > TEXT_MAX {
        return wrong("description", format!("may have at most {TEXT_MAX} bytes"));
    }
    if manifest.version.len() > NAME_MAX {
        return wrong("version", format!("may have at most {NAME_MAX} bytes"));
    }
    if manifest.timeout_s.is_some_and(|seconds| !(1..=TIMEOUT_MAX).contains(&seconds)) {
        return wrong("timeout_s", format!("must be from 1 to {TIMEOUT_MAX}"));
    }
    if manifest.retries.is_some_and(|count| count > RETRIES_MAX) {
        return wrong("retries", format!("must be from 0 to {RETRIES_MAX}"));
    }
    if !matches!(manifest.params, Value::Null | Value::Object(_)) {
        return wrong("params", format!("must be a JSON schema, is {}", kind(&manifest.params)));
    }
    if manifest.params.to_string().len() > SCHEMA_MAX {
        return wrong("params", format!("may have at most {SCHEMA_MAX} bytes"));
    }
    Ok(manifest)
}

/// The script that a request names, by its name or its number.
async fn find_script(api: &Api, given: Option<Value>) -> Result<ScriptId> {
    let mut connection = api.engine.store.read().await?;
    let (found, named) = match given {
        None | Some(Value::Null) => return Err(Error::field("script", "is required")),
        Some(Value::String(name)) => (script_by_name(&mut connection, &name).await?, shown(&name)),
        Some(Value::Number(number)) => {
            let id = number.as_i64().ok_or_else(|| Error::field("script", "must be a name or a whole number"))?;
            (script_find(&mut connection, ScriptId(id)).await?, id.to_string())
        }
        Some(other) => {
            return Err(Error::field("script", format_args!("must be a name or a number, is {}", kind(&other))));
        }
    };
    let missing = || Error::field("script", format_args!("the library has no script {named}"));
    found.map(|script| script.id).ok_or_else(missing)
}
