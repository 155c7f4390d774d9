//! The calls that croit's own client makes, in its order and with its habits (spec/hooks.md §12, §13.2).

use axum::body::Body;
use serde_json::{Value, json};

use crate::app::App;
use crate::script;

/// As the client calls: a bearer token, JSON wanted, documents as they are or as texts inside of JSON.
async fn call(app: &App, token: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let request = http::Request::builder()
        .method(method)
        .uri(format!("/api{path}"))
        .header("Authorization", format!("Bearer {token}"))
        .header("Accept", "application/json")
        .header("Content-Type", "application/json");
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let answer = app.send(request.body(body).unwrap(), "192.0.2.7:1").await;
    let value = serde_json::from_str(&answer.text).unwrap_or(Value::String(answer.text.clone()));
    (answer.status, value)
}

fn resolve<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    match schema["$ref"].as_str() {
        Some(name) => document.pointer(name.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

#[tokio::test]
async fn spec_13_2_the_client_starts_and_runs_a_script() {
    let app = App::start().await;
    let host = app.host("h1").await;
    app.connect(host).await;
    let token = app.post("/api/api-tokens", json!({"name": "mcp", "roles": ["admin", "viewer"]})).await.expect(200);
    let token = token.as_str().unwrap();
    let (status, document) = call(&app, token, "GET", "/swagger.json", None).await;
    assert_eq!((status, &document["openapi"]), (200, &json!("3.1.0")));
    for (path, operations) in document["paths"].as_object().unwrap() {
        assert!(!path.starts_with("/api/"), "{path}");
        for (method, operation) in operations.as_object().unwrap() {
            assert!(operation["operationId"].is_string() && operation["tags"][0].is_string(), "{method} {path}");
            for parameter in operation["parameters"].as_array().unwrap() {
                assert!(resolve(&document, &parameter["schema"]).is_object(), "{method} {path}");
            }
        }
    }
    assert_eq!(call(&app, token, "GET", "/openapi.json", None).await.1, document);
    let (_, info) = call(&app, token, "GET", "/auth/token-info", None).await;
    assert!(info["roles"].as_array().unwrap().contains(&json!("ADMIN")));
    let (_, points) = call(&app, token, "GET", "/events/hooks/hook-points", None).await;
    assert_eq!(points.as_array().unwrap().len(), 20);
    let new = json!({"name": "probe", "contents": "#!/bin/sh\ntrue\n", "hooks": [{"event": "OnHealthDegrade", "allServers": false, "serverIds": []}]});
    // What somebody typed comes as a text inside of JSON.
    let (status, made) = call(&app, token, "POST", "/events/hook-scripts", Some(json!(new.to_string()))).await;
    assert_eq!((status, &made), (200, &json!({"id": 1})));
    let (_, scripts) = call(&app, token, "GET", "/events/scripts/1", None).await;
    assert_eq!(scripts, json!("#!/bin/sh\ntrue\n"));
    let (status, task) =
        call(&app, token, "POST", "/events/scripts/execute", Some(json!({"scriptId": 1, "args": [], "servers": [1]})))
            .await;
    assert_eq!(status, 200, "{task}");
    let path = "/tasks?pagination=%7B%22after%22%3A0%2C%22limit%22%3A10%2C%22where%22%3A%7B%7D%2C%22sortBy%22%3A%5B%5B%22id%22%2C%22DESC%22%5D%5D%7D&limit=10&offset=0";
    let (status, page) = call(&app, token, "GET", path, None).await;
    assert_eq!((status, &page["data"][0]["id"]), (200, &task["id"]));
    let (status, gone) = call(&app, token, "GET", "/tasks/999", None).await;
    assert_eq!((status, &gone["error"]), (404, &json!("Not Found")));
}

#[tokio::test]
async fn spec_12_old_scripts_post_hooks_without_servers() {
    let app = App::start().await;
    let id = script(&app, "s").await;
    app.post("/api/events/hooks", json!({"event": "OnHealthRecover", "scriptId": id})).await.expect(201);
}

#[tokio::test]
async fn spec_2_callers_that_ask_too_often_wait() {
    let app = App::start().await;
    let mut refused = None;
    for _ in 0..6000 {
        let answer = app.get("/api/events/hooks").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("the clock stands still, so the bucket empties");
    assert_eq!(refused.headers["retry-after"], "1");
    refused.error(429);
    app.call("admin", "GET", "/api/events/hooks", Body::empty()).await.expect(200);
    app.clock.advance(std::time::Duration::from_secs(1));
    app.get("/api/events/hooks").await.expect(200);
}
