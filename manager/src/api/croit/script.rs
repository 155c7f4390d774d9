//! Scripts: both generations of endpoints over one library (spec/hooks.md §1.2, §4).

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use hostler_common::id::ScriptId;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Croit;
use super::body::{Json, empty};
use super::failure::script_failure;
use super::guard::Asker;
use super::hook::{SimpleHook, server_numbers};
use super::page::{Columns, Kind, Paging, column, listed, paged, row};
use super::parameters::Parameters;
use crate::api::native::error::{Error, Result};
use crate::api::native::path::Id;
use crate::hooks::{HookChange, ScriptChange};
use crate::store::hook::Stored;
use crate::store::script::Script;

/// What lists of scripts can be filtered and sorted by.
const COLUMNS: Columns = &[column("id", Kind::Number), column("name", Kind::Text), column("hookNames", Kind::Text)];

/// `HookScriptRequest` and `ScriptRequest`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ScriptBody {
    name: Option<String>,
    contents: Option<String>,
    hooks: Option<Vec<SimpleHook>>,
}

impl ScriptBody {
    fn hooks(&mut self) -> Result<Option<Vec<HookChange>>> {
        let Some(hooks) = self.hooks.take() else { return Ok(None) };
        hooks.into_iter().map(SimpleHook::change).collect::<Result<Vec<_>>>().map(Some)
    }
}

/// `ScriptInfo`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ScriptInfo {
    id: i64,
    name: String,
    hooks: Vec<SimpleHookInfo>,
    hook_names: String,
    revision: u32,
}

/// `SimpleHookInfo`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SimpleHookInfo {
    event: &'static str,
    all_servers: bool,
    server_ids: Vec<i64>,
}

fn info(script: Script, all: &[Stored], servers: &super::hook::Servers) -> ScriptInfo {
    let own: Vec<&Stored> = all.iter().filter(|stored| stored.hook.script_id == script.id).collect();
    let names: Vec<&str> = own.iter().map(|stored| stored.hook.point.name()).collect();
    ScriptInfo {
        id: script.id.0,
        name: script.name,
        hook_names: names.join(", "),
        hooks: own
            .into_iter()
            .map(|stored| SimpleHookInfo {
                event: stored.hook.point.name(),
                all_servers: stored.hook.all_hosts,
                server_ids: servers.numbers(&stored.hook.hosts),
            })
            .collect(),
        revision: script.revision,
    }
}

/// `GET /events/hook-scripts`
pub(super) async fn list_with_hooks(State(croit): State<Croit>, paging: Paging) -> Result<Response> {
    let (scripts, hooks) = (croit.hooks().scripts().await?, croit.hooks().hooks().await?);
    let servers = server_numbers(&croit).await?;
    let rows: Result<Vec<_>> = scripts.into_iter().map(|script| row(&info(script, &hooks, &servers))).collect();
    paged(COLUMNS, &paging, rows?)
}

/// `GET /events/scripts`
pub(super) async fn list(State(croit): State<Croit>, paging: Paging) -> Result<Response> {
    let scripts = croit.hooks().scripts().await?;
    let rows: Result<Vec<_>> =
        scripts.into_iter().map(|script| row(&json!({ "id": script.id, "name": script.name }))).collect();
    listed(&COLUMNS[..2], &paging, rows?)
}

/// `POST /events/scripts` and `POST /events/hook-scripts`
pub(super) async fn create(
    State(croit): State<Croit>,
    asker: Asker,
    Json(mut body): Json<ScriptBody>,
) -> Result<Response> {
    let hooks = body.hooks()?.unwrap_or_default();
    let name = body.name.ok_or_else(|| Error::field("name", "is required"))?;
    let contents = body.contents.unwrap_or_default();
    let id = croit.hooks().script_create(asker.name(), name, contents, hooks).await.map_err(script_failure)?;
    Ok(Answer(json!({ "id": id })).into_response())
}

/// `PATCH /events/scripts/{id}` and `PATCH /events/hook-scripts/{id}`
pub(super) async fn update(
    State(croit): State<Croit>,
    asker: Asker,
    Id(id): Id<ScriptId>,
    Json(mut body): Json<ScriptBody>,
) -> Result<Response> {
    let change = ScriptChange { hooks: body.hooks()?, name: body.name, contents: body.contents };
    croit.hooks().script_update(asker.name(), id, change).await.map_err(script_failure)?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// `DELETE /events/scripts/{id}`
pub(super) async fn remove(
    State(croit): State<Croit>,
    asker: Asker,
    Id(id): Id<ScriptId>,
    parameters: Parameters,
) -> Result<Response> {
    let force = parameters.flag("force")?;
    croit.hooks().script_remove(asker.name(), id, force).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// `GET /events/scripts/{id}`
pub(super) async fn contents(
    State(croit): State<Croit>,
    Id(id): Id<ScriptId>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response> {
    let form = Form::of(&headers).ok_or_else(|| {
        Error::new(StatusCode::NOT_ACCEPTABLE, "scripts are given as text/plain, or as a JSON string")
    })?;
    let number = parameters.number("revision")?;
    let (revision, contents) = croit.hooks().script_revision(id, number).await?;
    let mut response = match form {
        Form::Text => {
            let media = HeaderValue::from_static("text/plain; charset=utf-8");
            ([(header::CONTENT_TYPE, media)], contents).into_response()
        }
        Form::Json => Answer(contents).into_response(),
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    if let Ok(etag) = HeaderValue::from_str(&format!("\"{}\"", revision.script.digest)) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    Ok(response)
}

/// `GET /events/scripts/{id}/revisions`
pub(super) async fn revisions(State(croit): State<Croit>, Id(id): Id<ScriptId>) -> Result<Response> {
    let found = croit.hooks().script_revisions(id).await?;
    let shown: Vec<_> = found
        .into_iter()
        .map(|revision| {
            json!({
                "revision": revision.script.revision, "name": revision.script.name, "sha256": revision.script.digest,
                "size": revision.size, "author": revision.author, "at": revision.at.rfc3339(),
            })
        })
        .collect();
    Ok(Answer(shown).into_response())
}

/// In which form somebody takes a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Json,
}

impl Form {
    /// By the `Accept` header; text wins where both are taken. `None` if neither is.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let lines: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok()).collect();
        if lines.iter().all(|line| line.trim().is_empty()) {
            return Some(Self::Text);
        }
        let taken = |forms: &[&str]| {
            lines.iter().flat_map(|line| line.split(',')).any(|entry| {
                let mut parts = entry.split(';').map(str::trim);
                let media = parts.next().unwrap_or_default().to_ascii_lowercase();
                let refused = parts.any(|part| {
                    part.strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|quality| quality <= 0.0))
                });
                !refused && forms.contains(&media.as_str())
            })
        };
        if taken(&["text/plain", "text/*", "*/*"]) {
            Some(Self::Text)
        } else if taken(&["application/json", "application/*"]) {
            Some(Self::Json)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_what() {
        let form = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            Form::of(&headers)
        };
        assert_eq!(Form::of(&HeaderMap::new()), Some(Form::Text));
        for text in ["", "*/*", "text/plain", "application/json, text/*;q=0.5", "TEXT/PLAIN; charset=utf-8"] {
            assert_eq!(form(text), Some(Form::Text), "{text}");
        }
        for json in ["application/json", "application/*", "application/json, text/plain;q=0"] {
            assert_eq!(form(json), Some(Form::Json), "{json}");
        }
        for neither in ["application/xml", "image/png", "text/html"] {
            assert_eq!(form(neither), None, "{neither}");
        }
    }
}
