//! Bad input: each is refused with the status and the words that say what is wrong.

use axum::body::Body;

use crate::app::App;

const TOKENS: &str = "/api/join-tokens";
const HOST: &str = "/api/hosts/a";

/// Method, path, body, status, beginning of the text.
const TABLE: &[(&str, &str, &str, u16, &str)] = &[
    ("POST", TOKENS, "{", 400, "the body is not JSON: EOF"),
    ("POST", TOKENS, "{} {}", 400, "the body is not JSON: trailing characters"),
    ("POST", TOKENS, "[]", 400, "the body must be an object, is a list"),
    ("POST", TOKENS, "null", 400, "the body must be an object, is null"),
    ("POST", TOKENS, r#"{"expires": 3}"#, 400, "expires: is not a field here; fields are: expiresIn, description,"),
    ("POST", TOKENS, r#"{"expiresIn": "1h"}"#, 400, "expiresIn: must be an integer from 1 to"),
    ("POST", TOKENS, r#"{"expiresIn": 0}"#, 400, "expiresIn: must be an integer from 1 to"),
    ("POST", TOKENS, r#"{"expiresIn": 1.5}"#, 400, "expiresIn: must be an integer from 1 to"),
    ("POST", TOKENS, r#"{"expiresIn": 99999999999}"#, 400, "expiresIn must be from 1 second to 366 days"),
    ("POST", TOKENS, r#"{"expiresIn": 99999999999999999999}"#, 400, "expiresIn: must be an integer from 1 to"),
    ("POST", TOKENS, r#"{"uses": -1}"#, 400, "uses: must be an integer from 0 to"),
    ("POST", TOKENS, r#"{"names": "a"}"#, 400, "names: must be a list of texts, is a text"),
    ("POST", TOKENS, r#"{"names": [7]}"#, 400, "names: must be a list of texts, has a number"),
    ("POST", TOKENS, r#"{"names": ["a b"]}"#, 400, "names: \"a b\" may contain only"),
    ("POST", TOKENS, r#"{"networks": ["10.0.0.0/33"]}"#, 400, "networks: \"10.0.0.0/33\" is not a network"),
    ("POST", TOKENS, r#"{"roles": ["admin"]}"#, 400, "roles: \"admin\" is not one of"),
    ("POST", TOKENS, r#"{"description": 7}"#, 400, "description: must be a text, is a number"),
    ("POST", TOKENS, r#"{"description": "a\u0000b"}"#, 400, "description: may not contain control characters"),
    ("PATCH", HOST, r#"{"name": "b"}"#, 400, "name: is not a field here; fields are: description, labels, zone, roles"),
    ("PATCH", HOST, r#"{"labels": null}"#, 400, "labels: must be an object of texts, is null"),
    ("PATCH", HOST, r#"{"labels": {"a": 7}}"#, 400, "labels: a must be a text, is a number"),
    ("PATCH", HOST, r#"{"labels": {"a b": "c"}}"#, 400, "labels: the name \"a b\" must have 1 to 63"),
    ("PATCH", HOST, r#"{"labels": {"a": "b\nc"}}"#, 400, "labels: a must be one line"),
    ("PATCH", HOST, r#"{"roles": ["reader"]}"#, 400, "roles: \"reader\" is not one of"),
    ("PATCH", HOST, r#"{"zone": ["z"]}"#, 400, "zone: must be a text, is a list"),
    (
        "POST",
        "/api/hosts/a/introspect",
        r#"{"sections": ["../x"]}"#,
        400,
        "sections: \"../x\" is not the name of a section",
    ),
    ("POST", "/api/hosts/a/introspect", r#"{"sections": [""]}"#, 400, "sections: \"\" is not the name"),
    ("POST", "/api/hosts/a/agent/revoke", r#"{"why": "x"}"#, 400, "why: is not a field here; fields are: reason"),
    (
        "GET",
        "/api/hosts?sate=online",
        "",
        400,
        "sate: is not a parameter here; parameters are: state, name, limit, after",
    ),
    ("GET", "/api/hosts?state=gone", "", 400, "state: must be one of enrolled, online, offline, revoked, is \"gone\""),
    ("GET", "/api/hosts?limit=0", "", 400, "limit: must be a number from 1 to 1000"),
    ("GET", "/api/hosts?limit=1001", "", 400, "limit: must be"),
    ("GET", "/api/hosts?limit=2&limit=3", "", 400, "limit: is given twice"),
    ("GET", "/api/hosts?after=%00", "", 400, "after: must be the `next`"),
    ("GET", "/api/tasks?pagination=%7B", "", 400, "pagination:"),
    ("GET", "/api/tasks?pagination=%7B%22limit%22:-1%7D", "", 400, "pagination: limit"),
    ("GET", "/api/tasks?pagination=%7B%22sortBy%22:%5B%7B%22column%22:%22nix%22%7D%5D%7D", "", 400, "pagination:"),
    ("GET", "/api/events?after=-1", "", 400, "after: must be the number of an event"),
    ("GET", "/api/version?x=1", "", 400, "x: is not a parameter here; parameters are: none"),
    ("GET", "/api/hosts/%FF", "", 400, "the path cannot be read"),
    ("GET", "/api/nothing", "", 404, "there is nothing under this path"),
    ("GET", "/api", "", 404, "there is nothing under this path"),
    ("GET", "/nothing", "", 404, "there is nothing under this path"),
    ("PUT", "/api/hosts", "", 405, "this path does not take this method"),
    ("POST", "/healthz", "", 405, "only GET and HEAD"),
];

#[tokio::test]
async fn every_bad_request_is_told_what_is_wrong() {
    let app = App::start().await;
    app.host("a").await;
    for (method, path, body, status, begins) in TABLE {
        let text = app.call("admin", method, path, (*body).to_owned()).await.error(*status);
        assert!(text.starts_with(begins), "{method} {path} {body}: {text}");
    }
    let events = app.get("/api/events").await.expect(200);
    assert_eq!(events["data"], serde_json::json!([]), "nothing of it had an effect");
}

#[tokio::test]
async fn texts_and_lists_have_limits() {
    let app = App::start().await;
    let long = "x".repeat(4097);
    let text = app.post(TOKENS, serde_json::json!({ "description": long })).await.error(400);
    assert_eq!(text, "description: may have at most 4096 bytes, has 4097");
    let many: Vec<String> = (0..1001).map(|n| format!("n{n}")).collect();
    let text = app.post(TOKENS, serde_json::json!({ "names": many })).await.error(400);
    assert_eq!(text, "names: may have at most 1000 entries, has 1001");
    let key = "k".repeat(100_000);
    let text = app.post(TOKENS, serde_json::json!({ key: 1 })).await.error(400);
    assert!(text.len() < 300, "{text}");
}

#[tokio::test]
async fn broken_bodies_are_refused() {
    let app = App::start().await;
    let text = app.call("admin", "POST", TOKENS, b"{\"a\": \"\xff\"}".to_vec()).await.error(400);
    assert_eq!(text, "the body is not UTF-8 from byte 7 on");
    let deep = "[".repeat(100_000);
    let text = app.call("admin", "POST", TOKENS, deep).await.error(400);
    assert_eq!(text, "the body is nested deeper than 128 levels");
    let large = format!("{{\"description\": \"{}\"}}", "x".repeat(1 << 20));
    let text = app.call("admin", "POST", TOKENS, large).await.error(413);
    assert_eq!(text, "the body is larger than 1048576 bytes");
    let frames = futures::stream::iter([Ok("{"), Err(std::io::Error::other("gone"))]);
    let text = app.call("admin", "POST", TOKENS, Body::from_stream(frames)).await.error(400);
    assert_eq!(text, "the body ended before its announced length");
}

#[tokio::test]
async fn slashes_too_many_are_tolerated() {
    let app = App::start().await;
    app.host("a").await;
    for path in [
        "/api/hosts/",
        "/api//hosts",
        "/api/hosts/?limit=5",
        "//api/hosts",
        "///api//hosts//",
        "//api//tasks/",
        "/api/events//hooks/hook-points",
    ] {
        app.get(path).await.expect(200);
    }
    // Only what is below /api: other dialects have rules of their own.
    for path in ["//v1/introspection", "/v1//introspection", "//readyz"] {
        assert_eq!(app.get(path).await.status, 404, "{path}");
    }
}
