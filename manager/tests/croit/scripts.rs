//! Scripts: both generations of endpoints over one library.

use axum::body::Body;
use serde_json::{Value, json};

use crate::app::{Answer, App};
use crate::{pagination, script};

async fn patch(app: &App, path: &str, body: Value) -> Answer {
    app.call("admin", "PATCH", path, body.to_string()).await
}

async fn delete(app: &App, path: &str) -> Answer {
    app.call("admin", "DELETE", path, Body::empty()).await
}

async fn admin(app: &App, path: &str) -> Answer {
    app.call("admin", "GET", path, Body::empty()).await
}

async fn read(app: &App, path: &str, accept: &str) -> Answer {
    let request = http::Request::get(path).header("Authorization", "Bearer admin").header("Accept", accept);
    app.send(request.body(Body::empty()).unwrap(), "192.0.2.7:1").await
}

#[tokio::test]
async fn spec_13_1_scripts_round_trip() {
    let app = App::start().await;
    let text = "#!/bin/sh\necho 'ünïcode' \"$(x)\"\r\n\ttail";
    let made = app.post("/api/events/scripts", json!({"name": "a b.sh", "contents": text, "unknown": 1})).await;
    assert_eq!(made.expect(200), json!({"id": 1}));
    let got = read(&app, "/api/events/scripts/1", "*/*").await;
    assert_eq!((got.status, got.text.as_str()), (200, text));
    assert_eq!(got.headers["content-type"], "text/plain; charset=utf-8");
    let got = read(&app, "/api/events/scripts/1", "application/json").await;
    assert_eq!(got.expect(200), json!(text));
    assert_eq!(read(&app, "/api/events/scripts/1", "image/png").await.status, 406);
    assert_eq!(admin(&app, "/api/events/scripts").await.expect(200), json!([{"id": 1, "name": "a b.sh"}]));
    let page = admin(&app, &format!("/api/events/scripts?{}", pagination(&json!({"limit": 5})))).await.expect(200);
    assert_eq!(page, json!({"data": [{"id": 1, "name": "a b.sh"}], "total": 1, "after": 0, "limit": 5}));
    let answer = patch(&app, "/api/events/scripts/1", json!({"name": "new"})).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    assert_eq!(read(&app, "/api/events/scripts/1", "*/*").await.text, text, "a new name leaves the contents");
    patch(&app, "/api/events/scripts/1", json!({"contents": "#!/bin/true\n"})).await.expect(204);
    assert_eq!(read(&app, "/api/events/scripts/1?revision=1", "*/*").await.text, text);
    let revisions = admin(&app, "/api/events/scripts/1/revisions").await.expect(200);
    let names: Vec<_> = revisions.as_array().unwrap().iter().map(|r| (&r["revision"], &r["name"])).collect();
    assert_eq!(names, [(&json!(1), &json!("a b.sh")), (&json!(2), &json!("new")), (&json!(3), &json!("new"))]);
    assert_eq!(revisions[0]["sha256"], revisions[1]["sha256"]);
    patch(&app, "/api/events/scripts/1", json!({"name": "new"})).await.expect(204);
    assert_eq!(admin(&app, "/api/events/scripts/1/revisions").await.json().as_array().unwrap().len(), 3);
    delete(&app, "/api/events/scripts/1").await.expect(204);
    assert_eq!(read(&app, "/api/events/scripts/1", "*/*").await.status, 404);
    delete(&app, "/api/events/scripts/1").await.error(404);
    assert_eq!(script(&app, "again").await, 2, "numbers are never used again");
}

#[tokio::test]
async fn spec_13_1_hook_scripts_round_trip() {
    let app = App::start().await;
    app.host("h1").await;
    let hooks = json!([{"event": "PreFormatDisk", "allServers": true}, {"event": "PostFormatDisk", "serverIds": [1]}]);
    let body = json!({"name": "s", "contents": "#!/bin/sh\n", "hooks": hooks});
    assert_eq!(app.post("/api/events/hook-scripts", body).await.expect(200), json!({"id": 1}));
    let page = admin(&app, "/api/events/hook-scripts").await.expect(200);
    assert_eq!((&page["total"], &page["after"], &page["limit"]), (&json!(1), &json!(0), &Value::Null));
    let info = &page["data"][0];
    assert_eq!((&info["id"], &info["name"]), (&json!(1), &json!("s")));
    assert_eq!(info["hookNames"], "PreFormatDisk, PostFormatDisk");
    assert_eq!(info["hooks"][0], json!({"event": "PreFormatDisk", "allServers": true, "serverIds": []}));
    assert_eq!(info["hooks"][1], json!({"event": "PostFormatDisk", "allServers": false, "serverIds": [1]}));
    let before = admin(&app, "/api/events/hooks").await.expect(200);
    patch(&app, "/api/events/hook-scripts/1", json!({"contents": "#!/bin/bash\n"})).await.expect(204);
    assert_eq!(admin(&app, "/api/events/hooks").await.expect(200), before, "what is not named stays");
    let hooks = json!([{"event": "PostFormatDisk", "allServers": true}, {"event": "OnAudit"}]);
    patch(&app, "/api/events/hook-scripts/1", json!({"hooks": hooks})).await.expect(204);
    let after = admin(&app, "/api/events/hooks").await.expect(200);
    let found: Vec<_> = after.as_array().unwrap().iter().map(|hook| (&hook["id"], &hook["event"])).collect();
    assert_eq!(found, [(&json!(2), &json!("PostFormatDisk")), (&json!(3), &json!("OnAudit"))]);
    patch(&app, "/api/events/hook-scripts/1", json!({"hooks": []})).await.expect(204);
    assert_eq!(admin(&app, "/api/events/hooks").await.expect(200), json!([]));
    let bad = json!({"name": "t", "contents": "#!/bin/sh\n", "hooks": [{"event": "PreFormatDisk", "serverIds": [99]}]});
    assert!(app.post("/api/events/hook-scripts", bad).await.error(400).contains("99"));
    assert_eq!(admin(&app, "/api/events/scripts").await.json().as_array().unwrap().len(), 1, "both or none");
    patch(&app, "/api/events/hook-scripts/9", json!({})).await.error(404);
}

#[tokio::test]
async fn spec_4_what_is_refused() {
    let app = App::start().await;
    let post = |body: Value| app.post("/api/events/scripts", body);
    script(&app, "taken").await;
    let text = post(json!({"name": "taken", "contents": "#!/bin/sh\n"})).await.error(400);
    assert!(text.starts_with("Filename already exists."), "{text}");
    script(&app, "Taken").await;
    post(json!({"name": "x"})).await.error(400);
    post(json!({"name": "x", "contents": ""})).await.error(400);
    post(json!({"contents": "#!/bin/sh\n"})).await.error(400);
    for name in ["", "a/b", "a\u{0}b", "a\nb", &"x".repeat(256)] {
        post(json!({"name": name, "contents": "#!/bin/sh\n"})).await.error(400);
    }
    for contents in ["echo", "#!sh\n", "#!/bin/sh\r\n", "#!/bin/sh -a -b\n", "#!/bin/sh\n\u{0}"] {
        post(json!({"name": "x", "contents": contents})).await.error(422);
    }
    post(json!({"name": "x", "contents": format!("#!/bin/sh\n{}", "x".repeat(256 << 10))})).await.error(413);
    app.call("admin", "POST", "/api/events/scripts", "{").await.error(400);
    patch(&app, "/api/events/scripts/1", json!({"name": "Taken"})).await.error(400);
    patch(&app, "/api/events/scripts/1", json!({"contents": "echo"})).await.error(422);
    patch(&app, "/api/events/scripts/x", json!({})).await.error(404);
}

#[tokio::test]
async fn spec_4_a_script_in_use_is_removed_by_force_only() {
    let app = App::start().await;
    let id = script(&app, "s").await;
    for event in ["OnHealthDegrade", "OnCroitStartup"] {
        app.post("/api/events/hooks", json!({"event": event, "scriptId": id})).await.expect(201);
    }
    assert_eq!(delete(&app, "/api/events/scripts/1").await.error(409), "script 1 is used by 2 hooks");
    delete(&app, "/api/events/scripts/1?force=true").await.expect(204);
    assert_eq!(admin(&app, "/api/events/hooks").await.expect(200), json!([]));
    let events = app.get("/api/events").await.expect(200);
    let kinds: Vec<_> =
        events["data"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["script.created", "hook.created", "hook.created", "hook.removed", "hook.removed", "script.removed"]
    );
}

#[tokio::test]
async fn spec_2_slashes_are_tolerated() {
    let app = App::start().await;
    script(&app, "s").await;
    for path in ["/api/events/scripts/", "/api//events//scripts", "//api/events/scripts//"] {
        assert_eq!(admin(&app, path).await.status, 200, "{path}");
    }
}
