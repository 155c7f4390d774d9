//! Every path with every method and every way to write it (spec/maintenance.md §9, 1).

use std::sync::Arc;

use axum::body::Body;
use hostler_manager::api::server::router::router;
use hostler_manager::api::server::{Limits, Service};
use hostler_manager::store::{Error, Gate};
use http::Request;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::site::{NOBODY, Site};
use super::support::whole;

/// Paths, the methods that they have, and what they answer to GET, where they do.
fn table() -> Vec<(String, &'static str, u16)> {
    let session = |rest: &str| format!("/v1/maintenance/{NOBODY}{rest}");
    let read = "GET, HEAD, OPTIONS";
    vec![
        ("/".into(), read, 200),
        ("/v1".into(), read, 200),
        ("/healthcheck".into(), read, 200),
        ("/v1/capabilities".into(), read, 200),
        ("/v1/maintenance".into(), "GET, HEAD, OPTIONS, POST", 200),
        (session(""), "DELETE, GET, HEAD, OPTIONS, POST, PUT", 404),
        (session("/detail"), read, 404),
        (session("/steps"), read, 404),
        (session("/hosts"), read, 404),
        (session("/events"), read, 404),
        (session("/plan"), read, 404),
        (session("/7c1d9be24f6a4d0f8b35a6e2c9410d77"), "GET, HEAD, OPTIONS, PUT", 404),
        (session("/7c1d9be24f6a4d0f8b35a6e2c9410d77/3f7a"), "GET, HEAD, OPTIONS, PUT", 404),
        ("/v1/instance".into(), read, 200),
        ("/v1/instance/3f7a".into(), "DELETE, GET, HEAD, OPTIONS, PUT", 404),
        ("/v1/instance_group".into(), read, 200),
        (format!("/v1/instance_group/{NOBODY}"), "DELETE, GET, HEAD, OPTIONS, PUT", 404),
        ("/v1/subscription".into(), "GET, HEAD, OPTIONS, POST", 200),
        (format!("/v1/subscription/{NOBODY}"), "DELETE, GET, HEAD, OPTIONS", 404),
    ]
}

/// A path in every way in which clients write it.
fn spellings(path: &str) -> [String; 4] {
    let twice = path.replacen("/v1/", "/v1//", 1);
    [path.to_owned(), format!("{}/", path.trim_end_matches('/')), twice, format!("/{path}")]
}

#[tokio::test]
async fn spec_9_01_every_path_every_method_every_slash() {
    let site = Site::open().await;
    for (path, allow, status) in table() {
        for path in spellings(&path) {
            for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
                let answer = site.call(method, &path, &[], if method.starts_with('P') { "{}" } else { "" }).await;
                let known = allow.split(", ").any(|known| known == method);
                let code = answer.status.as_u16();
                assert_eq!(answer.headers["content-type"], "application/json", "{method} {path}");
                match method {
                    _ if !known => {
                        assert_eq!((code, answer.headers["allow"].to_str().unwrap()), (405, allow), "{method} {path}");
                        assert!(!answer.error(405).is_empty());
                    }
                    "OPTIONS" => assert_eq!((code, answer.headers["allow"].to_str().unwrap()), (200, allow), "{path}"),
                    "GET" => assert_eq!(code, status, "{path}: {:?}", answer.body),
                    "HEAD" => {
                        assert_eq!(code, status, "{path}");
                        assert!(answer.body.is_empty() && answer.headers["content-length"] != "0", "{path}");
                    }
                    "DELETE" => assert_eq!(code, 404, "{path}"),
                    _ => assert!(matches!(code, 404 | 422 | 200), "{method} {path}: {code} {:?}", answer.body),
                }
            }
        }
    }
}

/// A store that takes nothing, for as long as that lasts.
#[derive(Debug)]
struct Closed;

impl Gate for Closed {
    fn pass(&self) -> Result<(), Error> {
        Err(Error::Unavailable("the disk is full".into()))
    }
}

#[tokio::test]
async fn what_cannot_be_written_now_is_503() {
    let site = Site::open().await;
    site.host("kvm-a07", &["compute"]).await;
    let mut api = site.api.clone();
    api.engine.store = api.engine.store.clone().gated(Arc::new(Closed));
    let closed = hostler_manager::api::maintenance::routes(api);
    for (method, path, body) in [
        ("POST", "/v1/maintenance", json!({"maintenance_at": "2031-04-12 22:00:00"})),
        ("PUT", "/v1/instance/i", json!({"project_id": "p"})),
        ("PUT", "/v1/instance_group/0b1f2c3d-1111-4222-8333-444455556666", json!({"project_id": "p"})),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::from(body.to_string())).unwrap();
        let answer = site.send(&closed, request).await;
        assert!(answer.headers.contains_key("retry-after"), "{method} {path}");
        let text = answer.error(503);
        assert!(!text.contains("disk"), "particulars are for the log: {text}");
    }
    assert_eq!(site.get("/v1/maintenance").await.is(200)["sessions"], json!([]));
}

#[tokio::test]
async fn what_is_not_there() {
    let site = Site::open().await;
    for path in ["/v2", "/v1/x", "/v1/maintenance/a/b/c/d", "/v1/instance/a/b"] {
        site.get(path).await.error(404);
    }
    assert_eq!(site.get(&format!("/v1/maintenance/{NOBODY}")).await.error(404), "Invalid session");
    assert_eq!(site.get("/v1/maintenance/no-uuid").await.error(404), "Invalid session");
    site.get("/v1/instance/a%00b").await.error(400);
    site.get("/v1/instance/a%0d%0ab").await.error(400);
    let id = [("x-request-id", "req-mine")];
    assert_eq!(site.call("GET", "/v2", &id, "").await.is(404)["request_id"], "req-mine");
}

#[tokio::test]
async fn bodies_of_any_type_and_none_where_none_belongs() {
    let site = Site::open().await;
    let body = json!({"project_id": "p"}).to_string();
    for kind in ["application/json", "text/plain", "application/x-www-form-urlencoded", "", "nonsense"] {
        let answer = site.call("PUT", "/v1/instance/i", &[("content-type", kind)], &body).await;
        assert_eq!(answer.is(200)["project_id"], "p");
    }
    for (method, path) in [("GET", "/"), ("GET", "/v1/maintenance"), ("DELETE", "/v1/instance/i"), ("HEAD", "/v1")] {
        let answer = site.call(method, path, &[], "{}").await;
        assert_eq!(answer.status, 400, "{method} {path}");
        if method != "HEAD" {
            assert_eq!(answer.json(), json!({}));
        }
    }
    site.get("/v1/instance/i").await.is(200);
    for wrong in ["", "{", "nul", "{\"a\": }", "\u{feff}{}", "{} {}"] {
        site.call("PUT", "/v1/instance/i", &[], wrong).await.error(400);
        site.call("POST", "/v1/maintenance", &[], wrong).await.error(400);
    }
    for wrong in ["[]", "7", "null", "\"text\"", "true"] {
        site.call("PUT", "/v1/instance/i", &[], wrong).await.error(422);
        site.call("POST", "/v1/maintenance", &[], wrong).await.error(422);
    }
    let large = json!({"project_id": "p", "x-fill": "x".repeat(1 << 20)}).to_string();
    site.call("PUT", "/v1/instance/i", &[], &large).await.error(413);
    let deep = format!("{}1{}", "[".repeat(300), "]".repeat(300));
    site.call("PUT", "/v1/instance/i", &[], &deep).await.error(400);
}

#[tokio::test]
async fn discovery() {
    let site = Site::guarded("").await;
    let version = site.get("/v1").await.is(200)["version"].clone();
    assert_eq!(site.get("/").await.is(200)["versions"], json!([version]));
    assert_eq!((version["id"].as_str(), version["status"].as_str()), (Some("v1.0"), Some("CURRENT")));
    assert_eq!(version["links"], json!([{"rel": "self", "href": "http://mgr.example:12347/v1"}]));
    site.get("/v1/capabilities").await.error(401);
    let there = site.of("reader", "GET", "/v1/capabilities", &Value::Null).await.is(200);
    assert_eq!(there["workflows"][1]["aliases"], json!(["nfv"]));
    assert_eq!(there["policy"]["reply_window"], 40);
    assert!(there["plugins"].as_array().unwrap().iter().any(|plugin| plugin["name"] == "dummy"));
    let public =
        Site::with("[auth]\nstrategy = \"none\"\n[maintenance]\npublic_url = \"https://fleet.example:12347\"\n");
    let link = public.await.get("/v1").await.is(200)["version"]["links"][0]["href"].clone();
    assert_eq!(link, "https://fleet.example:12347/v1");
}

#[tokio::test]
async fn mounted_beside_the_other_dialects() {
    let site = Site::open().await;
    let service = Service::new(router(site.api.clone(), CancellationToken::new()), Limits::default());
    let ask = |path: &str| {
        let request = Request::builder().uri(path).header("host", "mgr.example:8080").body(Body::empty()).unwrap();
        let service = service.clone();
        async move {
            let (parts, body) = whole(service.call("127.0.0.1:1".parse().unwrap(), request).await).await;
            (parts.status.as_u16(), serde_json::from_slice::<Value>(&body).unwrap_or_default())
        }
    };
    for path in
        ["/maintenance/v1/maintenance", "/v1/maintenance", "/v1/maintenance/", "/v1//maintenance", "//v1/maintenance"]
    {
        assert_eq!(ask(path).await, (200, json!({"sessions": [], "session_id": []})), "{path}");
    }
    for path in ["/maintenance/v1//instance/x/", "/v1//instance/x", "/v1/instance_group/x"] {
        let (status, body) = ask(path).await;
        assert_eq!((status, body["code"].as_str()), (404, Some("not_found")), "{path}");
    }
    for path in ["/maintenance", "/maintenance/"] {
        let (status, body) = ask(path).await;
        assert_eq!(status, 200, "{path}");
        let link = &body["versions"][0]["links"][0]["href"];
        assert_eq!(link, "http://mgr.example:8080/maintenance/v1", "{path}");
    }
    // The other dialect keeps its own.
    assert!(ask("/").await.1["versions"][0]["id"].as_str().unwrap().starts_with("1."));
    assert_eq!(ask("/v1/introspection").await.0, 200);
}
