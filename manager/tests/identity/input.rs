//! Bad input: refused by name of the field and rule, and bounded.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use super::lab::Lab;

#[tokio::test]
async fn every_field_has_its_rule() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    let long = "x".repeat(256);
    for (fields, part) in [
        (json!({}), "'user.name': is required"),
        (json!({"name": 5}), "'user.name': must be a string, not a number"),
        (json!({"name": ""}), "'name': must have 1 to 255 characters"),
        (json!({"name": long}), "'name': must have 1 to 255 characters"),
        (json!({"name": "a\u{7}"}), "'name': must not contain control characters"),
        (json!({"name": " a"}), "'name': must not begin or end with a blank"),
        (json!({"name": "a", "enabled": "yes"}), "'user.enabled': must be true or false"),
        (json!({"name": "a", "password": ""}), "'password': must have 1 to 1024 bytes"),
        (json!({"name": "a", "password": "x".repeat(1025)}), "'password': must have 1 to 1024 bytes"),
        (json!({"name": "a", "description": "x".repeat(4097)}), "'description': must have at most 4096"),
        (json!({"name": "a", "description": "\u{0}"}), "'description': must not contain"),
        (json!({"name": "a", "email": "x".repeat(255)}), "'email': must have 1 to 254"),
        (json!({"name": "a", "domain_id": "other"}), "'user.domain_id': must be default"),
        (json!({"name": "a", "default_project_id": "p"}), "'user.default_project_id': must be the id"),
        (json!({"name": "a", "options": {"lock_password": true}}), "'user.options': is not supported"),
        (json!({"name": "a", "shoe_size": 42}), "'user.shoe_size': is not a known field"),
    ] {
        lab.post(&admin, "/v3/users", json!({"user": fields})).await.refuses(400, part);
    }
    let nowhere = json!({"user": {"name": "a", "default_project_id": "6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3"}});
    lab.post(&admin, "/v3/users", nowhere).await.refuses(404, "project");
    for (fields, part) in [
        (json!({"name": "x".repeat(65)}), "'name': must have 1 to 64 characters"),
        (json!({"name": "a", "is_domain": true}), "'project.is_domain': is not supported"),
        (json!({"name": "a", "parent_id": "x"}), "'project.parent_id': must be default"),
        (json!({"name": "a", "tags": ["x"]}), "'project.tags': is not supported"),
    ] {
        lab.post(&admin, "/v3/projects", json!({"project": fields})).await.refuses(400, part);
    }
    let user = lab.get(&admin, "/v3/users").await.body["users"][0]["id"].as_str().unwrap().to_owned();
    for (fields, part) in [
        (json!({"name": "a", "roles": {}}), "'application_credential.roles': must be a list"),
        (json!({"name": "a", "roles": [5]}), "'application_credential.roles[0]': must be an object"),
        (json!({"name": "a", "roles": [{"name": "owner"}]}), "'application_credential.roles[0]': must have"),
        (json!({"name": "a", "expires_at": "soon"}), "'application_credential.expires_at': must be a time"),
        (json!({"name": "a", "access_rules": [{}]}), "'application_credential.access_rules': is not supported"),
        (json!({"name": "a", "project_id": user}), "'application_credential.project_id': must be the project"),
        (json!({"name": "a", "secret": ""}), "'secret': must have 1 to 1024 bytes"),
    ] {
        let path = format!("/v3/users/{user}/application_credentials");
        lab.post(&admin, &path, json!({"application_credential": fields})).await.refuses(400, part);
    }
    assert_eq!(lab.get(&admin, "/v3/users").await.names("users"), ["admin"], "nothing of it was made");
}

#[tokio::test]
async fn bodies_are_bounded_and_must_be_json() {
    let lab = Lab::new().await;
    let post = async |body: Body, length: Option<usize>| {
        let mut request = Request::builder().method("POST").uri("/identity/v3/auth/tokens");
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        lab.raw(request.body(body).unwrap()).await
    };
    let large = vec![b' '; (1 << 20) + 1];
    post(Body::from(large.clone()), Some(large.len())).await.refuses(413, "1048576");
    let chunks = large.chunks(4096).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>();
    post(Body::from_stream(futures::stream::iter(chunks)), None).await.refuses(413, "1048576");
    let broken = [Ok(b"{".to_vec()), Err(std::io::Error::other("gone"))];
    post(Body::from_stream(futures::stream::iter(broken)), None).await.refuses(400, "ended before");
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    post(Body::from(deep), None).await.refuses(400, "recursion limit");
    for bad in [&b""[..], b"{", b"{\"auth\": \"\xff\"}", b"nope"] {
        post(Body::from(bad), None).await.refuses(400, "not JSON");
    }
    post(Body::from("[]"), None).await.refuses(400, "must be a JSON object, not a list");
}

#[tokio::test]
async fn bad_paths_and_headers() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    lab.get(&admin, "/v3/users/%ff").await.refuses(400, "UTF-8");
    lab.get(&admin, "/v3/nope").await.refuses(404, "could not be found");
    lab.get(&admin, "/v2.0").await.refuses(404, "could not be found");
    lab.get(&admin, "/v3/users/a%2Fb").await.refuses(404, "a/b");
    let answer = lab.put(&admin, "/v3/users").await.refuses(405, "method");
    assert_eq!(answer.header("allow"), "GET,HEAD,POST");
    let spaced = [("x-auth-token", admin.as_str()), ("x-subject-token", "")];
    lab.send("GET", "/v3/auth/tokens", &spaced, None).await.refuses(404, "token");
    let odd = [("x-auth-token", "\u{e9}")];
    lab.send("GET", "/v3/users", &odd, None).await.is(401);
}

#[tokio::test]
async fn links_follow_the_host_and_trusted_proxies() {
    let lab = Lab::new().await;
    let forwarded = [("x-forwarded-proto", "https"), ("x-forwarded-host", "api.example.net")];
    let answer = lab.send("GET", "/v3", &forwarded, None).await.is(200);
    let href = |answer: &super::lab::Answer| answer.body["version"]["links"][0]["href"].clone();
    assert_eq!(href(&answer), "http://fleet:8080/identity/v3/", "192.0.2.7 is no proxy");
    let mut request = Request::builder().uri("/identity/v3").body(Body::empty()).unwrap();
    let address = "10.9.9.9:1".parse().unwrap();
    request.extensions_mut().insert(hostler_manager::api::peer::Peer::plain(address));
    for (name, value) in forwarded {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(href(&lab.raw(request).await), "https://api.example.net/identity/v3/");
    let http2 = Request::builder().uri("http://two.example:81/identity/v3").body(Body::empty()).unwrap();
    assert_eq!(href(&lab.raw(http2).await), "http://two.example:81/identity/v3/");
    assert_eq!(lab.password("x", "y", Value::Null).await.header("www-authenticate").matches("fleet:8080").count(), 1);
}
