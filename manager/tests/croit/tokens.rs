//! Logins and API tokens (spec/hooks.md §2.1).

use axum::body::Body;
use base64::Engine as _;
use hostler_manager::config::Bootstrap;
use serde_json::{Value, json};

use crate::app::{Answer, App};

async fn with_admin() -> App {
    let app = App::start().await;
    let first: Bootstrap = serde_json::from_value(json!({"username": "root", "password": "s3cret"})).unwrap();
    app.api.identity.bootstrap(&first).await.unwrap();
    app
}

async fn login_form(app: &App, password: &str) -> Answer {
    let body = format!("grant_type=password&username=root&password={password}");
    let request =
        http::Request::post("/api/auth/login-form").header("Content-Type", "application/x-www-form-urlencoded");
    app.send(request.body(Body::from(body)).unwrap(), "192.0.2.7:1").await
}

async fn bearer(app: &App, token: &str, method: &str, path: &str, body: Value) -> Answer {
    let request = http::Request::builder().method(method).uri(path).header("Authorization", format!("Bearer {token}"));
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    app.send(request.body(body).unwrap(), "192.0.2.7:1").await
}

#[tokio::test]
async fn spec_2_1_logins() {
    let app = with_admin().await;
    let answer = login_form(&app, "s3cret").await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let token = answer.expect(200);
    assert_eq!((&token["token_type"], &token["expires_in"]), (&json!("bearer"), &json!("PT1H")));
    assert_eq!((&token["roles"], &token["userId"]), (&json!(["admin", "viewer"]), &json!(1)));
    assert_eq!(token["passwordWasNeverChanged"], true);
    let text = token["access_token"].as_str().unwrap();
    let info = bearer(&app, text, "GET", "/api/auth/token-info", Value::Null).await.expect(200);
    assert_eq!((&info["username"], &info["roles"]), (&json!("root"), &json!(["ADMIN", "VIEWER"])));
    assert_eq!(info["expiry"], "2026-01-02T04:04:05.678901Z");
    bearer(&app, text, "GET", "/api/events/scripts", Value::Null).await.expect(200);
    let out = bearer(&app, text, "POST", "/api/auth/logout", Value::Null).await;
    assert_eq!((out.status, out.text.as_str()), (201, ""));
    bearer(&app, text, "GET", "/api/auth/token-info", Value::Null).await.error(401);
    for password in ["wrong", ""] {
        login_form(&app, password).await.error(401);
    }
    let request = http::Request::post("/api/auth/login-form").body(Body::from("grant_type=x")).unwrap();
    app.send(request, "192.0.2.7:1").await.error(400);
}

#[tokio::test]
async fn spec_2_1_basic_login() {
    let app = with_admin().await;
    let basic = |proof: &str| {
        let proof = base64::engine::general_purpose::STANDARD.encode(proof);
        http::Request::post("/api/auth/login")
            .header("Authorization", format!("Basic {proof}"))
            .body(Body::from("grant_type=client_credentials"))
            .unwrap()
    };
    let token = app.send(basic("root:s3cret"), "192.0.2.7:1").await.expect(200);
    let text = token["access_token"].as_str().unwrap();
    bearer(&app, text, "GET", "/api/servers", Value::Null).await.expect(200);
    app.send(basic("root:no"), "192.0.2.7:1").await.error(401);
    let none = http::Request::post("/api/auth/login").body(Body::empty()).unwrap();
    let answer = app.send(none, "192.0.2.7:1").await;
    assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    answer.error(401);
}

#[tokio::test]
async fn spec_2_1_api_tokens_round_trip() {
    let app = App::start().await;
    let made = app.post("/api/api-tokens", json!({"name": "ci", "roles": ["VIEWER"]})).await.expect(200);
    let token = made.as_str().unwrap().to_owned();
    let list = app.call("admin", "GET", "/api/api-tokens", Body::empty()).await;
    assert!(!list.text.contains(&token));
    assert_eq!((&list.json()[0]["id"], &list.json()[0]["roles"]), (&json!(1), &json!(["viewer"])));
    bearer(&app, &token, "GET", "/api/events/hooks", Value::Null).await.expect(200);
    bearer(&app, &token, "GET", "/api/events/scripts", Value::Null).await.error(403);
    let info = bearer(&app, &token, "GET", "/api/auth/token-info", Value::Null).await.expect(200);
    assert_eq!((&info["username"], &info["roles"], &info["expiry"]), (&json!("ci"), &json!(["VIEWER"]), &Value::Null));
    let roles = json!({"roles": ["admin", "viewer"]}).to_string();
    app.call("admin", "PATCH", "/api/api-tokens/1", roles).await.expect(204);
    bearer(&app, &token, "GET", "/api/events/scripts", Value::Null).await.expect(200);
    app.call("admin", "DELETE", "/api/api-tokens/1", Body::empty()).await.expect(204);
    bearer(&app, &token, "GET", "/api/events/scripts", Value::Null).await.error(401);
    app.call("admin", "DELETE", "/api/api-tokens/1", Body::empty()).await.error(404);
    for bad in [
        json!({"name": "x"}),
        json!({"name": "x", "roles": []}),
        json!({"name": "x", "roles": ["owner"]}),
        json!({"roles": ["admin"]}),
        json!({"name": "x", "roles": ["admin"], "expiry": "2020-01-01T00:00:00Z"}),
        json!({"name": "x", "roles": ["admin"], "expiry": "soon"}),
    ] {
        app.post("/api/api-tokens", bad).await.error(400);
    }
    let ends = json!({"name": "x", "roles": ["viewer"], "expiry": "2026-01-02T04:00:00Z"});
    let token = app.post("/api/api-tokens", ends).await.expect(200).as_str().unwrap().to_owned();
    bearer(&app, &token, "GET", "/api/tasks", Value::Null).await.expect(200);
    app.clock.advance(std::time::Duration::from_secs(3600));
    bearer(&app, &token, "GET", "/api/tasks", Value::Null).await.error(401);
}
