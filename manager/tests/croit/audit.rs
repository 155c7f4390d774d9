//! The audit trail (spec/hooks.md §7.12).

use axum::body::Body;
use serde_json::{Value, json};

use crate::app::App;
use crate::script;

async fn entries(app: &App, query: &str) -> Vec<Value> {
    let found = app.call("admin", "GET", &format!("/api/audit{query}"), Body::empty()).await.expect(200);
    found.as_array().unwrap().clone()
}

#[tokio::test]
async fn spec_7_12_changing_calls_of_all_dialects_leave_rows() {
    let app = App::start().await;
    script(&app, "s").await;
    app.host("h1").await;
    app.call("admin", "PATCH", "/api/hosts/h1?x=1&token=abc", json!({"zone": "a"}).to_string()).await;
    app.call("service", "POST", "/v1/rules", json!({"conditions": [], "actions": []}).to_string()).await;
    app.call("reader", "POST", "/api/events/scripts", "{}").await.error(403);
    app.get("/api/events/hooks").await.expect(200);
    app.call("", "POST", "/api/events/scripts", "{}").await.error(401);
    let rows = entries(&app, "").await;
    let seen: Vec<_> =
        rows.iter().rev().map(|row| (row["category"].as_str().unwrap(), row["status"].as_i64().unwrap())).collect();
    assert_eq!(seen.len(), 4, "{rows:?}");
    assert_eq!(
        (seen[0], seen[1].0, seen[2].0, seen[3]),
        (("scripts", 200), "hosts", "introspection", ("scripts", 403))
    );
    let first = &rows[3];
    assert_eq!(
        (&first["id"], &first["username"], &first["method"]),
        (&json!(1), &json!("token:admin"), &json!("POST"))
    );
    assert_eq!((&first["endpoint"], &first["ip"]), (&json!("/api/events/scripts"), &json!("192.0.2.7")));
    assert_eq!(
        (&first["operation"], &first["time"]),
        (&json!("POST /api/events/scripts"), &json!("2026-01-02T03:04:05.678901Z"))
    );
    assert!(first["body"].as_str().unwrap().contains("#!/bin/sh"));
    assert_eq!(rows[2]["queryParams"], "x=1&token=***");
    let one = app.call("admin", "GET", "/api/audit/1", Body::empty()).await.expect(200);
    assert_eq!(&one, first);
    app.call("admin", "GET", "/api/audit/99", Body::empty()).await.error(404);
}

#[tokio::test]
async fn spec_4_pages_of_the_trail() {
    let app = App::start().await;
    for at in 0..3 {
        script(&app, &format!("s{at}")).await;
    }
    let ids = |rows: Vec<Value>| rows.iter().map(|row| row["id"].as_i64().unwrap()).collect::<Vec<_>>();
    assert_eq!(ids(entries(&app, "?limit=2").await), [3, 2]);
    assert_eq!(ids(entries(&app, "?limit=2&offset=2").await), [1]);
    for bad in ["?limit=0", "?limit=101", "?limit=x", "?offset=-1"] {
        app.call("admin", "GET", &format!("/api/audit{bad}"), Body::empty()).await.error(400);
    }
}

#[tokio::test]
async fn spec_7_12_calls_of_hooks_are_marked() {
    let app = App::start().await;
    let new = json!({"name": "hooks", "roles": ["admin", "viewer"], "forHooks": true});
    let token = app.post("/api/api-tokens", new).await.expect(200).as_str().unwrap().to_owned();
    let request = http::Request::post("/api/events/scripts").header("Authorization", format!("Bearer {token}"));
    let body = json!({"name": "x", "contents": "#!/bin/sh\n"}).to_string();
    app.send(request.body(Body::from(body)).unwrap(), "192.0.2.7:1").await.expect(200);
    let rows = entries(&app, "").await;
    assert_eq!((&rows[0]["fromHook"], &rows[0]["username"]), (&json!(true), &json!("api-token:hooks")));
    assert_eq!(rows[1]["fromHook"], false);
    assert!(!rows.iter().any(|row| row.to_string().contains(&token)));
}

#[tokio::test]
async fn spec_7_12_hooks_are_told_of_calls_and_never_of_their_own() {
    let app = App::start().await;
    let host = app.host("m").await;
    app.connect(host).await;
    app.call("admin", "PATCH", "/api/hosts/m", json!({"roles": ["management"]}).to_string()).await.expect(200);
    let new = json!({"name": "hooks", "roles": ["admin", "viewer"], "forHooks": true});
    let token = app.post("/api/api-tokens", new).await.expect(200).as_str().unwrap().to_owned();
    let id = script(&app, "s").await;
    app.post("/api/events/hooks", json!({"event": "OnAudit", "scriptId": id})).await.expect(201);
    let tasks = || async { app.get("/api/tasks").await.expect(200)["total"].as_i64().unwrap() };
    // The making of the hook itself may be told or not: what counts is what comes after.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let before = tasks().await;
    let body = json!({"name": "x", "contents": "#!/bin/sh\n"}).to_string();
    let request = http::Request::post("/api/events/scripts").header("Authorization", format!("Bearer {token}"));
    app.send(request.body(Body::from(body)).unwrap(), "192.0.2.7:1").await.expect(200);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(tasks().await, before, "a hook's own call makes no hook run");
    script(&app, "y").await;
    for _ in 0..50 {
        if tasks().await > before {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let newest = app.get("/api/tasks").await.expect(200)["data"][0].clone();
    assert_eq!((tasks().await, &newest["name"]), (before + 1, &json!("Hook OnAudit: s")));
}
