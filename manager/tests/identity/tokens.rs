//! Logging in, tokens and their end.

use std::time::Duration;

use serde_json::{Value, json};

use super::lab::Lab;

fn with_token(token: &str, scope: Value) -> Value {
    json!({"identity": {"methods": ["token"], "token": {"id": token}}, "scope": scope})
}

#[tokio::test]
async fn a_password_login_says_who_where_and_what() {
    let lab = Lab::new().await;
    let answer = lab.password("admin", "secret", Value::Null).await.is(201);
    let token = answer.header("x-subject-token").to_owned();
    assert!(token.starts_with("gst_") && token.len() == 47);
    assert_eq!(answer.header("vary"), "X-Auth-Token");
    let body = &answer.body["token"];
    assert_eq!(body["issued_at"], "2026-01-02T03:04:05.678901Z");
    assert_eq!(body["expires_at"], "2026-01-02T04:04:05.678901Z");
    assert_eq!(body["methods"], json!(["password"]));
    assert_eq!(body["user"]["name"], "admin");
    assert_eq!(body["user"]["domain"], json!({"id": "default", "name": "Default"}));
    assert_eq!(body["project"]["name"], "admin", "the user's own project where none is named");
    assert_eq!(body["roles"][0], json!({"id": "admin", "name": "admin"}));
    assert_eq!(body["audit_ids"].as_array().unwrap().len(), 1);
    let urls: Vec<_> = body["catalog"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["type"].as_str().unwrap(), one["endpoints"][0]["url"].as_str().unwrap()))
        .collect();
    let expected = [
        ("identity", "http://fleet:8080/identity/v3"),
        ("baremetal-introspection", "http://fleet:8080/introspection"),
        ("maintenance", "http://fleet:8080/maintenance/v1"),
    ];
    assert_eq!(urls, expected);
    let interfaces = body["catalog"][0]["endpoints"].as_array().unwrap();
    assert_eq!(interfaces.iter().map(|one| &one["interface"]).collect::<Vec<_>>(), ["public", "internal", "admin"]);

    let headers = [("x-auth-token", token.as_str()), ("x-subject-token", token.as_str())];
    let shown = lab.send("GET", "/v3/auth/tokens", &headers, None).await.is(200);
    assert_eq!(shown.body, answer.body);
    let head = lab.send("HEAD", "/v3/auth/tokens", &headers, None).await.is(200);
    assert_eq!((head.body, head.headers["x-subject-token"].to_str().unwrap()), (Value::Null, token.as_str()));
    let bare = lab.send("GET", "/v3/auth/tokens?nocatalog", &headers, None).await.is(200);
    assert!(bare.body["token"].get("catalog").is_none());
}

#[tokio::test]
async fn every_scope_that_the_user_has_and_no_other() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    let (project, ..) = lab.ann(&admin, "member").await;
    lab.user(&admin, "bob").await;
    for scope in [
        json!({"project": {"id": project}}),
        json!({"project": {"name": "p", "domain": {"id": "default"}}}),
        json!({"project": {"name": "p", "domain": {"name": "Default"}}}),
    ] {
        let answer = lab.password("ann", "pw", scope.clone()).await.is(201);
        assert_eq!(answer.body["token"]["project"]["id"], project.as_str());
        assert_eq!(answer.body["token"]["roles"].as_array().unwrap().len(), 2, "member includes reader");
        lab.password("bob", "pw", scope).await.refuses(401, "no access");
    }
    lab.password("ann", "pw", json!({"project": {"name": "p", "domain": {"id": "x"}}})).await.refuses(401, "no access");
    lab.password("ann", "pw", json!({"project": {"name": "nope"}})).await.refuses(401, "no access");
    lab.password("ann", "pw", json!({"system": {"all": true}})).await.refuses(401, "no access to the system");
    for scope in [Value::Null, json!("unscoped"), json!({"unscoped": {}})] {
        let body = lab.password("ann", "pw", scope).await.is(201).body;
        assert!(body["token"].get("project").is_none() && body["token"].get("roles").is_none());
        assert!(body["token"].get("catalog").is_none());
    }
    let system = lab.password("admin", "secret", json!({"system": {"all": true}})).await.is(201);
    assert_eq!(system.body["token"]["system"], json!({"all": true}));
    assert!(system.body["token"].get("project").is_none());
}

#[tokio::test]
async fn nobody_learns_why_a_login_failed() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    let user = lab.user(&admin, "ann").await;
    lab.patch(&admin, &format!("/v3/users/{user}"), json!({"user": {"enabled": false}})).await.is(200);
    let wrong = lab.password("admin", "wrong", Value::Null).await.is(401);
    assert_eq!(wrong.header("www-authenticate"), "Keystone uri=\"http://fleet:8080/identity/v3\"");
    for (name, password) in [("nobody", "secret"), ("ann", "pw"), ("admin", "")] {
        assert_eq!(lab.password(name, password, Value::Null).await.is(401).body, wrong.body, "{name}");
    }
    let elsewhere = json!({"name": "admin", "domain": {"name": "Other"}, "password": "secret"});
    let body = json!({"identity": {"methods": ["password"], "password": {"user": elsewhere}}});
    assert_eq!(lab.login(body).await.is(401).body, wrong.body);
    assert_eq!(lab.login(with_token("gst_nonsense", Value::Null)).await.is(401).body, wrong.body);
}

#[tokio::test]
async fn a_token_ends_at_its_time_and_so_does_what_was_got_with_it() {
    let lab = Lab::with("token_lifetime_s = 600").await;
    let first = lab.admin().await;
    lab.pass(Duration::from_secs(300));
    let answer = lab.login(with_token(&first, json!({"system": {"all": true}}))).await.is(201);
    let second = answer.header("x-subject-token").to_owned();
    assert_eq!(answer.body["token"]["expires_at"], "2026-01-02T03:14:05.678901Z", "the end of the first one");
    assert_eq!(answer.body["token"]["methods"], json!(["password", "token"]));
    assert_eq!(answer.body["token"]["audit_ids"].as_array().unwrap().len(), 2);
    lab.pass(Duration::from_micros(299_999_999));
    lab.get(&first, "/v3/users").await.is(200);
    lab.get(&second, "/v3/users").await.is(200);
    lab.pass(Duration::from_micros(1));
    lab.get(&first, "/v3/users").await.refuses(401, "requires authentication");
    lab.get(&second, "/v3/users").await.is(401);
    lab.login(with_token(&second, Value::Null)).await.is(401);
    assert_eq!(lab.api.engine.prune().await.unwrap(), 2, "retention removes both");
}

#[tokio::test]
async fn a_revoked_token_ends_at_once() {
    let lab = Lab::new().await;
    let (one, other) = (lab.admin().await, lab.admin().await);
    lab.get(&one, "/v3/users").await.is(200);
    let headers = [("x-auth-token", other.as_str()), ("x-subject-token", one.as_str())];
    lab.send("DELETE", "/v3/auth/tokens", &headers, None).await.is(204);
    lab.get(&one, "/v3/users").await.is(401);
    lab.send("DELETE", "/v3/auth/tokens", &headers, None).await.refuses(404, "token");
    lab.get(&other, "/v3/users").await.is(200);
    let own = [("x-auth-token", other.as_str()), ("x-subject-token", other.as_str())];
    lab.send("DELETE", "/v3/auth/tokens", &own, None).await.is(204);
    lab.get(&other, "/v3/users").await.is(401);
}

#[tokio::test]
async fn what_is_taken_away_is_taken_from_tokens_too() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    let (project, user, token) = lab.ann(&admin, "service").await;
    let scope = json!({"project": {"id": project}});
    lab.get(&token, "/v3/users").await.is(200);
    let grant = format!("/v3/projects/{project}/users/{user}/roles");
    lab.put(&admin, &format!("{grant}/reader")).await.is(204);
    lab.delete(&admin, &format!("{grant}/service")).await.is(204);
    lab.get(&token, "/v3/users").await.refuses(403, "identity:read");
    lab.delete(&admin, &format!("{grant}/reader")).await.is(204);
    lab.get(&token, "/v3/auth/projects").await.is(401);
    lab.put(&admin, &format!("{grant}/reader")).await.is(204);

    for (path, noun) in [(format!("/v3/users/{user}"), "user"), (format!("/v3/projects/{project}"), "project")] {
        let token = lab.password("ann", "pw", scope.clone()).await.is(201).header("x-subject-token").to_owned();
        lab.get(&token, "/v3/auth/projects").await.is(200);
        lab.patch(&admin, &path, json!({noun: {"enabled": false}})).await.is(200);
        lab.get(&token, "/v3/auth/projects").await.is(401);
        lab.password("ann", "pw", scope.clone()).await.is(401);
        lab.patch(&admin, &path, json!({noun: {"enabled": true}})).await.is(200);
        lab.get(&token, "/v3/auth/projects").await.is(401);
    }
    let token = lab.password("ann", "pw", scope).await.is(201).header("x-subject-token").to_owned();
    lab.get(&token, "/v3/auth/projects").await.is(200);
    lab.delete(&admin, &format!("/v3/users/{user}")).await.is(204);
    lab.get(&token, "/v3/auth/projects").await.is(401);
}

#[tokio::test]
async fn what_another_manager_revokes_ends_here_soon() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    lab.get(&admin, "/v3/users").await.is(200);
    lab.sql("delete from identity_token").await;
    lab.pass(Duration::from_secs(5));
    lab.get(&admin, "/v3/users").await.is(401);
}

#[tokio::test]
async fn a_user_keeps_a_bounded_number_of_tokens() {
    let lab = Lab::new().await;
    let first = lab.admin().await;
    lab.pass(Duration::from_secs(1));
    lab.sql(
        "insert into identity_token (hash, audit_id, user_id, scope, methods, issued_at, expires_at) \
         with recursive n (i) as (select 1 union all select i + 1 from n where i < 4095) \
         select 'copy' || i, 'a', user_id, scope, methods, issued_at + 1, expires_at from identity_token, n",
    )
    .await;
    lab.get(&first, "/v3/users").await.is(200);
    let last = lab.admin().await;
    lab.get(&first, "/v3/users").await.is(401);
    lab.get(&last, "/v3/users").await.is(200);
}

#[tokio::test]
async fn a_static_token_works_as_a_token_everywhere() {
    let lab = Lab::new().await;
    lab.get("statictoken", "/v3/users").await.is(200);
    lab.get("statictokem", "/v3/users").await.is(401);
    let bearer = [("authorization", "Bearer statictoken")];
    lab.send("GET", "/v3/users", &bearer, None).await.is(200);
    let answer = lab.login(with_token("statictoken", Value::Null)).await.is(201);
    assert_eq!(answer.header("x-subject-token"), "statictoken");
    assert_eq!(answer.body["token"]["system"], json!({"all": true}));
    let scope = json!({"project": {"name": "admin", "domain": {"id": "default"}}});
    let answer = lab.login(with_token("statictoken", scope)).await.is(201);
    assert_eq!(answer.body["token"]["project"]["name"], "admin");
    lab.login(with_token("statictoken", json!({"project": {"name": "nope"}}))).await.is(401);
    let own = [("x-auth-token", "statictoken"), ("x-subject-token", "statictoken")];
    lab.send("DELETE", "/v3/auth/tokens", &own, None).await.refuses(403, "auth.static_tokens");
}
