//! How a token for `POST /v1/continue` is come by (spec/introspection.md §1.7.8, docs/native-api.md).

use serde_json::{Value, json};

use super::site::{Answer, Site};

async fn introspect(site: &Site, token: &str, body: Value) -> Answer {
    let headers = [("x-auth-token", token)];
    site.call("POST", "/api/hosts/ceph-01/introspect", &headers, &body.to_string()).await
}

#[tokio::test]
async fn who_starts_a_run_gets_a_token_once_if_they_ask() {
    let site = Site::with("[introspection]\ncallback_enabled = true\ntimeout = 100\n").await;
    let host = site.host("ceph-01").await;
    assert_eq!(introspect(&site, "service", json!({})).await.is(202).json(), json!({"task": 1}));
    assert_eq!(introspect(&site, "service", json!({"callback": false})).await.is(202).json(), json!({"task": 1}));
    introspect(&site, "service", json!({"callback": "yes"})).await.is(400);
    introspect(&site, "reader", json!({"callback": true})).await.is(403);
    let begun = introspect(&site, "service", json!({"callback": true})).await.is(202).json();
    let token = begun["callbackToken"].as_str().unwrap();
    assert!(token.starts_with("hct_") && token.len() > 40, "{begun}");
    let until = site.api.engine.clock.now().after(std::time::Duration::from_secs(160)).rfc3339();
    assert_eq!((&begun["task"], &begun["callbackExpiresAt"]), (&json!(1), &json!(until)));
    assert_eq!(site.api.identity.callback_host(token).await.unwrap(), Some(host));

    let event = site.events().await.pop().unwrap();
    assert_eq!((event.kind.as_str(), event.subject), ("introspection.callback_token.made", host.to_string()));
    assert_eq!(event.actor.as_deref(), Some("token:service"));
    assert!(event.data["request_id"].is_string() && !event.data.to_string().contains(token), "{}", event.data);

    // 400: admitted, and without data that could be used.
    let send = async |token: &str| site.call("POST", "/v1/continue", &[("x-auth-token", token)], "{}").await.status;
    assert_eq!((send(token).await, send("service").await), (400, 403));
}

#[tokio::test]
async fn where_callbacks_are_off_there_are_no_tokens() {
    let site = Site::with("").await;
    site.host("ceph-01").await;
    let refused = introspect(&site, "admin", json!({"callback": true})).await.is(400).json();
    assert_eq!(refused["details"]["field"], "callback");
    assert!(site.events().await.is_empty(), "no run was begun");
    let answer = site.call("POST", "/v1/continue", &[("x-auth-token", "admin")], "{}").await.is(403);
    assert_eq!(answer.json(), json!({"error": {"message": "The ramdisk callback endpoint is disabled"}}));
}
