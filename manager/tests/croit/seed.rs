//! The paths of the seed API, literally: method, path, status, and the fields of spec/hooks.md §3 with their types
//! (acceptance 2 of the issue on scripts, hooks and tasks).

use axum::body::Body;
use serde_json::{Value, json};

use crate::app::{Answer, App};

/// Whether a value has a type: `int`, `str`, `bool`, `date`, `any`, the name of a shape, a list of one (`int[]`), or one that
/// may be null (`str?`).
fn is(value: &Value, kind: &str) -> bool {
    if let Some(kind) = kind.strip_suffix('?') {
        return value.is_null() || is(value, kind);
    }
    if let Some(kind) = kind.strip_suffix("[]") {
        return value.as_array().is_some_and(|list| list.iter().all(|one| is(one, kind)));
    }
    match kind {
        "int" => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        "str" => value.is_string(),
        "bool" => value.is_boolean(),
        "date" => value.as_str().is_some_and(|text| {
            let digits: String = text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
            digits.starts_with("9999-99-99T99:99:99") && text.ends_with('Z')
        }),
        "any" => true,
        shape => has(value, shape).is_ok(),
    }
}

/// The shapes of §3: each field as `name:type`; `name*` may be missing.
const SHAPES: &[(&str, &str)] = &[
    ("ScriptIdentifier", "id:int name:str"),
    ("ScriptInfo", "id:int name:str hooks:SimpleHookInfo[]? hookNames:str?"),
    ("SimpleHookInfo", "event:str allServers:bool serverIds:int[]?"),
    ("HookInfo", "id:int scriptId:int scriptName:str event:str allServers:bool serverIds:int[] serverNames:str[]"),
    ("HookPointInfo", "name:str canChooseServer:bool description:str parameters:Parameter[]"),
    ("Parameter", "name:str description:str"),
    ("GeneratedId", "id:int"),
    ("Progress", "complete:int total:int"),
    (
        "ManagedTask",
        "id:int done:bool statusCode:int startedAt:date startedBy:str name:str state:str progress:Progress? result*:any \
         object*:str? output:str",
    ),
    (
        "TaskResponse",
        "id:int done:bool statusCode:int startedAt:date startedBy:str name:str state:str progress:Progress? result*:any \
         object*:str? output:str cancelled:bool question*:any",
    ),
];

/// Why a value has not that shape.
fn has(value: &Value, shape: &str) -> Result<(), String> {
    let (_, fields) = SHAPES.iter().find(|(name, _)| *name == shape).unwrap();
    for field in fields.split_whitespace() {
        let (name, kind) = field.split_once(':').unwrap();
        let plain = name.trim_end_matches('*');
        match value.get(plain) {
            None if plain != name => {}
            None => return Err(format!("{shape}.{plain} is missing: {value}")),
            Some(found) if is(found, kind) => {}
            Some(found) => return Err(format!("{shape}.{plain} is no {kind}: {found}")),
        }
    }
    Ok(())
}

#[track_caller]
fn of(value: &Value, shape: &str) {
    has(value, shape).unwrap();
}

async fn call(app: &App, method: &str, path: &str, body: Value) -> Answer {
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    app.call("admin", method, path, body).await
}

#[track_caller]
fn done(answer: &Answer, status: u16) {
    assert_eq!((answer.status, answer.text.as_str()), (status, ""), "no body");
}

#[tokio::test]
async fn the_seed_paths_of_scripts_answer_literally() {
    let app = App::start().await;
    let text = "#!/bin/sh\nexit 0\n";
    let made = call(&app, "POST", "/api/events/scripts", json!({"name": "a", "contents": text})).await.expect(200);
    assert_eq!(made, json!({"id": 1}), "GeneratedId and nothing else");
    let list = call(&app, "GET", "/api/events/scripts", Value::Null).await.expect(200);
    assert_eq!(list, json!([{"id": 1, "name": "a"}]), "a bare array of ScriptIdentifier and nothing else");
    of(&list[0], "ScriptIdentifier");
    let contents = call(&app, "GET", "/api/events/scripts/1", Value::Null).await;
    assert_eq!((contents.status, contents.text.as_str()), (200, text));
    done(&call(&app, "PATCH", "/api/events/scripts/1", json!({"name": "b"})).await, 204);
    done(&call(&app, "DELETE", "/api/events/scripts/1", Value::Null).await, 204);

    let hooks = json!([{"event": "OnHealthDegrade", "allServers": false, "serverIds": []}]);
    let new = json!({"name": "c", "contents": text, "hooks": hooks});
    assert_eq!(call(&app, "POST", "/api/events/hook-scripts", new).await.expect(200), json!({"id": 2}));
    let page = call(&app, "GET", "/api/events/hook-scripts", Value::Null).await.expect(200);
    of(&page["data"][0], "ScriptInfo");
    assert_eq!(page["data"][0]["hookNames"], "OnHealthDegrade");
    done(&call(&app, "PATCH", "/api/events/hook-scripts/2", json!({"name": "d"})).await, 204);
}

#[tokio::test]
async fn the_seed_paths_of_hooks_answer_literally() {
    let app = App::start().await;
    app.host("h1").await;
    let script = crate::script(&app, "s").await;
    let new = json!({"event": "PostFormatDisk", "scriptId": script, "serverIds": [1], "allServers": false});
    done(&call(&app, "POST", "/api/events/hooks", new).await, 201);
    let list = call(&app, "GET", "/api/events/hooks", Value::Null).await.expect(200);
    of(&list[0], "HookInfo");
    assert_eq!((&list[0]["serverIds"], &list[0]["serverNames"]), (&json!([1]), &json!(["h1"])));
    done(&call(&app, "PATCH", "/api/events/hooks/1", json!({"event": "PreFormatDisk"})).await, 204);
    let points = call(&app, "GET", "/api/events/hooks/hook-points", Value::Null).await.expect(200);
    let points = points.as_array().unwrap();
    points.iter().for_each(|point| of(point, "HookPointInfo"));
    let names: Vec<&str> = points.iter().map(|point| point["name"].as_str().unwrap()).collect();
    let table = [
        "PreNetworkConfig",
        "PostNetworkConfig",
        "PreDaemonStart",
        "PostDaemonStart",
        "PreFormatDisk",
        "PostFormatDisk",
        "PostCephDaemonStart",
        "OnHealthDegrade",
        "OnHealthImprove",
        "OnHealthRecover",
        "PreCrushMapChange",
        "PostCrushMapChange",
        "PostConfigChanged",
        "OnDhcpLeaseUpdate",
        "OnPersistentAvailable",
        "OnCephFsSnapshotComplete",
        "OnRbdSnapshotComplete",
        "OnAudit",
        "OnCroitStartup",
        "OnCroitAsyncStartup",
    ];
    assert_eq!(names, table);
    done(&call(&app, "DELETE", "/api/events/hooks/1", Value::Null).await, 204);
}

#[tokio::test]
async fn the_seed_path_that_runs_a_script_answers_literally() {
    let app = App::start().await;
    let host = app.host("h1").await;
    app.connect(host).await;
    let script = crate::script(&app, "s").await;
    let order = json!({"scriptId": script, "args": [], "servers": [1]});
    let task = call(&app, "POST", "/api/events/scripts/execute", order).await.expect(200);
    of(&task, "ManagedTask");
    assert!(["WAITING", "RUNNING"].contains(&task["state"].as_str().unwrap()), "{task}");
    let verbatim = json!({"script": "#!/bin/true\n", "args": ["a"], "servers": [1]});
    of(&call(&app, "POST", "/api/events/scripts/execute", verbatim).await.expect(200), "ManagedTask");
    for wrong in
        [json!({"args": [], "servers": [1]}), json!({"scriptId": 1, "script": "#!/x", "args": [], "servers": [1]})]
    {
        call(&app, "POST", "/api/events/scripts/execute", wrong).await.error(400);
    }
    let page = call(&app, "GET", "/api/tasks", Value::Null).await.expect(200);
    page["data"].as_array().unwrap().iter().for_each(|task| of(task, "TaskResponse"));
    of(&call(&app, "GET", "/api/tasks/1", Value::Null).await.expect(200), "TaskResponse");
}
