//! Join tokens.

use axum::body::Body;
use serde_json::json;

use crate::app::App;

#[tokio::test]
async fn a_token_is_shown_once_and_revoked() {
    let app = App::start().await;
    let made = app.post("/api/join-tokens", json!({})).await.expect(201);
    assert!(made["token"].as_str().unwrap().len() > 40, "{made}");
    let mut listed = made.clone();
    listed.as_object_mut().unwrap().shift_remove("token");
    assert_eq!(
        listed,
        json!({"id": made["id"], "description": null, "createdAt": "2026-01-02T03:04:05.678901Z",
               "createdBy": "token:admin", "expiresAt": "2026-01-02T04:04:05.678901Z", "uses": 1, "used": 0,
               "names": [], "networks": [], "roles": [], "state": "active"})
    );
    let list = || app.call("admin", "GET", "/api/join-tokens", Body::empty());
    assert_eq!(list().await.expect(200), json!({"data": [listed]}));
    app.clock.advance(std::time::Duration::from_secs(3600));
    assert_eq!(list().await.expect(200)["data"][0]["state"], "expired");

    let path = format!("/api/join-tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(app.call("admin", "DELETE", &path, Body::empty()).await.status, 204);
    assert_eq!(list().await.expect(200)["data"][0]["state"], "revoked");
    app.call("admin", "DELETE", "/api/join-tokens/6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3", Body::empty())
        .await
        .error(404);
    app.call("admin", "DELETE", "/api/join-tokens/nonsense", Body::empty()).await.error(404);
    let events = app.get("/api/events").await;
    assert!(!events.text.contains(made["token"].as_str().unwrap()));
    let kinds: Vec<_> = events.json()["data"].as_array().unwrap().iter().map(|event| event["kind"].clone()).collect();
    assert_eq!(kinds, ["join_token.created", "join_token.revoked"]);
}

#[tokio::test]
async fn bindings_are_kept_and_pages_are_newest_first() {
    let app = App::start().await;
    let body = json!({"description": "rack 4", "expiresIn": 60, "uses": 0, "names": ["a", "b", "a"],
                      "networks": ["10.0.0.0/8", "2001:db8::/32"], "roles": ["storage"]});
    let first = app.post("/api/join-tokens", body).await.expect(201);
    assert_eq!((&first["names"], &first["uses"]), (&json!(["a", "b"]), &json!(0)));
    assert_eq!(first["expiresAt"], "2026-01-02T03:05:05.678901Z");
    let second = app.post("/api/join-tokens", json!({})).await.expect(201);
    let page = app.call("admin", "GET", "/api/join-tokens?limit=1", Body::empty()).await.expect(200);
    assert_eq!(page["data"][0]["id"], second["id"]);
    let next = format!("/api/join-tokens?limit=1&after={}", page["next"].as_str().unwrap());
    let page = app.call("admin", "GET", &next, Body::empty()).await.expect(200);
    assert_eq!((&page["data"][0]["id"], page.get("next")), (&first["id"], None));
}
