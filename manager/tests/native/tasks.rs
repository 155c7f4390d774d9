//! Introspections as tasks: begin, watch, cancel; and the events that they leave.

use axum::body::Body;
use serde_json::{Value, json};

use crate::app::{App, document};

async fn cancel(app: &App, task: &Value) -> crate::app::Answer {
    app.call("service", "POST", &format!("/api/tasks/{task}/cancel"), Body::empty()).await
}

#[tokio::test]
async fn a_task_is_followed_from_begin_to_end() {
    let app = App::start().await;
    let id = app.host("a").await;
    let begun = app.post("/api/hosts/a/introspect", json!({"sections": ["disks"]})).await.expect(202);
    assert_eq!(begun, json!({"task": 1}));
    let repeated = app.post("/api/hosts/a/introspect", json!({"sections": ["disks", "disks"]})).await.expect(202);
    assert_eq!(repeated, begun, "the same order within the window is the same run");
    let task = app.get("/api/tasks/1").await.expect(200);
    assert_eq!(
        task,
        json!({"id": 1, "kind": "introspection", "name": "Introspection of a", "state": "WAITING", "done": false,
               "statusCode": 0, "startedAt": "2026-01-02T03:04:05.678901Z", "startedBy": "token:admin",
               "finishedAt": null, "object": "a", "host": id.to_string(), "question": null, "progress": {"complete": 0, "total": 1}, "output": "",
               "result": null, "cancelled": false, "steps": task["steps"]})
    );
    assert_eq!(task["steps"][0]["what"], "started");
    app.deliver(id, &document(1)).await;
    let task = app.get("/api/tasks/1").await.expect(200);
    assert_eq!((&task["state"], &task["done"], &task["statusCode"]), (&json!("FINISHED"), &json!(true), &json!(0)));
    assert_eq!(task["progress"], json!({"complete": 1, "total": 1}));
    let steps = task["steps"].as_array().unwrap();
    assert_eq!(steps.last().unwrap()["what"], "finished");
    assert_eq!(steps.last().unwrap()["host"], id.to_string());
    let text = cancel(&app, &json!(1)).await.error(409);
    assert_eq!(text, "task 1 has finished already");
    app.get("/api/tasks/2").await.error(404);
    app.get("/api/tasks/x").await.error(404);
    cancel(&app, &json!(2)).await.error(404);
}

#[tokio::test]
async fn a_cancelled_task_ends_as_such() {
    let app = App::start().await;
    app.host("a").await;
    let begun = app.post("/api/hosts/a/introspect", json!({})).await.expect(202);
    cancel(&app, &begun["task"]).await.expect(201);
    let task = app.get("/api/tasks/1").await.expect(200);
    assert_eq!((&task["cancelled"], &task["done"]), (&json!(true), &json!(false)));
    cancel(&app, &begun["task"]).await.expect(201);
    app.api.engine.run_due().await.unwrap();
    let task = app.get("/api/tasks/1").await.expect(200);
    assert_eq!((&task["state"], &task["statusCode"]), (&json!("CANCELED"), &json!(-256)));
    assert_eq!(cancel(&app, &begun["task"]).await.error(409), "task 1 is cancelled already");
    let host = app.get("/api/hosts/a").await.expect(200);
    assert_eq!(host["introspection"]["error"], "Canceled by operator");
    let events = app.get("/api/events").await.expect(200);
    let asked =
        events["data"].as_array().unwrap().iter().find(|event| event["kind"] == "task.cancel_requested").unwrap();
    assert_eq!((&asked["actor"], &asked["subject"]), (&json!("token:service"), &json!("1")));
}

#[tokio::test]
async fn a_first_introspection_cannot_be_cancelled_and_nothing_is_written() {
    use hostler_core::introspection::command::Command;
    use hostler_core::machine::Input;
    use hostler_manager::engine::IntrospectionDomain;

    let app = App::start().await;
    let id = app.host("a").await;
    let enrol = Input::Command(Command::Enrol);
    let begun = app.api.engine.input::<IntrospectionDomain>(&id.to_string(), enrol, None).await.unwrap();
    let before = app.get("/api/events").await.text;
    let text = cancel(&app, &json!(begun.task.unwrap().0)).await.error(409);
    assert!(text.contains("enrolling"), "{text}");
    assert_eq!(app.get("/api/events").await.text, before);
    assert_eq!(app.get("/api/tasks/1").await.expect(200)["cancelled"], false);
}

#[tokio::test]
async fn events_go_on_after_a_number() {
    let app = App::start().await;
    let id = app.host("a").await;
    assert_eq!(app.get("/api/events").await.expect(200), json!({"data": [], "last": 0}));
    app.introspect(id, &document(1)).await;
    let all = app.get("/api/events").await.expect(200);
    let events = all["data"].as_array().unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["introspection.started", "introspection.finished"]);
    assert_eq!((&events[0]["actor"], &events[1]["actor"]), (&json!("token:admin"), &Value::Null));
    assert_eq!(all["last"], events[1]["number"]);
    let page = app.get("/api/events?limit=1").await.expect(200);
    assert_eq!((&page["data"][0], &page["last"]), (&events[0], &events[0]["number"]));
    let page = app.get(&format!("/api/events?after={}", page["last"])).await.expect(200);
    assert_eq!(page["data"], json!([events[1]]));
    let page = app.get("/api/events?after=1000").await.expect(200);
    assert_eq!(page, json!({"data": [], "last": 1000}));
}
