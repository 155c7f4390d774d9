//! Hooks and hook points.

use axum::body::Body;
use hostler_common::hook::HookPoint;
use serde_json::{Value, json};

use crate::app::{Answer, App};
use crate::{pagination, script};

async fn create(app: &App, body: Value) -> Answer {
    app.post("/api/events/hooks", body).await
}

async fn only(app: &App) -> Value {
    let all = app.get("/api/events/hooks").await.expect(200);
    assert_eq!(all.as_array().unwrap().len(), 1, "{all}");
    all[0].clone()
}

#[tokio::test]
async fn spec_13_1_hooks_round_trip() {
    let app = App::start().await;
    let id = script(&app, "s").await;
    for name in ["h1", "h2"] {
        app.host(name).await;
    }
    let made = create(&app, json!({"event": "PreNetworkConfig", "scriptId": id, "serverIds": [2, 1, 2]})).await;
    assert_eq!((made.status, made.text.as_str()), (201, ""));
    assert_eq!(
        (&made.headers["location"], &made.headers["content-length"]),
        (&"/api/events/hooks/1".parse().unwrap(), &"0".parse().unwrap())
    );
    let hook = only(&app).await;
    let own = json!({"id": 1, "scriptId": id, "scriptName": "s", "event": "PreNetworkConfig", "allServers": false,
                     "serverIds": [2, 1], "serverNames": ["h2", "h1"]});
    for (name, value) in own.as_object().unwrap() {
        assert_eq!(&hook[name], value, "{name}");
    }
    assert_eq!((&hook["order"], &hook["enabled"], &hook["timeoutSeconds"]), (&json!(100), &json!(true), &json!(300)));
    let page =
        app.get(&format!("/api/events/hooks?{}", pagination(&json!({"where": {}, "sortBy": []})))).await.expect(200);
    assert_eq!(page, json!({"data": [hook], "total": 1, "after": 0, "limit": null}));
    let change = json!({"event": "PostNetworkConfig", "order": 7, "timeoutSeconds": 60, "runAs": "nobody",
                        "env": {"A": "1"}, "stdin": "json", "maxParallel": 3, "onFailure": "warn", "enabled": false});
    let answer = app.call("admin", "PATCH", "/api/events/hooks/1", change.to_string()).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let hook = only(&app).await;
    for (name, value) in change.as_object().unwrap() {
        assert_eq!(&hook[name], value, "{name}");
    }
    assert_eq!(hook["serverIds"], json!([2, 1]), "what is not named stays");
    app.call("admin", "PATCH", "/api/events/hooks/1", json!({"allServers": true, "runAs": null}).to_string())
        .await
        .expect(204);
    let hook = only(&app).await;
    assert_eq!((&hook["allServers"], &hook["serverIds"], &hook["runAs"]), (&json!(true), &json!([]), &Value::Null));
    app.call("admin", "DELETE", "/api/events/hooks/1", Body::empty()).await.expect(204);
    app.call("admin", "DELETE", "/api/events/hooks/1", Body::empty()).await.error(404);
    app.call("admin", "PATCH", "/api/events/hooks/1", "{}").await.error(404);
    assert_eq!(app.get("/api/events/hooks").await.expect(200), json!([]));
}

#[tokio::test]
async fn spec_4_rules_of_hooks() {
    let app = App::start().await;
    let id = script(&app, "s").await;
    app.host("h1").await;
    create(&app, json!({"event": "OnHealthDegrade", "scriptId": id, "allServers": true, "serverIds": [1]}))
        .await
        .expect(201);
    let hook = only(&app).await;
    assert_eq!(
        (&hook["allServers"], &hook["serverIds"]),
        (&json!(false), &json!([])),
        "those of the management node have none"
    );
    assert!(hook.get("warning").is_none());
    let text = create(&app, json!({"event": "OnHealthDegrade", "scriptId": id})).await.error(400);
    assert!(text.contains("OnHealthDegrade"), "{text}");
    create(&app, json!({"event": "PreFormatDisk", "scriptId": id, "serverIds": []})).await.expect(201);
    let all = app.get("/api/events/hooks").await.expect(200);
    assert!(all[1]["warning"].as_str().unwrap().contains("never"));
    for (bad, about) in [
        (json!({"event": "OnNothing", "scriptId": id}), "OnNothing"),
        (json!({"scriptId": id}), "event"),
        (json!({"event": "OnAudit"}), "scriptId"),
        (json!({"event": "OnAudit", "scriptId": 99}), "99"),
        (json!({"event": "PostFormatDisk", "scriptId": id, "serverIds": [7]}), "7"),
        (json!({"event": "PreCrushMapChange", "scriptId": id, "timeoutSeconds": 301}), "300"),
        (json!({"event": "OnAudit", "scriptId": id, "env": {"LD_PRELOAD": "x"}}), "LD_PRELOAD"),
        (json!({"event": "OnAudit", "scriptId": id, "env": {"A": {"secret": "none"}}}), "none"),
        (json!({"event": "OnAudit", "scriptId": id, "revision": 9}), "revision"),
        (json!({"event": "OnAudit", "scriptId": id, "onFailure": "shrug"}), "shrug"),
    ] {
        let text = create(&app, bad.clone()).await.error(400);
        assert!(text.contains(about), "{bad}: {text}");
    }
}

#[tokio::test]
async fn spec_4_a_deleted_server_leaves_its_hooks() {
    let app = App::start().await;
    let id = script(&app, "s").await;
    app.host("h1").await;
    app.host("h2").await;
    create(&app, json!({"event": "PreFormatDisk", "scriptId": id, "serverIds": [1, 2]})).await.expect(201);
    app.call("admin", "DELETE", "/api/hosts/h1", Body::empty()).await.expect(204);
    assert_eq!(only(&app).await["serverIds"], json!([2]));
}

#[tokio::test]
async fn spec_13_1_hook_points_are_the_table_of_the_specification() {
    let app = App::start().await;
    let points = app.get("/api/events/hooks/hook-points").await.expect(200);
    let points = points.as_array().unwrap();
    let names: Vec<_> = points.iter().map(|point| point["name"].as_str().unwrap()).collect();
    let table: Vec<_> = HookPoint::ALL.iter().map(|point| point.name()).collect();
    assert_eq!((names.len(), &names), (20, &table));
    let chosen: Vec<_> =
        points.iter().filter(|point| point["canChooseServer"] == true).count().to_string().chars().collect();
    assert_eq!(chosen, ['1', '1'], "eleven run on servers");
    assert_eq!(points[0]["parameters"][0]["name"], "interfaces");
}

#[tokio::test]
async fn spec_10_secrets_are_never_shown() {
    let app = App::start().await;
    let id = script(&app, "s").await;
    let put = app.call("admin", "PUT", "/api/secrets/db.password", json!({"value": "hunter2"}).to_string()).await;
    assert_eq!(put.status, 204, "{put:?}");
    let hook = json!({"event": "OnAudit", "scriptId": id, "env": {"A": "1", "B": {"secret": "db.password"}}});
    create(&app, hook).await.expect(201);
    let shown = only(&app).await;
    assert_eq!((&shown["env"], &shown["secrets"]), (&json!({"A": "1"}), &json!({"B": "db.password"})));
    let list = app.call("admin", "GET", "/api/secrets", Body::empty()).await;
    assert!(!list.text.contains("hunter2"));
    assert_eq!(list.expect(200)[0]["name"], "db.password");
    let audit = app.call("admin", "GET", "/api/audit", Body::empty()).await;
    assert!(!audit.text.contains("hunter2") && audit.text.contains("***"), "{}", audit.text);
    use secrecy::ExposeSecret as _;
    assert_eq!(app.api.hooks.secret_reveal("db.password").await.unwrap().expose_secret(), "hunter2");
    for bad in ["..", "a%2Fb"] {
        let answer = app.call("admin", "PUT", &format!("/api/secrets/{bad}"), json!({"value": "x"}).to_string()).await;
        assert!(matches!(answer.status, 400 | 404), "{answer:?}");
    }
    app.call("admin", "DELETE", "/api/secrets/db.password", Body::empty()).await.expect(204);
    app.call("admin", "DELETE", "/api/secrets/db.password", Body::empty()).await.error(404);
}
