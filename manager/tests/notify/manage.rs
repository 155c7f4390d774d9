//! Subscriptions: who makes, sees and removes them, and what is refused (spec/maintenance.md §4.6, §1.12).

use serde_json::{Value, json};

use super::receiver::Receiver;
use super::site::Site;
use super::stage::Stage;

fn body(more: &Value) -> Value {
    let mut body = json!({"url": "https://192.0.2.7/hook"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_has_its_own() {
    let stage = Stage::with(&Site::guarded_settings(), 1).await;
    let ((ann, anns), (bob, _)) = (stage.person("ann", "member").await, stage.person("bob", "member").await);
    let (eve, eves) = stage.person("eve", "reader").await;
    let made = stage.subscribe(&ann, &body(&json!({"name": "vnf", "format": "aodh"}))).await;
    assert_eq!((&made["project_id"], &made["state"], &made["name"]), (&json!(anns), &json!("ok"), &json!("vnf")));
    assert_eq!((&made["format"], &made["event_types"]), (&json!("aodh"), &json!([])));
    let path = format!("/v1/subscription/{}", made["id"].as_str().unwrap());
    let get = async |token: &str, path: &str| stage.of(token, "GET", path, &Value::Null).await;
    let shown = get(&ann, &path).await.is(200);
    assert!(shown.get("secret").is_none() && shown["dead_letters"] == json!([]), "{shown}");
    let ids = |list: &Value| -> Vec<Value> {
        list["subscriptions"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect()
    };
    assert_eq!(ids(&get(&ann, "/v1/subscription").await.is(200)), [made["id"].clone()]);
    assert_eq!(ids(&get(&bob, "/v1/subscription").await.is(200)), [] as [Value; 0]);
    assert_eq!(ids(&get("admin", &format!("/v1/subscription?project_id={anns}")).await.is(200)).len(), 1);
    get(&bob, &path).await.error(404);
    get(&bob, &format!("/v1/subscription?project_id={anns}")).await.error(403);
    stage.of(&bob, "DELETE", &path, &Value::Null).await.error(404);
    // Whoever may only look may not have anybody called.
    stage.of(&eve, "POST", "/v1/subscription", &body(&json!({}))).await.error(403);
    stage.of(&eve, "POST", "/v1/subscription", &body(&json!({"project_id": eves}))).await.error(403);
    get("admin", &path).await.is(200);
    assert_eq!(stage.of(&ann, "DELETE", &format!("{path}/"), &Value::Null).await.is(200), json!({}));
    get(&ann, &path).await.error(404);
    stage.of(&ann, "DELETE", &path, &Value::Null).await.error(404);
    stage.call("POST", "/v1/subscription", &[], &body(&json!({})).to_string()).await.error(401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_says_why() {
    let stage = Stage::with(&Site::guarded_settings(), 1).await;
    let (ann, _) = stage.person("ann", "member").await;
    for (more, word) in [
        (json!({"url": null}), "url"),
        (json!({"url": "https://10.1.2.3/"}), "private"),
        (json!({"url": "https://192.168.7.7/"}), "private"),
        (json!({"url": "https://169.254.169.254/"}), "link-local"),
        (json!({"url": "http://192.0.2.7/"}), "https"),
        (json!({"url": "ftp://x"}), "https"),
        (json!({"format": "xml"}), "cloudevents"),
        (json!({"event_types": ["maintenance.lunch"]}), "maintenance.scheduled"),
        (json!({"event_types": "maintenance.host"}), "list"),
        (json!({"secret": "short"}), "16"),
        (json!({"filter": {"session_id": "x"}}), "session"),
        (json!({"filter": {"what": 1}}), "filter.what"),
        (json!({"project_id": "x".repeat(40)}), "36"),
        (json!({"nonsense": 1}), "nonsense"),
    ] {
        let text = stage.of("admin", "POST", "/v1/subscription", &body(&more)).await.error(422);
        assert!(text.contains(word), "{more}: {text}");
    }
    for more in [json!({"project_id": "other"}), json!({"event_types": ["maintenance.host"]})] {
        stage.of(&ann, "POST", "/v1/subscription", &body(&more)).await.error(403);
    }
    let all = stage.of("admin", "GET", "/v1/subscription", &Value::Null).await.is(200);
    assert_eq!(all["subscriptions"], json!([]));
    // A project may have so many.
    for _ in 0..10 {
        stage.subscribe(&ann, &body(&json!({}))).await;
    }
    let text = stage.of(&ann, "POST", "/v1/subscription", &body(&json!({}))).await.error(409);
    assert!(text.contains("10"), "{text}");
    stage.subscribe("admin", &body(&json!({"project_id": "other"}))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_repeated_with_its_key_makes_one() {
    let stage = Stage::open(1).await;
    let (key, body) = ([("idempotency-key", "k-1")], body(&json!({})).to_string());
    let first = stage.call("POST", "/v1/subscription", &key, &body).await.is(200);
    let again = stage.call("POST", "/v1/subscription", &key, &body).await.is(200);
    assert_eq!(first["id"], again["id"]);
    assert!(first["secret"].is_string() && again.get("secret").is_none(), "it is shown once");
    assert_eq!(stage.get("/v1/subscription").await.is(200)["subscriptions"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_that_do_not_fit_an_alarm_are_a_link_that_leads_to_them() {
    let stage = Stage::open(1).await;
    stage.instance("i", "tenant", 0);
    let receiver = Receiver::new().await;
    stage.subscribe("admin", &json!({"url": receiver.url(), "format": "aodh", "project_id": "tenant"})).await;
    let metadata = json!({"notes": "ü".repeat(300)});
    stage.session(&json!({"metadata": metadata})).await;
    stage.work().await;
    stage.settle().await;
    let alarm = receiver.wait(1).await[0].json();
    let traits = alarm["reason_data"]["event"]["traits"].as_array().unwrap();
    let cut = traits.iter().find(|one| one[0] == "metadata").unwrap()[2].as_str().unwrap();
    let link: Value = serde_json::from_str(cut).unwrap();
    let path = link["href"].as_str().unwrap().strip_prefix(super::stage::BASE).unwrap();
    let shown = stage.get(path).await.is(200);
    assert_eq!((&shown["metadata"], &shown["instance_ids"]), (&metadata, &json!(["i"])));
    assert_eq!(stage.get(path.split('?').next().unwrap()).await.is(200), json!({"instance_ids": ["i"]}));
}
