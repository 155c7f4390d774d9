//! Runs of scripts over the dialect: begun, followed, cancelled, refused (spec/hooks.md §4, §9, §10).

use axum::body::Body;
use serde_json::{Value, json};

use crate::app::{Answer, App};
use crate::script;

async fn execute(app: &App, body: Value) -> Answer {
    app.post("/api/events/scripts/execute", body).await
}

async fn two_hosts() -> App {
    let app = App::start().await;
    for name in ["h1", "h2"] {
        let id = app.host(name).await;
        app.connect(id).await;
    }
    app
}

#[tokio::test]
async fn spec_13_1_execute_answers_a_task() {
    let app = two_hosts().await;
    let id = script(&app, "s").await;
    let task = execute(&app, json!({"scriptId": id, "args": ["$(x)", "a b"], "servers": [2, 1]})).await.expect(200);
    assert_eq!((&task["done"], &task["statusCode"]), (&json!(false), &json!(0)));
    assert!(matches!(task["state"].as_str().unwrap(), "WAITING" | "RUNNING"), "{task}");
    assert_eq!((&task["startedBy"], &task["progress"]["total"]), (&json!("token:admin"), &json!(2)));
    let number = task["id"].as_i64().unwrap();
    let targets = app.get(&format!("/api/tasks/{number}/targets")).await.expect(200);
    let names: Vec<_> = targets.as_array().unwrap().iter().map(|target| target["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["h2", "h1"]);
    let answer = app.call("admin", "POST", &format!("/api/tasks/{number}/cancel"), Body::empty()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(app.get(&format!("/api/tasks/{number}")).await.expect(200)["cancelled"], true);
    app.get(&format!("/api/tasks/{number}/output")).await.error(400);
    let output = app.get(&format!("/api/tasks/{number}/output?server=h1")).await;
    assert_eq!((output.status, output.text.as_str()), (200, ""));
    app.get(&format!("/api/tasks/{number}/output?server=h9")).await.error(404);
}

#[tokio::test]
async fn spec_10_verbatim_scripts_are_kept_as_revisions() {
    let app = two_hosts().await;
    let body = json!({"script": "#!/bin/sh\necho once\n", "args": [], "servers": [1], "maxConcurrency": "10%", "maxErrors": 0});
    execute(&app, body.clone()).await.expect(200);
    execute(&app, body).await.expect(200);
    let scripts = app.call("admin", "GET", "/api/events/scripts", Body::empty()).await.expect(200);
    assert_eq!(scripts, json!([]), "they are in no library");
    let mut connection = app.api.engine.store.read().await.unwrap();
    let (count,): (i64,) =
        sqlx::query_as("select count(*) from script_revision").fetch_one(&mut *connection).await.unwrap();
    assert_eq!(count, 1, "equal contents are one revision");
}

#[tokio::test]
async fn spec_4_orders_that_are_refused() {
    let app = two_hosts().await;
    let id = script(&app, "s").await;
    for (status, body) in [
        (400, json!({"args": [], "servers": [1]})),
        (400, json!({"args": [], "servers": [1], "scriptId": id, "script": "#!/bin/sh\n"})),
        (400, json!({"args": [], "servers": [], "scriptId": id})),
        (400, json!({"args": [], "scriptId": id})),
        (400, json!({"servers": [1], "scriptId": id})),
        (400, json!({"args": [], "servers": [9], "scriptId": id})),
        (400, json!({"args": [], "servers": [1], "scriptId": 99})),
        (400, json!({"args": [], "servers": [1], "scriptId": id, "maxErrors": "many"})),
        (400, json!({"args": [], "servers": [1], "scriptId": id, "timeoutSeconds": 0})),
        (400, json!({"args": [], "servers": [1], "scriptId": id, "env": {"IFS": "x"}})),
        (413, json!({"args": vec![""; 65], "servers": [1], "scriptId": id})),
        (413, json!({"args": ["x".repeat(17 << 10)], "servers": [1], "scriptId": id})),
        (422, json!({"args": [], "servers": [1], "script": "echo"})),
    ] {
        execute(&app, body).await.error(status);
    }
    assert_eq!(app.get("/api/tasks").await.expect(200)["total"], 0);
}

#[tokio::test]
async fn hosts_are_chosen_by_what_is_said_of_them() {
    let app = two_hosts().await;
    let id = script(&app, "s").await;
    app.call("admin", "PATCH", "/api/hosts/h2", json!({"roles": ["storage"], "labels": {"rack": "a"}}).to_string())
        .await
        .expect(200);
    for by in [json!({"roles": ["storage"]}), json!({"labels": {"rack": "a"}})] {
        let mut body = json!({"args": [], "scriptId": id});
        body.as_object_mut().unwrap().extend(by.as_object().unwrap().clone());
        let task = execute(&app, body).await.expect(200);
        let targets = app.get(&format!("/api/tasks/{}/targets", task["id"])).await.expect(200);
        assert_eq!((targets.as_array().unwrap().len(), &targets[0]["id"]), (1, &json!(2)));
    }
}

#[tokio::test]
async fn spec_8_a_hook_is_tried() {
    let app = two_hosts().await;
    let id = script(&app, "s").await;
    app.post("/api/events/hooks", json!({"event": "PreFormatDisk", "scriptId": id, "allServers": true}))
        .await
        .expect(201);
    let task = app.post("/api/events/hooks/1/test", json!({"values": {"device": "/dev/x"}})).await.expect(200);
    assert_eq!((&task["name"], &task["progress"]["total"]), (&json!("Hook PreFormatDisk: s (test)"), &json!(2)));
    app.post("/api/events/hooks/1/test", json!({"values": {"other": "x"}})).await.error(400);
    app.post("/api/events/hooks/9/test", json!({})).await.error(404);
    app.post("/api/events/hooks", json!({"event": "OnAudit", "scriptId": id})).await.expect(201);
    app.post("/api/events/hooks/2/test", json!({})).await.error(409);
}
