//! Making, changing and removing webhooks, and where they may lead.

use serde_json::json;

use crate::lab::{Lab, client};
use crate::receiver::{Receiver, Reply};

#[tokio::test]
async fn a_webhook_is_made_shown_changed_and_removed() {
    let lab = Lab::new();
    let manager = lab.start().await;
    let (one, two) = (Receiver::new().await, Receiver::new().await);
    manager.emit("a.b", 0, 1).await;
    let made = manager.webhook(json!({"url": one.url(), "filter": {"kinds": ["a.*"], "severities": ["info"]}})).await;
    let id = &made["id"];
    assert_eq!(
        (&made["name"], &made["state"], &made["format"]),
        (&json!("127.0.0.1"), &json!("ok"), &json!("cloudevents"))
    );
    let filter = json!({"kinds": ["a.*"], "subjects": [], "hosts": [], "severities": ["info"]});
    assert_eq!(made["filter"], filter);
    assert_eq!(made["policy"], json!({"retryFor": 86_400, "maxAttempts": null, "onExhausted": "dead-letter"}));
    manager.emit("a.b", 1, 1).await;
    assert_eq!(one.wait(1).await[0].id(), 3, "nothing of before, and not its own making");

    let path = format!("/webhooks/{id}");
    let body = json!({"url": two.url(), "name": "pager", "policy": {"maxAttempts": 3}});
    let (status, changed) = manager.ask("PATCH", &path, Some(body)).await;
    assert_eq!((status, &changed["name"], &changed["filter"]), (200, &json!("pager"), &filter));
    assert_eq!(changed["policy"], json!({"retryFor": 86_400, "maxAttempts": 3, "onExhausted": "dead-letter"}));
    manager.emit("a.b", 2, 1).await;
    two.wait(1).await;

    let (status, disabled) = manager.ask("PATCH", &path, Some(json!({"enabled": false}))).await;
    assert_eq!((status, &disabled["state"]), (200, &json!("disabled")));
    manager.emit("a.b", 3, 1).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!((one.got().len(), two.got().len()), (1, 1));
    let waiting = manager.show(id).await;
    assert_eq!(waiting["lag"]["events"], 1, "{waiting}");
    let (_, list) = manager.ask("GET", "/webhooks", None).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    assert!(!list.to_string().contains("whsec_"));
    manager.ask("PATCH", &path, Some(json!({"enabled": true}))).await;
    assert_eq!(two.wait(2).await.len(), 2);
    assert_eq!(manager.ask("DELETE", &path, None).await.0, 204);
    for (method, path) in [("GET", path.clone()), ("DELETE", path.clone()), ("POST", format!("{path}/test"))] {
        assert_eq!(manager.ask(method, &path, None).await.0, 404, "{method} {path}");
    }
}

#[tokio::test]
async fn a_test_is_sent_at_once_and_leaves_nothing() {
    let lab = Lab::new();
    let manager = lab.start().await;
    let receiver = Receiver::with(|n, _| Reply::status(if n == 0 { 200 } else { 500 })).await;
    let made = manager.webhook(json!({"url": receiver.url(), "filter": {"kinds": ["nothing.ever"]}})).await;
    let path = format!("/webhooks/{}/test", made["id"]);
    let (status, good) = manager.ask("POST", &path, None).await;
    assert_eq!((status, &good["delivered"], &good["status"]), (200, &json!(true), &json!(200)));
    let got = receiver.got().remove(0);
    assert_eq!(got.json()["type"], "io.hostler.webhook.test");
    assert!(got.id() < 0 && got.header("webhook-signature").starts_with("v1,"));
    let (_, bad) = manager.ask("POST", &path, None).await;
    assert_eq!((&bad["delivered"], &bad["status"]), (&json!(false), &json!(500)));
    let webhook = manager.show(&made["id"]).await;
    assert_eq!((&webhook["delivered"], webhook["lastFailure"].is_null()), (&json!(0), true));
}

#[tokio::test]
async fn wrong_fields_are_named() {
    let lab = Lab::with(json!({"webhooks": {"max": 1}}));
    let manager = lab.start().await;
    let url = "https://receiver.example/";
    for (body, field) in [
        (json!({}), "url"),
        (json!({"url": 7}), "url"),
        (json!({"url": "ftp://x/"}), "url"),
        (json!({"url": "http://receiver.example/"}), "url"),
        (json!({"url": "https://a:b@receiver.example/"}), "url"),
        (json!({"url": url, "format": "xml"}), "format"),
        (json!({"url": url, "filter": []}), "filter"),
        (json!({"url": url, "filter": {"kinds": ["a*"]}}), "kinds"),
        (json!({"url": url, "filter": {"hosts": ["nobody"]}}), "hosts"),
        (json!({"url": url, "filter": {"severities": ["loud"]}}), "severities"),
        (json!({"url": url, "filter": {"kind": []}}), "kind"),
        (json!({"url": url, "policy": {"maxAttempts": 0}}), "maxAttempts"),
        (json!({"url": url, "policy": {"retryFor": 0}}), "retryFor"),
        (json!({"url": url, "policy": {"onExhausted": "x"}}), "onExhausted"),
        (json!({"url": url, "after": -1}), "after"),
        (json!({"url": url, "secret": "mine"}), "secret"),
    ] {
        let (status, answer) = manager.ask("POST", "/webhooks", Some(body.clone())).await;
        assert_eq!((status, &answer["details"]["field"]), (400, &json!(field)), "{body}: {answer}");
    }
    manager.webhook(json!({"url": url})).await;
    assert_eq!(manager.ask("POST", "/webhooks", Some(json!({"url": url}))).await.0, 429);
    let reader = client().get(manager.url("/webhooks")).header("X-Auth-Token", "reader").send().await.unwrap();
    assert_eq!(reader.status(), 403);
}

#[tokio::test]
async fn the_manager_is_no_way_to_what_only_it_can_reach() {
    let lab = Lab::with(json!({"listen": {"rest": "192.0.2.1:8080", "allow_plain_http": true}}));
    let manager = lab.start().await;
    let receiver = Receiver::new().await;
    let port = receiver.address.port();
    for url in ["https://127.0.0.1/", "https://[::1]/", "https://169.254.169.254/latest/meta-data", "https://0.0.0.0/"]
    {
        let (status, answer) = manager.ask("POST", "/webhooks", Some(json!({"url": url}))).await;
        assert_eq!((status, &answer["details"]["field"]), (400, &json!("url")), "{url}: {answer}");
    }
    // A name is looked at when the connection is made: what it meant before does not count.
    let made = manager.webhook(json!({"url": format!("https://localhost:{port}/")})).await;
    let (_, tried) = manager.ask("POST", &format!("/webhooks/{}/test", made["id"]), None).await;
    assert_eq!(tried["delivered"], false);
    let reason = tried["reason"].as_str().unwrap();
    assert!(reason.contains("an address of the manager itself") || reason.starts_with("TLS cannot"), "{reason}");
    let open = json!({"allow_http": true, "allow_networks": ["127.0.0.0/8"]});
    let lab = Lab::with(json!({"listen": {"rest": "192.0.2.1:8080", "allow_plain_http": true}, "webhooks": open}));
    let manager = lab.start().await;
    let made = manager.webhook(json!({"url": receiver.url()})).await;
    let (_, tried) = manager.ask("POST", &format!("/webhooks/{}/test", made["id"]), None).await;
    assert_eq!(tried["delivered"], true, "{tried}");
}
